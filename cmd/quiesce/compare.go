package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"

	"quiesce/cmd/quiesce/internal/compare"
)

const compareHead = `quiesce compare: the mail's ways out, measured beside each other

Usage: quiesce compare [flags]

"Raw spinlocks and memory allocation" (July 2020) weighs ways to give
kfree_rcu its arrays. Each of them is built here over the same allocator and
RCU, and so are those that Linux merged later and the one that this library
ships. All are measured for plain, raw atomic and mixed callers, with locks
that sleep and locks that spin (preempt_rt), with memory plenty and with the
page lists exhausted; each strategy in a process of its own, because one of
them dies.

Strategies:
`

const compareTail = `
Each cell is measured at least three times. Where the closest three runs lie
more than 20 % apart, after up to seven, the machine was too noisy for that
cell, and it is marked with a "~".

Examples:
  quiesce compare -html report.html
  quiesce compare -strategies list,nolocks,sheaf -json
  quiesce compare -full            (4 M cold objects; some twenty minutes)

Exit status:
  0    measured
  1    the job could not be done
  2    a bad flag
  130  interrupted (SIGINT, SIGTERM), and clean: the table covers what was
       measured. A second Ctrl-C ends the process at once.
`

// compareFlags are the values that flags land in.
type compareFlags struct {
	cfg        compare.RunConfig
	strategies string
	html       string
	csv        bool
	asJSON     bool
}

func (c *compareFlags) set() *flag.FlagSet {
	fs := newFlags("compare")
	fs.StringVar(&c.strategies, "strategies", "", "`names`, separated by commas (default: all)")
	fs.IntVar(&c.cfg.Objects, "objects", 0, "`n` objects of 64 bytes in a cold flood (default 500000, with -full 4000000)")
	fs.BoolVar(&c.cfg.Full, "full", false, "4 million cold objects, and a cold flood for every kind of caller")
	fs.StringVar(&c.html, "html", "", "write a report with charts to `file`: one page that needs nothing else")
	fs.BoolVar(&c.asJSON, "json", false, "print one JSON object on stdout instead of the tables; names tell the units")
	fs.BoolVar(&c.csv, "csv", false, "print comma-separated values on stdout instead of the tables, a line for each cell")
	return fs
}

func runCompare(args []string, s streams) int {
	if len(args) == 1 && args[0] == compare.ChildArg {
		// The terminal's Ctrl-C is for the parent, who closes stdin.
		signal.Ignore(os.Interrupt, syscall.SIGTERM)
		return compare.Child(os.Stdin, s.out)
	}
	var c compareFlags
	fs := c.set()
	usage := func(err any) int {
		fmt.Fprintf(s.err, "quiesce compare: %v (see quiesce compare -h)\n", err)
		return exitUsage
	}
	fail := func(err error) int {
		fmt.Fprintf(s.err, "quiesce compare: %v\n", err)
		return exitFailed
	}
	rest, err := parse(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(s.out, compareHead+describeStrategies()+"\nFlags:\n"+describe(fs)+compareTail)
		return exitOK
	case err != nil:
		return usage(err)
	case len(rest) > 0:
		return usage(fmt.Sprintf("no arguments, please: %s", strings.Join(rest, " ")))
	case c.asJSON && c.csv:
		return usage("-json or -csv, not both")
	}
	if c.strategies != "" {
		c.cfg.Strategies = strings.Split(c.strategies, ",")
	}
	self, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	c.cfg.Child = []string{self, "compare", compare.ChildArg}
	var page *os.File
	if c.html != "" { // before the work, not after it
		if page, err = os.Create(c.html); err != nil {
			return usage(err)
		}
		defer page.Close()
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process

	show := &compareDisplay{w: s.err, width: columns(s.err)}
	rep, err := compare.Run(ctx, c.cfg, show.tell)
	show.end(ctx.Err() != nil)
	if err != nil {
		if input := (*compare.InputError)(nil); errors.As(err, &input) {
			return usage(err)
		}
		return fail(err)
	}
	if page != nil {
		if err = rep.WriteHTML(page); err == nil {
			err = page.Close()
		}
		if err != nil {
			return fail(fmt.Errorf("the page could not be written: %w", err))
		}
	}
	switch {
	case c.asJSON:
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		err = e.Encode(rep)
	case c.csv:
		err = rep.WriteCSV(s.out)
	default:
		_, err = io.WriteString(s.out, renderCompare(rep))
	}
	if err != nil {
		return fail(fmt.Errorf("the report could not be written: %w", err))
	}
	for _, e := range rep.Errors {
		fmt.Fprintf(s.err, "quiesce compare: %s\n", e)
	}
	switch {
	case rep.Partial:
		return exitInterrupted
	case len(rep.Errors) > 0:
		return exitFailed
	}
	return exitOK
}

func describeStrategies() string {
	var b strings.Builder
	for _, s := range compare.Strategies {
		fmt.Fprintf(&b, "  %-9s  %s\n", s.Name, s.Does)
	}
	return b.String()
}

// compareDisplay shows how far it is: a bar on a terminal, a line now and then
// elsewhere.
type compareDisplay struct {
	w     io.Writer
	width int
	bar   *progressbar.ProgressBar
	last  time.Time
}

func (d *compareDisplay) tell(st compare.Status) {
	if d.width == 0 {
		if time.Since(d.last) >= plainEvery {
			d.last = time.Now()
			fmt.Fprintf(d.w, "quiesce compare: %d of %d: %s\n", st.Done, st.Total, st)
		}
		return
	}
	if d.bar == nil {
		d.bar = progressbar.NewOptions(st.Total,
			progressbar.OptionSetWriter(d.w),
			progressbar.OptionSetWidth(20),
			progressbar.OptionShowDescriptionAtLineEnd(),
		)
	}
	d.bar.Describe(st.String())
	d.bar.Set(st.Done)
}

func (d *compareDisplay) end(interrupted bool) {
	if d.width > 0 {
		fmt.Fprint(d.w, "\r"+clearLine)
	}
	if interrupted {
		fmt.Fprintln(d.w, "quiesce compare: interrupted")
	}
}
