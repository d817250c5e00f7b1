package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/kit"
)

// job describes a subcommand.
type job struct {
	use      string   // its name, and the arguments
	short    string   // a line of the list of commands
	title    string   // of the help text, after the name; "": short
	about    string   // what it does
	before   string   // before the flags
	notes    string   // after the flags
	examples []string // command lines
	exits    exits
	maxArgs  int
	argsHint string // for the message about too many of them
	text     bool   // its result is a text: there is no -json

	// flags defines the flags, and returns what runs the job once they are set.
	flags func(fs *pflag.FlagSet) func(*run) (*result, error)
}

// exits say when a job ends with a status.
type exits struct{ ok, failed, usage, interrupted string }

// The usual cases of exits.
const (
	couldNotBeDone  = "the job could not be done"
	badFlag         = "a bad flag"
	tableSoFar      = "interrupted (SIGINT, SIGTERM), and clean: the table covers what was measured. A second Ctrl-C ends the process at once."
	nothingAtAll    = "interrupted (SIGINT, SIGTERM); nothing is printed. A second Ctrl-C ends the process at once."
	summarySoFar    = "interrupted (SIGINT, SIGTERM), and clean: the table covers the time so far. A second Ctrl-C ends the process at once."
	notInterrupted  = ""
	reportIsJSON    = "print one JSON object on stdout instead of the tables; names tell the units"
	reportUnwritten = "the report could not be written"
)

// run is one run of a job.
type run struct {
	context.Context
	*pflag.FlagSet
	streams
	args     []string
	progress kit.Progress
}

// result is what a job found.
type result struct {
	report      any                     // for -json
	render      func(w io.Writer) error // for people
	warnings    []string                // for stderr
	partial, ok bool
}

// exitStatus is an error that has been reported already.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// usageError is an error in the command line.
type usageError struct {
	msg  string
	bare bool // the message needs no hint at the help text
}

func (e *usageError) Error() string { return e.msg }

// jobs keeps the description of each command, for its help text.
var jobs = map[*cobra.Command]*job{}

// command makes the subcommand of a job.
func (j job) command(s streams) *cobra.Command {
	c := &cobra.Command{Use: j.use, Short: j.short, DisableFlagsInUseLine: true}
	c.Flags().SortFlags = false
	do := j.flags(c.Flags())
	asJSON := new(bool)
	if !j.text {
		c.Flags().BoolVar(asJSON, "json", false, reportIsJSON)
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		name, usage := pflag.UnquoteUsage(f) // completions show the usage as it is
		f.Usage, f.Annotations = usage, map[string][]string{valueName: {name}}
	})
	c.Args = func(_ *cobra.Command, args []string) error {
		if len(args) <= j.maxArgs {
			return nil
		}
		msg := "unexpected arguments: " + strings.Join(args, " ")
		if j.argsHint != "" {
			return &usageError{msg: msg + "; " + j.argsHint, bare: true}
		}
		return &usageError{msg: msg}
	}
	c.RunE = func(_ *cobra.Command, args []string) error {
		return j.run(c, args, s, *asJSON, do)
	}
	jobs[c] = &j
	return c
}

// run runs the job, shows how far it is, and prints what it found.
func (j *job) run(c *cobra.Command, args []string, s streams, asJSON bool, do func(*run) (*result, error)) error {
	ctx, stop := interruptible()
	defer stop()
	called := c.CommandPath()
	show := newDisplay(s.err, called)
	res, err := do(&run{ctx, c.Flags(), s, args, show.step})
	show.end()
	if ctx.Err() != nil {
		fmt.Fprintf(s.err, "%s: interrupted\n", called)
	}
	if err != nil {
		input := (*kit.InputError)(nil)
		switch {
		case errors.As(err, &input):
			return &usageError{msg: err.Error()}
		case ctx.Err() != nil && errors.Is(err, context.Canceled):
			return exitStatus(exitInterrupted)
		}
		return err
	}
	for _, w := range res.warnings {
		fmt.Fprintf(s.err, "%s: %s\n", called, w)
	}
	if err := res.write(s.out, asJSON); err != nil {
		return fmt.Errorf("%s: %w", reportUnwritten, err)
	}
	if status := res.status(); status != exitOK {
		return exitStatus(status)
	}
	return nil
}

// interruptible returns a context that ends at the first SIGINT or SIGTERM. A
// second one ends the process.
func interruptible() (ctx context.Context, stop func()) {
	ctx, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// write writes the report at once, so that w has all of it or none.
func (r *result) write(w io.Writer, asJSON bool) (err error) {
	if columns(w) == 0 || os.Getenv("NO_COLOR") != "" {
		text.DisableColors()
	}
	var b bytes.Buffer
	if asJSON {
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		err = e.Encode(r.report)
	} else {
		err = r.render(&b)
	}
	if err == nil {
		_, err = w.Write(b.Bytes())
	}
	return err
}

// status is the exit status of a report: errors count more than an
// interruption.
func (r *result) status() int {
	switch {
	case !r.ok:
		return exitFailed
	case r.partial:
		return exitInterrupted
	}
	return exitOK
}
