package main

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

	"quiesce/cmd/quiesce/internal/locktest"
	"quiesce/lockdep"
)

const lockdepHead = `quiesce lockdep: the kernel's locking self-test, for this library's locks

Usage: quiesce lockdep [flags]
       quiesce lockdep seed

Runs small scripts of locks, interrupt handlers, readers and allocations, all
real and each in one goroutine, and compares what lockdep reports with what it
must: a lock that may sleep where nothing may, an order of locks that can
deadlock, a lock that a handler may find held, misuse. No deadlock happens, and
none has to: one run of each order is enough for lockdep.

"quiesce lockdep seed" shows the one report that this project began with: an
array for kfree_rcu, asked for with a raw spinlock held and the allocator's
caches exhausted; then the same with gfp.NoLocks.

Readers (rcu_read_lock) are seen by builds with -tags lockdep only. Where the
go command and this program's source are at hand, it builds itself anew with the
tag, in a temporary directory, and runs that.

Flags:
`

const lockdepTail = `
A cell of the table:
  ok      silence, as expected
  ! ok    a report of the expected kind
  FAILED  neither; a line below the table tells what was observed instead
  tag     takes a build with -tags lockdep, and was not run

Columns: raw, spin and mutex are lock.Raw, Spin and Mutex; wlock, rlock and
qread are lock.RW's Lock, RLockRecursive and RLock (which waits in line, behind
writers that wait). The digits behind a name are the order of its events.

Examples:
  quiesce lockdep
  quiesce lockdep -run 'A-B-B-A' -v      (with the reports' text)
  quiesce lockdep -run '^Interrupts'
  QUIESCE=preempt_rt=0 quiesce lockdep               (the same verdicts)
  QUIESCE=prove_raw_lock_nesting=0 quiesce lockdep   (spin under raw is right)

Exit status:
  0    every verdict was as expected
  1    a difference; or the job could not be done
  2    a bad flag; no row matches -run
  130  interrupted (SIGINT, SIGTERM), and clean: the table is the part that
       was run. A second Ctrl-C ends the process at once.
`

// lockdepFlags are the values that flags land in.
type lockdepFlags struct {
	run                      string
	verbose, asJSON, rebuild bool
}

func (l *lockdepFlags) set() *flag.FlagSet {
	fs := newFlags("lockdep")
	fs.StringVar(&l.run, "run", "", "run the rows whose \"section: row\" a regular `expression` matches (default: all)")
	fs.BoolVar(&l.verbose, "v", false, "print the text of every report, behind its row")
	fs.BoolVar(&l.asJSON, "json", false, "print one JSON object on stdout instead of the table")
	fs.BoolVar(&l.rebuild, "rebuild", true, "build and run this program with -tags lockdep, if that can be done; -rebuild=false runs it as it is")
	return fs
}

// lockdepChild is the first argument of a process that another one has built:
// it ends when its stdin does, since the terminal's Ctrl-C is for the parent.
const lockdepChild = "-child-of-quiesce-lockdep"

func runLockdep(args []string, s streams) int {
	child := len(args) > 0 && args[0] == lockdepChild
	rest := args
	if child {
		rest = args[1:]
	}
	var l lockdepFlags
	fs := l.set()
	usage := func(err any) int {
		fmt.Fprintf(s.err, "quiesce lockdep: %v (see quiesce lockdep -h)\n", err)
		return exitUsage
	}
	words, err := parse(fs, rest)
	seed := len(words) == 1 && words[0] == "seed"
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(s.out, lockdepHead+describe(fs)+lockdepTail)
		return exitOK
	case err != nil:
		return usage(err)
	case len(words) > 0 && !seed:
		return usage(fmt.Sprintf("no arguments but \"seed\", please: %s", strings.Join(words, " ")))
	case seed && (isSet(fs, "run") || isSet(fs, "v") || isSet(fs, "json")):
		return usage("seed has no flags")
	}
	var cfg locktest.Config
	if l.run != "" {
		if cfg.Match, err = regexp.Compile(l.run); err != nil {
			return usage(err)
		}
		if !locktest.Matches(cfg) {
			return usage(fmt.Sprintf("no row matches -run %q", l.run))
		}
	}

	if seed {
		return lockdepSeed(s)
	}
	ctx, stop := interruptible(child)
	defer stop()
	if l.rebuild && !lockdep.Tagged && !child {
		if status, done := rebuilt(ctx, rest, s); done {
			return status
		}
	}
	return lockdepTable(ctx, cfg, &l, s)
}

// interruptible is done at the first SIGINT or SIGTERM, or for a child at the
// end of its stdin. A second signal ends the process.
func interruptible(child bool) (ctx context.Context, stop func()) {
	if !child {
		ctx, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		context.AfterFunc(ctx, stop)
		return ctx, stop
	}
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	ctx, stop = context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return ctx, stop
}

func lockdepSeed(s streams) int {
	var b bytes.Buffer
	err := locktest.Seed(&b)
	if _, werr := s.out.Write(b.Bytes()); werr != nil {
		err = errors.Join(err, fmt.Errorf("the report could not be written: %w", werr))
	}
	if err != nil {
		fmt.Fprintf(s.err, "quiesce lockdep: %v\n", err)
		return exitFailed
	}
	return exitOK
}

func lockdepTable(ctx context.Context, cfg locktest.Config, l *lockdepFlags, s streams) int {
	rep := locktest.Run(ctx, cfg, func(string, string, string) {})
	if rep.Partial {
		fmt.Fprintln(s.err, "quiesce lockdep: interrupted")
	}
	var b bytes.Buffer
	var err error
	if l.asJSON {
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		err = e.Encode(rep)
	} else {
		rep.Print(&b, l.verbose)
	}
	if err == nil {
		_, err = s.out.Write(b.Bytes())
	}
	if err != nil {
		fmt.Fprintf(s.err, "quiesce lockdep: the report could not be written: %v\n", err)
		return exitFailed
	}
	return lockdepStatus(&rep)
}

// lockdepStatus is the exit status that tells of a report.
func lockdepStatus(rep *locktest.Report) int {
	switch {
	case !rep.OK:
		return exitFailed
	case rep.Partial:
		return exitInterrupted
	}
	return exitOK
}
