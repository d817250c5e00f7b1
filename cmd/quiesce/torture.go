package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"quiesce/cmd/quiesce/internal/torture"
)

const tortureHead = `quiesce torture: rcutorture for this library

Usage: quiesce torture [flags]

Readers of every flavour, nested at random, with delays in them; a writer
that publishes objects and frees the old ones after grace periods asked for
in every way; threads that allocate, and free by FreeRCU in every context;
barriers, floods of callbacks, stalls, GOMAXPROCS changes, allocations that
fail, little memory. An object grows older by one with every grace period
since its removal. A reader that sees an age above 1, a word of a freed
object, a lost callback, a leak or a hang is a failure.

A scenario is a set of parameters, run in a process of its own. By default
all of them but those that fail on purpose are run, in rounds of about 30 s
each, so that any duration covers all.

Flags:
`

const tortureTail = `
Parameters of a scenario file and of -bootargs, as words of name=value (the
names are rcutorture's where it has them; 0 is no and 1 is yes):
`

const tortureFoot = `
The summary of a scenario:
  ver                   objects published
  rta, rtaf, rtf        objects allocated, not to be had, freed
  rtmbe, rtmbkf, rtbe   errors: unmarked objects, mailboxes, barriers
  nt                    readers in handlers
  Reader Pipe           ages that readers saw; from the third on they are errors
  Reader Batch          grace periods that ended in a section; likewise
  Free-Block ...        objects that reached each age; the last must be 0
  !!!                   what must not be

Examples:
  quiesce torture -duration 1h
  quiesce torture -scenario TREE03,RT0 -duration 2m -seed 42
  quiesce torture -scenario TREE01 -bootargs "nreaders=8 stall_cpu=3"
  quiesce torture -scenario BUSTED        (a broken RCU: this must fail)

Exit status:
  0    every scenario was a success
  1    a failure; or the job could not be done
  2    a bad flag, parameter or scenario file
  130  interrupted (SIGINT, SIGTERM), and clean: the summary covers the time so
       far. A second Ctrl-C ends the process at once.
`

// tortureFlags are the values that flags land in.
type tortureFlags struct {
	cfg          torture.Config
	scenario     string
	list, asJSON bool
}

func (t *tortureFlags) set() *flag.FlagSet {
	fs := newFlags("torture")
	fs.StringVar(&t.scenario, "scenario", "", "`names` of scenarios or files of parameters, separated by commas (default: all that are not meant to fail)")
	fs.DurationVar(&t.cfg.Duration, "duration", time.Minute, "how long all of them run together, a `time` like 20s, 5m, 1h (default 1m)")
	fs.Uint64Var(&t.cfg.Seed, "seed", 0, "`n` makes each thread's decisions repeatable, though not what the scheduler does; round k has seed n+k (default: a random one, which the table shows)")
	fs.Float64Var(&t.cfg.Fault, "fault", 10, "`percent` of object and page allocations that are made to fail, in scenarios that do not say (default 10)")
	fs.StringVar(&t.cfg.Params, "bootargs", "", "`words` of name=value, for every scenario")
	fs.BoolVar(&t.list, "list", false, "list the scenarios and their parameters, and end")
	fs.BoolVar(&t.asJSON, "json", false, "print one JSON object on stdout instead of the summaries; names tell the units")
	return fs
}

func runTorture(args []string, s streams) int {
	if len(args) == 1 && args[0] == torture.ChildArg {
		// The terminal's Ctrl-C is for the parent, who closes stdin.
		signal.Ignore(os.Interrupt, syscall.SIGTERM)
		return torture.Child(os.Stdin, s.out, s.err)
	}
	var t tortureFlags
	fs := t.set()
	usage := func(err any) int {
		fmt.Fprintf(s.err, "quiesce torture: %v (see quiesce torture -h)\n", err)
		return exitUsage
	}
	rest, err := parse(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(s.out, tortureHead+describe(fs)+tortureTail+describeParams()+tortureFoot)
		return exitOK
	case err != nil:
		return usage(err)
	case len(rest) > 0:
		return usage(fmt.Sprintf("no arguments, please: %s; scenarios go with -scenario", strings.Join(rest, " ")))
	case t.list:
		listScenarios(s.out)
		return exitOK
	}
	if t.cfg.Scenarios, err = torture.Find(t.scenario); err != nil {
		return usage(err)
	}
	if !isSet(fs, "seed") {
		t.cfg.Seed = uint64(rand.Uint32())
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintf(s.err, "quiesce torture: %v\n", err)
		return exitFailed
	}
	t.cfg.Child, t.cfg.Quit = []string{self, "torture", torture.ChildArg}, syscall.SIGQUIT

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process

	show := &tortureDisplay{w: s.err, width: columns(s.err)}
	rep, err := torture.Run(ctx, t.cfg, show.tell)
	show.end(ctx.Err() != nil)
	if err != nil {
		if input := (*torture.InputError)(nil); errors.As(err, &input) {
			return usage(err)
		}
		fmt.Fprintf(s.err, "quiesce torture: %v\n", err)
		return exitFailed
	}
	for _, r := range rep.Results {
		if r.Log != "" && len(r.Failures) > 0 {
			fmt.Fprintf(s.err, "quiesce torture: stderr of %s:\n%s\n", r.Scenario, strings.TrimSpace(r.Log))
		}
	}
	var b bytes.Buffer
	if t.asJSON {
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		err = e.Encode(rep)
	} else {
		renderTorture(&b, rep)
	}
	if err == nil {
		_, err = s.out.Write(b.Bytes())
	}
	if err != nil {
		fmt.Fprintf(s.err, "quiesce torture: the report could not be written: %v\n", err)
		return exitFailed
	}
	switch {
	case !rep.OK:
		return exitFailed
	case rep.Partial:
		return exitInterrupted
	}
	return exitOK
}

// describeParams lists the parameters for the help text.
func describeParams() string {
	const indent = 29
	var b strings.Builder
	for _, p := range torture.Params() {
		lines := strings.Split(text.WrapSoft(p[2], 79-indent), "\n")
		fmt.Fprintf(&b, "  %-*s%s\n", indent-2, p[0]+"="+p[1], strings.TrimSpace(lines[0]))
		for _, l := range lines[1:] {
			fmt.Fprintf(&b, "%*s%s\n", indent, "", strings.TrimSpace(l))
		}
	}
	return b.String()
}

func listScenarios(w io.Writer) {
	t := newSheet()
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 2, WidthMax: 60, WidthMaxEnforcer: text.WrapSoft}})
	t.AppendHeader(table.Row{"scenario", "what it is, and its parameters"})
	for i, s := range torture.Scenarios() {
		if i > 0 {
			t.AppendSeparator()
		}
		about := s.About
		if words := s.Words(); words != "" {
			about += "\n" + words
		}
		t.row(s.Name, about)
	}
	fmt.Fprintln(w, t.Render())
}

// tortureDisplay shows how far it is: one line on a terminal, a line now and
// then elsewhere.
type tortureDisplay struct {
	w     io.Writer
	width int
}

func (d *tortureDisplay) tell(st torture.Status) {
	words := fmt.Sprintf("%s of %s  round %d/%d  %s", st.Total.Round(time.Second), st.Length, st.Round, st.Rounds, st.Scenario)
	if st.ElapsedS > 0 {
		words += fmt.Sprintf("  ver %s  %s gp/s  %s reads/s  %s frees/s", count(st.Version), si(st.GPsPerS), si(st.ReadsPerS), si(st.KfreePerS))
	}
	if st.Failures > 0 {
		words += fmt.Sprintf("  !!! %d", st.Failures)
	}
	if d.width > 0 {
		if r := []rune(words); len(r) >= d.width {
			words = string(r[:d.width-1])
		}
		fmt.Fprintf(d.w, "\r%s%s", clearLine, words)
		return
	}
	fmt.Fprintln(d.w, "quiesce torture:", words)
}

func (d *tortureDisplay) end(interrupted bool) {
	if d.width > 0 {
		fmt.Fprint(d.w, "\r"+clearLine)
	}
	if interrupted {
		fmt.Fprintln(d.w, "quiesce torture: interrupted")
	}
}

// renderTorture writes the report for people: each scenario's summary, then a
// table of all.
func renderTorture(w io.Writer, rep *torture.Report) {
	for _, r := range rep.Results {
		r.Summary(w)
		fmt.Fprintln(w)
	}
	t := newSheet()
	right := func(n int) table.ColumnConfig {
		return table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight}
	}
	t.SetColumnConfigs([]table.ColumnConfig{right(2), right(3), right(4), right(5), right(6), right(7)})
	t.AppendHeader(table.Row{"scenario", "s", "gp/s", "ver", "reads/s", "frees/s", "MiB", "verdict"})
	failed, done := 0, 0
	for _, r := range rep.Results {
		rate := func(n uint64) string {
			if r.RanS == 0 {
				return ""
			}
			return si(float64(n) / r.RanS)
		}
		if len(r.Failures) > 0 {
			failed++
		}
		if r.Rounds > 0 {
			done++
		}
		t.row(r.Scenario, decimals(r.RanS, 1), rate(r.GPs), count(r.Version), rate(r.Reads), rate(r.Kfree.Freed), mib(r.Memory.Peak), r.Verdict)
	}
	fmt.Fprintln(w, t.Render())
	fmt.Fprintf(w, "-seed %d  %s in %s, %.0f s", rep.Seed, plural(done, "scenario"), plural(rep.Rounds, "round"), rep.RanS)
	if rep.Delays {
		fmt.Fprint(w, ", with delays")
	}
	switch {
	case failed > 0:
		fmt.Fprintf(w, "\nFAILED: %d of %s\n", failed, plural(done, "scenario"))
	case rep.Partial:
		fmt.Fprintln(w, "\nPARTIAL: interrupted; no failures so far")
	default:
		fmt.Fprintln(w, "\nok: no failures")
	}
}
