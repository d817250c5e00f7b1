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
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"quiesce/cmd/quiesce/internal/scale"
)

const scaleHead = `quiesce scale: rcuscale and refscale for this library

Usage: quiesce scale kfree|read|gp|alloc|check [flags]
       quiesce scale -cachegrind [flags]

  kfree        rcuscale's kfree_rcu test, and the time until all is reclaimed
  read         refscale: readers of RCU, of locks and of counts
  gp           rcuscale's writers: how long grace periods take
  alloc        the allocator: hot, shuffled, freed elsewhere, churn
  check        the table of what this library must reach, with verdicts
  -cachegrind  cache misses of cold objects, by valgrind's simulation

Parameters have the kernel's names. "quiesce scale kfree -h" and so on tell
more. Every command has -json.
`

const scaleFoot = `
Exit status:
  0    measured
  1    the job could not be done%s
  2    a bad flag
  130  interrupted (SIGINT, SIGTERM), and clean: the table covers what was
       measured. A second Ctrl-C ends the process at once.
`

// scaleTask is one of the commands below scale.
type scaleTask struct {
	name, head, tail string
	failed           string // what else exit status 1 means
	flags            func(fs *flag.FlagSet) scaleRun
}

// scaleRun does the work: a report, whether it is all there, whether it is good.
type scaleRun func(ctx context.Context, fs *flag.FlagSet, s streams, tell scale.Tell) (*scaleDone, error)

type scaleDone struct {
	report      any
	render      func(w io.Writer)
	partial, ok bool
}

var scaleTasks = []scaleTask{
	{"kfree", scaleKfreeHead, scaleKfreeTail, "", scaleKfree},
	{"read", scaleReadHead, scaleReadTail, "", scaleRead},
	{"gp", scaleGPHead, scaleGPTail, "", scaleGP},
	{"alloc", scaleAllocHead, scaleAllocTail, "", scaleAlloc},
	{"check", scaleCheckHead, scaleCheckTail, "; or a figure missed its target", scaleCheck},
	{"-cachegrind", scaleCachegrindHead, scaleCachegrindTail, "; or a way misses too often", scaleCachegrind},
}

func runScale(args []string, s streams) int {
	usage := func(err any) int {
		fmt.Fprintf(s.err, "quiesce scale: %v (see quiesce scale -h)\n", err)
		return exitUsage
	}
	if len(args) == 0 {
		return usage("want kfree, read, gp, alloc, check or -cachegrind")
	}
	name := args[0]
	switch name {
	case scale.ColdArg:
		if err := scale.ColdChild(args[1:]); err != nil {
			fmt.Fprintf(s.err, "quiesce scale: %v\n", err)
			return exitFailed
		}
		return exitOK
	case "-h", "-help", "--help":
		fmt.Fprint(s.out, scaleHead)
		return exitOK
	case "--cachegrind":
		name = "-cachegrind"
	}
	for _, t := range scaleTasks {
		if t.name == name {
			return t.do(args[1:], s)
		}
	}
	return usage(fmt.Sprintf("no such test: %s", name))
}

func (t *scaleTask) do(args []string, s streams) int {
	called := "quiesce scale " + t.name
	fs := newFlags("scale " + t.name)
	run := t.flags(fs)
	asJSON := fs.Bool("json", false, "print one JSON object on stdout instead of the table; names tell the units")
	usage := func(err any) int {
		fmt.Fprintf(s.err, "%s: %v (see %s -h)\n", called, err, called)
		return exitUsage
	}
	rest, err := parse(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(s.out, "%s%s%s"+scaleFoot, t.head, describe(fs), t.tail, t.failed)
		return exitOK
	case err != nil:
		return usage(err)
	case len(rest) > 0:
		return usage("no arguments, please: " + strings.Join(rest, " "))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process

	show := &scaleDisplay{w: s.err, width: columns(s.err), called: called}
	done, err := run(ctx, fs, s, show.tell)
	show.end(ctx.Err() != nil)
	if err != nil {
		if input := (*scale.InputError)(nil); errors.As(err, &input) {
			return usage(err)
		}
		fmt.Fprintf(s.err, "%s: %v\n", called, err)
		return exitFailed
	}
	if columns(s.out) == 0 || os.Getenv("NO_COLOR") != "" {
		text.DisableColors()
	}
	var b bytes.Buffer
	if *asJSON && done.report != nil {
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		err = e.Encode(done.report)
	} else {
		done.render(&b)
	}
	if err == nil {
		_, err = s.out.Write(b.Bytes())
	}
	switch {
	case err != nil:
		fmt.Fprintf(s.err, "%s: the report could not be written: %v\n", called, err)
		return exitFailed
	case !done.ok:
		return exitFailed
	case done.partial:
		return exitInterrupted
	}
	return exitOK
}

// scaleDisplay shows how far it is: one line on a terminal, a line now and then
// elsewhere.
type scaleDisplay struct {
	w      io.Writer
	width  int
	called string
	last   time.Time
}

func (d *scaleDisplay) tell(format string, args ...any) {
	if d.width == 0 {
		if time.Since(d.last) < plainEvery {
			return
		}
		d.last = time.Now()
		fmt.Fprintf(d.w, d.called+": "+format+"\n", args...)
		return
	}
	words := []rune(fmt.Sprintf(format, args...))
	fmt.Fprintf(d.w, "\r%s%s", clearLine, string(words[:min(len(words), d.width-1)]))
}

func (d *scaleDisplay) end(interrupted bool) {
	if d.width > 0 {
		fmt.Fprint(d.w, "\r"+clearLine)
	}
	if interrupted {
		fmt.Fprintf(d.w, "%s: interrupted\n", d.called)
	}
}

const scaleKfreeHead = `quiesce scale kfree: rcuscale's kfree_rcu test

Usage: quiesce scale kfree [flags]

Each thread allocates an object and frees it after a grace period,
kfree_alloc_num times in each of kfree_loops loops. rcuscale's line has the
time until the last object is queued; the table goes on until all of them are
reclaimed. The kernel's kfree_rcu_test_double is kfree_rcu(obj, rcu_head), and
_single is kfree_rcu(obj), which may sleep. Here neither needs a word of the
object: double is Cache.FreeRCU, whose caller knows the object's cache, single
is Kmalloc and KfreeRCU, which finds it by the page. With neither, double.

Flags:
`

const scaleKfreeTail = `
Examples:
  quiesce scale kfree -kfree_loops 1000
  quiesce scale kfree -kfree_loops 100 -strategy list
  quiesce scale kfree -preset list
  quiesce scale kfree -preset xeon -scale 100
`

func scaleKfree(fs *flag.FlagSet) scaleRun {
	cfg := new(scale.KfreeConfig)
	fs.IntVar(&cfg.Threads, "kfree_nthreads", -1, "`n` goroutines (default: one for each P)")
	fs.IntVar(&cfg.AllocNum, "kfree_alloc_num", 8000, "`n` objects in a loop (default 8000)")
	fs.IntVar(&cfg.Loops, "kfree_loops", 10, "`n` loops of each goroutine (default 10)")
	fs.IntVar(&cfg.Mult, "kfree_mult", 1, "objects are `n` times 24 bytes, up to 85 (default 1)")
	fs.BoolVar(&cfg.VarySize, "kfree_vary_obj_size", false, "objects of 32, 48, 80 and 112 bytes by turns: 16, 32, 64, 96 and the rcu_head's 16")
	fs.BoolVar(&cfg.ByCallRCU, "kfree_by_call_rcu", false, "free by rcu.Call, each object in a callback of its own")
	fs.BoolVar(&cfg.Double, "kfree_rcu_test_double", false, "free by Cache.FreeRCU; with _single, too, either at random")
	fs.BoolVar(&cfg.Single, "kfree_rcu_test_single", false, "allocate by Kmalloc and free by KfreeRCU")
	fs.DurationVar(&cfg.Holdoff, "holdoff", 0, "a `time` to wait before it begins")
	fs.DurationVar(&cfg.MinRuntime, "minruntime", 0, "loop on until this `time` has passed")
	fs.StringVar(&cfg.Strategy, "strategy", "", "a `name` of quiesce compare's strategies in place of what ships ("+strings.Join(scale.Strategies(), ", ")+"); objects have 64 bytes")
	preset := fs.String("preset", "", "run a published test by its `name`, with the kernel's figures beside; \"list\" lists them. The flags above still count")
	by := fs.Int("scale", 100, "divide the preset's loops by `n` (default 100)")
	return func(ctx context.Context, fs *flag.FlagSet, s streams, tell scale.Tell) (*scaleDone, error) {
		if *preset == "list" {
			return &scaleDone{report: scale.Presets, render: listPresets, ok: true}, nil
		}
		var then *scale.Preset
		if *preset != "" {
			c, p, err := scale.FindPreset(*preset, *by)
			if err != nil {
				return nil, err
			}
			own := *cfg
			*cfg, then = c, p
			cfg.Holdoff, cfg.MinRuntime, cfg.Strategy = own.Holdoff, own.MinRuntime, own.Strategy
			cfg.ByCallRCU, cfg.Double, cfg.Single = own.ByCallRCU, own.Double, own.Single
			if isSet(fs, "kfree_vary_obj_size") || own.Strategy != "" {
				cfg.VarySize = own.VarySize
			}
			for name, v := range map[string][2]*int{"kfree_nthreads": {&cfg.Threads, &own.Threads}, "kfree_alloc_num": {&cfg.AllocNum, &own.AllocNum},
				"kfree_loops": {&cfg.Loops, &own.Loops}, "kfree_mult": {&cfg.Mult, &own.Mult}} {
				if isSet(fs, name) {
					*v[0] = *v[1]
				}
			}
		} else if isSet(fs, "scale") {
			return nil, scale.BadInput("-scale is for -preset")
		}
		tell("%d loops of %d objects", cfg.Loops, cfg.AllocNum)
		r, err := scale.Kfree(ctx, *cfg, tell)
		if err != nil {
			return nil, err
		}
		r.Kernel = then
		return &scaleDone{r, func(w io.Writer) { renderKfree(w, r) }, r.Partial, true}, nil
	}
}

const scaleReadHead = `quiesce scale read: refscale

Usage: quiesce scale read [flags]

nreaders goroutines pass through loops empty read-side sections at once, in
each of nruns runs. A figure is a reader's time for a loop, readdelay included.
Locks and counts are called through a function value, which costs a
nanosecond or two that rcu and pinned do not have.

Flags:
`

const scaleReadTail = `
Examples:
  quiesce scale read
  quiesce scale read -nreaders 1 -scale_type rcu,rwmutex -loops 1000000
`

func scaleRead(fs *flag.FlagSet) scaleRun {
	cfg := new(scale.ReadConfig)
	var names []string
	for _, t := range scale.ReadTypes() {
		names = append(names, t[0])
	}
	fs.IntVar(&cfg.Loops, "loops", 10_000, "`n` sections of each reader in a run (default 10000)")
	fs.IntVar(&cfg.NReaders, "nreaders", -1, "`n` goroutines (default: three quarters of the Ps)")
	fs.IntVar(&cfg.NRuns, "nruns", 30, "`n` runs (default 30)")
	fs.DurationVar(&cfg.ReadDelay, "readdelay", 0, "a `time` to stay in each section, like 500ns")
	fs.DurationVar(&cfg.Holdoff, "holdoff", 0, "a `time` to wait before it begins")
	types := fs.String("scale_type", "", "`names`, separated by commas: "+strings.Join(names, ", ")+" (default: all)")
	return func(ctx context.Context, fs *flag.FlagSet, s streams, tell scale.Tell) (*scaleDone, error) {
		if *types != "" {
			cfg.Types = strings.Split(*types, ",")
		}
		r, err := scale.Read(ctx, *cfg, tell)
		if err != nil {
			return nil, err
		}
		return &scaleDone{r, func(w io.Writer) { renderRead(w, r) }, r.Partial, true}, nil
	}
}

const scaleGPHead = `quiesce scale gp: how long grace periods take

Usage: quiesce scale gp [flags]

nwriters goroutines wait for one grace period after the other, beside nreaders
that do nothing but enter and leave sections. Each writer measures at least
100, at most 10,000. Writers that wait at once share grace periods, so there
can be fewer batches than measurements.

Flags:
`

const scaleGPTail = `
Examples:
  quiesce scale gp
  quiesce scale gp -nreaders 1 -nwriters 1 -writer_holdoff 100us
  quiesce scale gp -gp_async
`

func scaleGP(fs *flag.FlagSet) scaleRun {
	cfg := new(scale.GPConfig)
	fs.IntVar(&cfg.NReaders, "nreaders", -1, "`n` goroutines that read (default: one for each P)")
	fs.IntVar(&cfg.NWriters, "nwriters", -1, "`n` goroutines that wait (default: one for each P)")
	fs.BoolVar(&cfg.Async, "gp_async", false, "rcu.Call, measured until its callback, in place of rcu.Synchronize")
	fs.IntVar(&cfg.AsyncMax, "gp_async_max", 1000, "`n` callbacks of a writer in flight (default 1000)")
	fs.BoolVar(&cfg.Exp, "gp_exp", false, "rcu.SynchronizeExpedited")
	fs.DurationVar(&cfg.Holdoff, "holdoff", 100*time.Millisecond, "a `time` to wait before the writers begin (default 100ms; the kernel's 10s is for its boot)")
	fs.DurationVar(&cfg.WriterHoldoff, "writer_holdoff", 0, "a `time` to wait before each grace period, like 100us")
	fs.DurationVar(&cfg.MinRuntime, "minruntime", 2*time.Second, "measure for this `time` at least, as far as 10,000 measurements of a writer go (default 2s)")
	return func(ctx context.Context, fs *flag.FlagSet, s streams, tell scale.Tell) (*scaleDone, error) {
		r, err := scale.GP(ctx, *cfg, tell)
		if err != nil {
			return nil, err
		}
		return &scaleDone{r, func(w io.Writer) { renderGP(w, r) }, r.Partial, true}, nil
	}
}

const scaleAllocHead = `quiesce scale alloc: the allocator

Usage: quiesce scale alloc [flags]

Flags:
`

func scaleAlloc(fs *flag.FlagSet) scaleRun {
	cfg := new(scale.AllocConfig)
	sizes := fs.String("sizes", "", fmt.Sprintf("object `bytes`, separated by commas, of %v (default: all)", scale.AllocSizes()))
	cases := fs.String("cases", "", "`names`, separated by commas (default: all)")
	fs.IntVar(&cfg.Repeats, "repeats", 9, "measure each `n` times (default 9)")
	return func(ctx context.Context, fs *flag.FlagSet, s streams, tell scale.Tell) (*scaleDone, error) {
		if *cases != "" {
			cfg.Cases = strings.Split(*cases, ",")
		}
		if *sizes != "" {
			for w := range strings.SplitSeq(*sizes, ",") {
				n, err := strconv.Atoi(w)
				if err != nil {
					return nil, scale.BadInput("-sizes %s: want numbers, separated by commas", *sizes)
				}
				cfg.Sizes = append(cfg.Sizes, n)
			}
		}
		r, err := scale.Alloc(ctx, *cfg, tell)
		if err != nil {
			return nil, err
		}
		return &scaleDone{r, func(w io.Writer) { renderAlloc(w, r) }, r.Partial, true}, nil
	}
}

var scaleAllocTail = func() string {
	var b strings.Builder
	b.WriteString("\nCases, in ns for an object's allocation and freeing together:\n")
	for _, c := range scale.AllocCases() {
		fmt.Fprintf(&b, "  %-10s%s\n", c[0], c[1])
	}
	b.WriteString("\nExample:\n  quiesce scale alloc -sizes 64,256 -cases hot,churn\n")
	return b.String()
}()

const scaleCheckHead = `quiesce scale check: what this library must reach, and what it reaches here

Usage: quiesce scale check [flags]

Measures each row of the design's table of targets beside what it is compared
with, by turns, several times. A verdict is on the median:
  ok     it meets the target
  MISS   it doesn't, and by how much
  noisy  no majority of the repeats lies within 20 % of each other, and they do
         not agree; or the loops had no processor to themselves
  ~      (behind a verdict) as noisy, but every repeat says the same

Flags:
`

const scaleCheckTail = `
Examples:
  quiesce scale check
  quiesce scale check -run 'reader|ReadLock' -repeats 15
  quiesce scale check -objects 4000000 -live 20000000     (the table's sizes)
`

func scaleCheck(fs *flag.FlagSet) scaleRun {
	cfg := new(scale.CheckConfig)
	match := fs.String("run", "", "measure the rows whose name a regular `expression` matches (default: all)")
	fs.IntVar(&cfg.Repeats, "repeats", 9, "measure each figure `n` times, at least 5; the slow rows five times (default 9)")
	fs.IntVar(&cfg.Objects, "objects", 1_000_000, "`n` objects of 64 bytes in a cold flood (default 1000000)")
	fs.IntVar(&cfg.Live, "live", 2_000_000, "`n` live objects of 64 bytes for the collector's row (default 2000000)")
	list := fs.Bool("list", false, "list the rows, and end")
	return func(ctx context.Context, fs *flag.FlagSet, s streams, tell scale.Tell) (*scaleDone, error) {
		if *list {
			return &scaleDone{scale.CheckRows(), func(w io.Writer) { fmt.Fprintln(w, strings.Join(scale.CheckRows(), "\n")) }, false, true}, nil
		}
		var err error
		if *match != "" {
			if cfg.Match, err = regexp.Compile(*match); err != nil {
				return nil, scale.BadInput("%v", err)
			}
		}
		if cfg.Child, err = coldChild(); err != nil {
			return nil, err
		}
		r, err := scale.Check(ctx, *cfg, tell)
		if err != nil {
			return nil, err
		}
		return &scaleDone{r, func(w io.Writer) { renderCheck(w, r) }, r.Partial, r.OK}, nil
	}
}

const scaleCachegrindHead = `quiesce scale -cachegrind: cache misses of cold objects, counted

Usage: quiesce scale -cachegrind [flags]

Runs itself under valgrind's cachegrind, a simulation of caches that counts
the same on every machine, or nearly, and takes no counter of the processor.
Objects of 64 bytes, shuffled and in no cache, are freed under a reader,
reclaimed, and allocated again. A stage's misses are those of a process that
ends behind it, less those of one that ends before it.

Flags:
`

const scaleCachegrindTail = `
Without valgrind it says so, and that is all (status 0).
`

func scaleCachegrind(fs *flag.FlagSet) scaleRun {
	cfg := new(scale.CachegrindConfig)
	fs.IntVar(&cfg.Objects, "objects", 50_000, "`n` objects (default 50000, with -short 20000)")
	fs.BoolVar(&cfg.Short, "short", false, "only the reclaim, and not the lab's array: for CI")
	return func(ctx context.Context, fs *flag.FlagSet, s streams, tell scale.Tell) (*scaleDone, error) {
		if cfg.Short && !isSet(fs, "objects") {
			cfg.Objects = 20_000
		}
		var err error
		if cfg.Child, err = coldChild(); err != nil {
			return nil, err
		}
		r, err := scale.Cachegrind(ctx, *cfg, tell)
		if err != nil {
			return nil, err
		}
		return &scaleDone{r, func(w io.Writer) { renderCachegrind(w, r) }, r.Partial, r.OK}, nil
	}
}

// coldChild is this program as a child of cachegrind's.
func coldChild() ([]string, error) {
	self, err := os.Executable()
	return []string{self, "scale", scale.ColdArg}, err
}
