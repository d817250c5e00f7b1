// Command caches measures the hit ratio of Quiesce's eviction policy (package
// internal/tinylfu) and of Go's caches side by side, on traces and on generated
// workloads, and compares the figures with what the policy must reach.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"quiesce/bench/internal/harness"
)

const head = `caches: hit ratios of caches side by side

Usage: go run ./bench/caches [flags]

Replays requests: each looks a key up, and takes it in if it is not there. All
caches have room for the same number of entries, or of bytes where the values'
sizes differ. Without -traces the workloads are generated.

Flags:
`

const tail = `
The table, in percent of the requests; each figure is the median of the runs:
  ours       Quiesce's policy
  otter      otter v2, held to its capacity: maintenance in the caller
  otter*     otter v2 as it comes: maintenance in a goroutine, until which it
             has up to some 500 entries more than its capacity
  ristr.     ristretto v2, which waits for each set
  theine     as it comes
  lru 2q arc golang-lru v2
Files of the directory with these names are read, plain, .gz or .xz; others are
left out: adapt_size-* arc-* cache2k-* cloud_physics-* corda-* lirs-* scarab-*.

Examples:
  go run ./bench/caches -short
  go run ./bench/caches -traces DIR -run 'arc|lirs' -count 1
  go run ./bench/caches -traces DIR -sizes DIR -check

Exit status:
  0    measured
  1    a file could not be read, the report not written, or, with -check, a
       target was missed
  2    a bad flag, or one that selects nothing
  130  interrupted (SIGINT, SIGTERM): the table has what there is
`

// options are what the flags say.
type options struct {
	run, traces, sizes   string
	count                int
	asJSON, check, short bool
}

func (o *options) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("caches", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.run, "run", "", "measure only rows whose NAME/CAPACITY matches the `regexp`")
	fs.StringVar(&o.traces, "traces", "", "replay the traces in the `dir`, too")
	fs.StringVar(&o.sizes, "sizes", "", "sizes of values from the CacheLib distributions (*-sizes.json) in the `dir`, too")
	fs.IntVar(&o.count, "count", 5, "`n` runs of what differs from run to run (default 5)")
	fs.BoolVar(&o.check, "check", false, "exit with 1 if a target is missed")
	fs.BoolVar(&o.short, "short", false, "few requests, one run: to see in some seconds that it works")
	fs.BoolVar(&o.asJSON, "json", false, "print one JSON object on stdout instead of the tables")
	return fs
}

var cli = harness.Command{Name: "caches", Head: head, Tail: tail, Selects: "rows"}

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }

func command(args []string, out, errs io.Writer) int {
	var o options
	fs := o.flags()
	if status, ok := cli.Parse(fs, args, out, errs); !ok {
		return status
	}
	if o.short {
		o.count = 1
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
	if len(jobs) == 0 {
		return cli.BadUse(errs, "-run %s: no such row", o.run)
	}
	ctx, stop := harness.UntilInterrupted()
	defer stop()
	rep, err := measure(ctx, jobs, o, errs)
	if err != nil {
		fmt.Fprintf(errs, "caches: %v\n", err)
		return harness.ExitFailed
	}
	err = harness.Print(out, rep, o.asJSON, func(w io.Writer) { render(w, rep) })
	status = cli.End(err, false, rep.Partial, errs)
	if status == harness.ExitOK && o.check && rep.missed() {
		return harness.ExitFailed
	}
	return status
}
