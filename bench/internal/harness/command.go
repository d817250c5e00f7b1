package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
)

// Exit statuses of a command.
const (
	ExitOK          = 0
	ExitFailed      = 1   // a row failed, or the report could not be written
	ExitUsage       = 2   // a bad flag
	ExitInterrupted = 130 // ended early by SIGINT or SIGTERM, and clean
)

// Main is the main function of a command that starts itself again as a child, with
// childArg first.
func Main(childArg string, child, command func(args []string, out, errs io.Writer) int) {
	if len(os.Args) > 1 && os.Args[1] == childArg {
		os.Exit(child(os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(command(os.Args[1:], os.Stdout, os.Stderr))
}

// Command is what a command says of itself. Its arguments are flags alone.
type Command struct {
	Name       string
	Head, Tail string // of the help text, before and after the flags
	Selects    string // what its flag -run selects
}

// Parse parses the arguments. If they ask for help, or are wrong, it prints that,
// and ok is false: the command ends with the status.
func (c Command) Parse(fs *flag.FlagSet, args []string, out, errs io.Writer) (status int, ok bool) {
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, c.Head+DescribeFlags(fs)+c.Tail)
		return ExitOK, false
	case err != nil:
		return c.BadUse(errs, "%v", err), false
	case fs.NArg() > 0:
		return c.BadUse(errs, "unexpected arguments: %s; %s go with -run", strings.Join(fs.Args(), " "), c.Selects), false
	}
	return ExitOK, true
}

// Rows checks the flags -count and -run. If they are right, want matches the rows
// to measure; otherwise ok is false, and the command ends with the status.
func (c Command) Rows(count int, run string, errs io.Writer) (want *regexp.Regexp, status int, ok bool) {
	if count < 1 {
		return nil, c.BadUse(errs, "-count %d: at least 1", count), false
	}
	want, err := regexp.Compile(run)
	if err != nil {
		return nil, c.BadUse(errs, "-run: %v", err), false
	}
	return want, ExitOK, true
}

// RowNames returns the names of all rows as -run matches them, ID/NAME. split
// returns a group's ID and its rows.
func RowNames[G, R any](groups []G, split func(G) (id string, rows []R), name func(R) string) (all []string) {
	for _, g := range groups {
		id, rows := split(g)
		for _, r := range rows {
			all = append(all, id+"/"+name(r))
		}
	}
	return all
}

// Chosen is for the rows that -run selects, by their names. If there are none it
// says so, and if list is set it prints them: then ok is false, and the command ends
// with the status.
func (c Command) Chosen(rows []string, run string, list bool, out, errs io.Writer) (status int, ok bool) {
	switch {
	case len(rows) == 0:
		return c.BadUse(errs, "-run %s: no such row (-list shows them)", run), false
	case list:
		fmt.Fprintln(out, strings.Join(rows, "\n"))
		return ExitOK, false
	}
	return ExitOK, true
}

// End returns the exit status of a command that has measured. err says why the
// report could not be written.
func (c Command) End(err error, failed, partial bool, errs io.Writer) int {
	switch {
	case err != nil:
		fmt.Fprintf(errs, "%s: the report could not be written: %v\n", c.Name, err)
		return ExitFailed
	case failed:
		return ExitFailed
	case partial:
		return ExitInterrupted
	}
	return ExitOK
}

// BadUse prints what is wrong, in a line, and returns the exit status.
func (c Command) BadUse(errs io.Writer, format string, a ...any) int {
	fmt.Fprintf(errs, "%s: %s (see go run ./bench/%s -h)\n", c.Name, fmt.Sprintf(format, a...), c.Name)
	return ExitUsage
}

// UntilInterrupted returns a context that ends with SIGINT or SIGTERM. A second
// signal ends the process.
func UntilInterrupted() (ctx context.Context, stop func()) {
	ctx, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// Print writes a report: as JSON, or as render does.
func Print(out io.Writer, report any, asJSON bool, render func(w io.Writer)) (err error) {
	var b bytes.Buffer
	if asJSON {
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		err = e.Encode(report)
	} else {
		render(&b)
	}
	if err == nil {
		_, err = out.Write(b.Bytes())
	}
	return err
}
