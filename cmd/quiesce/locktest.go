package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/locktest"
	"quiesce/lockdep"
)

var locktestJob = job{
	use:   "locktest [flags]",
	short: "the kernel's locking self-test, for this library's locks",
	about: `
Runs small scripts of locks, interrupt handlers, readers and allocations, all
real and each in one goroutine, and compares what lockdep reports with what it
must: a lock that may sleep where nothing may, an order of locks that can
deadlock, a lock that a handler may find held, misuse. No deadlock happens, nor
has to: one run of each order is enough for lockdep.

"quiesce locktest seed" shows the one report that this project began with: an
array for kfree_rcu, asked for with a raw spinlock held and the allocator's
caches exhausted; then the same with gfp.NoLocks.

Only builds with -tags lockdep see readers (rcu_read_lock). If the go command
and this program's source are available, the program rebuilds itself with the
tag, in a temporary directory, and runs that.`,
	notes: `
A cell of the table:
  ok      silence, as expected
  ! ok    a report of the expected kind
  FAILED  neither; a line below the table says what was observed instead
  tag     takes a build with -tags lockdep, and was not run

Columns: raw, spin and mutex are lock.Raw, Spin and Mutex; wlock, rlock and
qread are lock.RW's Lock, RLockRecursive and RLock (which queues behind
writers that wait). The digits after a name are the order of its events.`,
	examples: []string{
		"quiesce locktest",
		"quiesce locktest -run 'A-B-B-A' -v      (with the reports' text)",
		"quiesce locktest -run '^Interrupts'",
		"QUIESCE=preempt_rt=0 quiesce locktest               (the same verdicts)",
		"QUIESCE=prove_raw_lock_nesting=0 quiesce locktest   (spin under raw is right)",
	},
	exits: exits{
		ok:          "every verdict was as expected",
		failed:      "a difference; or " + couldNotBeDone,
		usage:       "a bad flag; no row matches -run",
		interrupted: "interrupted (SIGINT, SIGTERM), and clean: the table is the part that was run. A second Ctrl-C ends the process at once.",
	},
	argsHint: `want "seed", or flags`,
	flags:    locktestFlags,
}

// locktestOrder is what the command orders of the process that it has built.
type locktestOrder struct {
	Run     string `json:"run"`
	Verbose bool   `json:"verbose"`
	JSON    bool   `json:"json"`
}

func locktestFlags(fs *pflag.FlagSet) func(*run) (*result, error) {
	var o locktestOrder
	fs.StringVar(&o.Run, "run", "", "run the rows whose \"section: row\" a regular `expression` matches (default: all)")
	fs.BoolVarP(&o.Verbose, "verbose", "v", false, "print the text of every report, after its row")
	rebuild := fs.Bool("rebuild", true, "build and run this program with -tags lockdep, if that can be done; -rebuild=false runs it as it is")
	return func(r *run) (*result, error) {
		if _, err := o.match(); err != nil {
			return nil, err
		}
		if *rebuild && !lockdep.Tagged {
			o.JSON, _ = r.GetBool("json")
			if status, done := rebuilt(r, o); done {
				return nil, exitStatus(status)
			}
		}
		return o.do(r)
	}
}

// match returns the configuration that selects the rows ordered.
func (o *locktestOrder) match() (cfg locktest.Config, err error) {
	if o.Run == "" {
		return cfg, nil
	}
	if cfg.Match, err = regexp.Compile(o.Run); err != nil {
		return cfg, kit.BadInput("%v", err)
	}
	if !locktest.Matches(cfg) {
		return cfg, kit.BadInput("no row matches -run %q", o.Run)
	}
	return cfg, nil
}

// do runs the rows ordered.
func (o *locktestOrder) do(ctx context.Context) (*result, error) {
	cfg, err := o.match()
	if err != nil {
		return nil, err
	}
	rep := locktest.Run(ctx, cfg, nil)
	return locktestResult(&rep, o.Verbose), nil
}

func locktestResult(rep *locktest.Report, verbose bool) *result {
	return &result{report: rep, render: func(w io.Writer) error { rep.Print(w, verbose); return nil }, partial: rep.Partial, ok: rep.OK}
}

// locktestChild is the process that [rebuilt] starts. It prints the report.
func locktestChild(s streams) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var o locktestOrder
	var res *result
	err := kit.Receive(os.Stdin, &o, cancel)
	if err == nil {
		res, err = o.do(ctx)
	}
	if err == nil {
		err = res.write(s.out, o.JSON)
	}
	if err != nil {
		fmt.Fprintf(s.err, "quiesce locktest: %v\n", err)
		return exitFailed
	}
	return res.status()
}

var seedJob = job{
	use:   "seed",
	short: "the report that this project began with",
	about: `
Asks for an array for kfree_rcu with a raw spinlock held and the allocator's
caches exhausted, which lockdep reports; then does the same with gfp.NoLocks.`,
	exits: exits{ok: "the report is there, and NoLocks has none", failed: "it is not", usage: badFlag},
	text:  true,
	flags: func(*pflag.FlagSet) func(*run) (*result, error) {
		return func(*run) (*result, error) {
			var b bytes.Buffer
			res := &result{ok: true}
			if err := locktest.Seed(&b); err != nil {
				res.ok, res.warnings = false, []string{err.Error()}
			}
			res.render = func(w io.Writer) error { _, err := b.WriteTo(w); return err }
			return res, nil
		}
	},
}
