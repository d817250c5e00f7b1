// Command caches measures caches for Go side by side: Quiesce's package cache, and
// what programs use in its place. Every measurement of a whole cache is a process of
// its own. The eviction policy (package internal/tinylfu) is also measured alone, by
// its hit ratio on traces. The figures are compared with what must hold.
package main

import (
	"flag"
	"fmt"
	"io"
	"time"

	"quiesce/bench/internal/harness"
)

const head = `caches: caches side by side

Usage: go run ./bench/caches [flags]

Policies: replays requests; each looks a key up, and takes it in if it is not
there. All caches have room for the same number of entries, or of bytes where
the values' sizes differ. Without -traces the workloads are generated.

Whole caches, at equal memory, each in a process of its own: the time of Get,
View and Set, hit ratios where sizes differ, what a large cache costs in memory
and in the garbage collector, and how far memory exceeds the limit. Memory is
RSS: runtime.MemStats does not see what lies off the heap.

All of it takes hours; -run and -count choose.

Flags:
`

const tail = `
Rows, as -run matches them:
  NAME/CAPACITY       a policy on a workload
  get/1, get/2        every key is there; 100 to 50 of 100 operations are Gets
  get/allocs          objects allocated by an operation
  load                a tenth of the keys fits, asked for by Zipf, load on miss
  bytes/NAME/MEMORY   a workload with sizes
  memory              -entries of 121 bytes
  storm               sizes drift, readers keep hold of values

The table of policies, in percent of the requests; each figure is the median:
  ours       Quiesce's policy
  otter      otter v2, held to its capacity: maintenance in the caller
  otter*     otter v2 as it comes: maintenance in a goroutine, until which it
             has up to some 500 entries more than its capacity
  ristr.     ristretto v2, which waits for each set
  theine     as it comes
  lru 2q arc golang-lru v2
That of whole caches has ratios to cache.Bytes in the same round; ~: noisy.
  GC         a collection with the cache full
  GC CPU     the collector's part of the process's CPU time, while one goroutine
             uses the cache, and one allocates 64 KiB every half millisecond
  p99.9      of these 64 KiB
Caches do not count all of their memory. Where sizes differ each is told the
limit with which it takes as much as the others; "takes" is what it took in the
end, after a collection, and "most" the most on the way. fastcache has 32 MiB at
least, and is left out below.
Files of the directory with these names are read, plain, .gz or .xz; others are
left out: adapt_size-* arc-* cache2k-* cloud_physics-* corda-* lirs-* scarab-*.

Examples:
  go run ./bench/caches -short
  go run ./bench/caches -traces DIR -run 'arc|lirs' -count 1
  go run ./bench/caches -run '^(get|load)' -count 9
  go run ./bench/caches -run '^storm' -storm 10m -count 1 -check
  go run ./bench/caches -traces DIR -sizes DIR -check
  go run ./bench/caches -sizes DIR -run '^(bytes|memory)' -svg caches.svg

Exit status:
  0    measured
  1    a file could not be read, a child failed, a result was wrong, the report
       was not written, or, with -check, a target was missed
  2    a bad flag, or one that selects nothing
  130  interrupted (SIGINT, SIGTERM): the table has what there is
`

// options are what the flags say.
type options struct {
	run, traces, sizes   string
	svg                  string
	count, entries       int
	storm                time.Duration
	asJSON, check, short bool
	list                 bool
}

func (o *options) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("caches", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.run, "run", "", "measure only rows that match the `regexp`")
	fs.StringVar(&o.traces, "traces", "", "replay the traces in the `dir`, too")
	fs.StringVar(&o.sizes, "sizes", "", "sizes of values from the CacheLib distributions (*-sizes.json) in the `dir`, too")
	fs.IntVar(&o.count, "count", 5, "`n` runs of what differs from run to run (default 5)")
	fs.IntVar(&o.entries, "entries", 5*million, "`n` entries of the cache whose memory is measured (default 5000000)")
	fs.DurationVar(&o.storm, "storm", 30*time.Second, "`time` of the storm (default 30s; what must hold is for 10m)")
	fs.BoolVar(&o.list, "list", false, "list the rows, and end")
	fs.BoolVar(&o.check, "check", false, "exit with 1 if a target is missed")
	fs.BoolVar(&o.short, "short", false, "few requests, one run: to see in some seconds that it works")
	fs.StringVar(&o.svg, "svg", "", "draw the whole caches that were measured, as SVG, to the `file`")
	fs.BoolVar(&o.asJSON, "json", false, "print one JSON object on stdout instead of the tables")
	return fs
}

var cli = harness.Command{Name: "caches", Head: head, Tail: tail, Selects: "rows"}

func main() { harness.Main(childArg, child, command) }

func command(args []string, out, errs io.Writer) int {
	var o options
	fs := o.flags()
	if status, ok := cli.Parse(fs, args, out, errs); !ok {
		return status
	}
	if o.entries < 1000 || o.storm <= 0 {
		return cli.BadUse(errs, "-entries %d, -storm %v: at least 1000, and more than 0", o.entries, o.storm)
	}
	if o.short {
		o.count, o.entries = 1, min(o.entries, 20_000)
	}
	want, status, ok := cli.Rows(o.count, o.run, errs)
	if !ok {
		return status
	}
	jobs, err := findJobs(o, want)
	if err != nil {
		fmt.Fprintf(errs, "caches: %v\n", err)
		return harness.ExitFailed
	}
	all, err := o.sheets()
	if err != nil {
		fmt.Fprintf(errs, "caches: %v\n", err)
		return harness.ExitFailed
	}
	sheets := chooseSheets(all, want)
	if status, ok := cli.Chosen(names(jobs, sheets), o.run, o.list, out, errs); !ok {
		return status
	}
	ctx, stop := harness.UntilInterrupted()
	defer stop()
	rep, err := measure(ctx, jobs, sheets, o, errs)
	if rep == nil {
		fmt.Fprintf(errs, "caches: %v\n", err)
		return harness.ExitFailed
	}
	broken := err != nil || len(rep.Failed) > 0
	err = harness.Print(out, rep, o.asJSON, func(w io.Writer) { render(w, rep) })
	if err == nil && o.svg != "" && !rep.Partial && len(rep.Sheets) > 0 {
		err = writeChart(o.svg, rep)
	}
	status = cli.End(err, broken, rep.Partial, errs)
	if status == harness.ExitOK && o.check && rep.missed() {
		return harness.ExitFailed
	}
	return status
}

// names are those of the rows, as -run matches them.
func names(jobs []job, sheets []sheet) (all []string) {
	for _, j := range jobs {
		all = append(all, j.String())
	}
	return append(all, harness.RowNames(sheets, func(s sheet) (string, []row) { return s.id, s.rows }, func(r row) string { return r.name })...)
}
