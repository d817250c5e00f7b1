package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/torture"
)

var tortureJob = job{
	use:   "torture [flags]",
	short: "rcutorture: readers, updaters and failures, all at once",
	title: "rcutorture for this library",
	about: `
Readers of every flavour, nested at random, with delays in them; a writer
that publishes objects and frees the old ones after grace periods asked for
in every way; threads that allocate, and free by FreeRCU in every context,
some of them through Sheaves of their own, which they open, close and drop;
maps that grow and shrink while they are read, walked and changed; barriers,
floods of callbacks, stalls, GOMAXPROCS changes, allocations that fail, little
memory. An object grows older by one with every grace period since its
removal. A reader that sees an age above 1, a word of a freed object, a map
without a key that stays, a lost callback, a leak or a hang is a failure.

A scenario is a set of parameters, and runs in a process of its own. By default
all of them except those that fail on purpose run, in rounds of about 30 s
each, so that any duration covers all.`,
	notes: `
Parameters of a scenario file and of -bootargs, as words of name=value (the
names are rcutorture's where it has them; 0 is no and 1 is yes):
` + describeParams() + `
The summary of a scenario:
  ver                   objects published
  rta, rtaf, rtf        objects allocated, not available, freed
  rtmbe, rtmbkf, rtbe   errors: unmarked objects, mailboxes, barriers
  nt                    readers in handlers
  Reader Pipe           ages that readers saw; from the third on they are errors
  Reader Batch          grace periods that ended in a section; likewise
  Free-Block ...        objects that reached each age; the last must be 0
  owner                 operations through Sheaves; Sheaves; stock not given
  map                   operations on the maps; Puts that got no memory
  !!!                   what must not be`,
	examples: []string{
		"quiesce torture -duration 1h",
		"quiesce torture -scenario TREE03,RT0 -duration 2m -seed 42",
		`quiesce torture -scenario TREE01 -bootargs "nreaders=8 stall_cpu=3"`,
		`quiesce torture -scenario MAP -bootargs "map_ops=100000000" -duration 1h`,
		"quiesce torture -scenario BUSTED        (a broken RCU: this must fail)",
	},
	exits: exits{
		ok:          "every scenario was a success",
		failed:      "a failure; or " + couldNotBeDone,
		usage:       "a bad flag, parameter or scenario file",
		interrupted: "interrupted (SIGINT, SIGTERM), and clean: the summary covers the time so far. A second Ctrl-C ends the process at once.",
	},
	argsHint: "scenarios go with -scenario",
	flags:    tortureFlags,
}

func tortureFlags(fs *pflag.FlagSet) func(*run) (*result, error) {
	var cfg torture.Config
	scenario := fs.String("scenario", "", "`names` of scenarios or files of parameters, separated by commas (default: all that are not meant to fail)")
	fs.DurationVar(&cfg.Duration, "duration", time.Minute, "how long all of them run together, a `time` like 20s, 5m, 1h (default 1m)")
	fs.Uint64Var(&cfg.Seed, "seed", 0, "`n` makes each thread's decisions repeatable, though not what the scheduler does; round k has seed n+k (default: a random one, which the table shows)")
	fs.Float64Var(&cfg.Fault, "fault", 10, "`percent` of object and page allocations that are made to fail, in scenarios that do not say (default 10)")
	fs.StringVar(&cfg.Params, "bootargs", "", "`words` of name=value, for every scenario")
	list := fs.Bool("list", false, "list the scenarios and their parameters, and end")
	return func(r *run) (*result, error) {
		if *list {
			return &result{report: torture.List(), render: listScenarios, ok: true}, nil
		}
		var err error
		if cfg.Scenarios, err = torture.Find(*scenario); err != nil {
			return nil, err
		}
		if !r.Changed("seed") {
			cfg.Seed = uint64(rand.Uint32())
		}
		if cfg.Child, err = childCommand("torture"); err != nil {
			return nil, err
		}
		cfg.Quit = syscall.SIGQUIT
		rep, err := torture.Run(r, cfg, r.progress)
		if err != nil {
			return nil, err
		}
		res := &result{report: rep, render: func(w io.Writer) error { renderTorture(w, rep); return nil }, partial: rep.Partial, ok: rep.OK}
		for _, x := range rep.Results {
			if x.Log != "" && len(x.Failures) > 0 {
				res.warnings = append(res.warnings, fmt.Sprintf("stderr of %s:\n%s", x.Scenario, strings.TrimSpace(x.Log)))
			}
		}
		return res, nil
	}
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

func listScenarios(w io.Writer) error {
	t := newSheet()
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 2, WidthMax: 60, WidthMaxEnforcer: text.WrapSoft}})
	t.AppendHeader(table.Row{"scenario", "what it is, and its parameters"})
	for i, s := range torture.Scenarios() {
		if i > 0 {
			t.AppendSeparator()
		}
		t.row(s.Name, s.About)
		if words := s.Words(); words != "" {
			t.row("", words)
		}
	}
	_, err := fmt.Fprintln(w, t.Render())
	return err
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
