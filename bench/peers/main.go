// Command peers measures Quiesce and its peers: the same work, in one run,
// as one table with ratios.
//
// Every measurement is a process of its own, which prints figures: this
// program again for what is written in Go (child.go), a small C program for
// the rest (c/), compiled at run time against Debian's packages. So no peer
// suffers from another's heap, and each is repeated between repetitions of the
// others.
//
// It is in a module of its own, so that programs that import the library do not
// inherit the peers.
package main

import (
	"flag"
	"fmt"
	"io"

	"quiesce/bench/internal/harness"
)

const head = `peers: Quiesce and its peers, the same work in one run

Usage: go run ./bench/peers [flags]

Measures readers, allocators, deferred frees and grace periods of Quiesce, of
what Go programs use instead, and of liburcu, Concurrency Kit, glibc, jemalloc
and mimalloc, and prints one table. The C peers are compiled with cc; those
that are not installed are left out, with a line that names the package:

  apt-get install gcc libc6-dev liburcu-dev libck-dev libjemalloc-dev \
    libmimalloc-dev

Flags:
`

const tail = `
The columns:
  ns       wall time of one operation, for deferred frees of one object from
           its allocation (churn) or from its enqueuing (flood) until it is
           reclaimed; the median of the rounds
  CPU ns   user and system time of all threads of the process, workers included
  ratio    to the row that has 1.00, in the same round; the median of rounds:
           2.00 takes twice as long as Quiesce, 0.50 half as long
A row is noisy if its spread is above 20 %: the distance between the quartiles
of the rounds, of the figure or of its ratio, whichever is larger. Run again on
a quieter machine, or with a larger -count; -json has every spread. The rounds
of a group's rows are interleaved. A flood's cycle is its enqueuing, its
reclaim, and the next owner's allocation and first write. Verdicts follow, on
what Quiesce must reach. docs/measured/peers.md says what each row measures,
and what is not comparable.

Examples:
  go run ./bench/peers -run readers
  go run ./bench/peers -run 'churn/.*(mimalloc|ck_epoch)' -count 9
  go run ./bench/peers -full -run flood -json

Exit status:
  0    measured; what is absent was left out
  1    a row failed, the report could not be written, or -check: a target
       is missed
  2    a bad flag, or one that selects nothing
  130  interrupted (SIGINT, SIGTERM), and clean: the table has what there is.
       A second Ctrl-C ends the program at once.
`

// options are what the flags say.
type options struct {
	run                       string
	count                     int
	asJSON, list, full, quick bool
	check                     bool
}

func (o *options) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("peers", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.run, "run", "", "measure only rows whose GROUP/NAME matches the `regexp`; a group's row with ratio 1.00 always runs along")
	fs.IntVar(&o.count, "count", 5, "`n` rounds (default 5)")
	fs.BoolVar(&o.full, "full", false, "4 M objects in the cold flood, not 0.5 M")
	fs.BoolVar(&o.quick, "quick", false, "a tenth of the time and of the objects: rough figures, to see that it works")
	fs.BoolVar(&o.check, "check", false, "status 1 if a target is missed")
	fs.BoolVar(&o.list, "list", false, "list the rows, and end")
	fs.BoolVar(&o.asJSON, "json", false, "print one JSON object on stdout instead of the table")
	return fs
}

func main() { harness.Main(childArg, child, command) }

var cli = harness.Command{Name: "peers", Head: head, Tail: tail, Selects: "rows"}

func command(args []string, out, errs io.Writer) int {
	var o options
	if status, ok := cli.Parse(o.flags(), args, out, errs); !ok {
		return status
	}
	want, status, ok := cli.Rows(o.count, o.run, errs)
	if !ok {
		return status
	}
	groups := choose(allGroups(), want)
	if status, ok := cli.Chosen(names(groups), o.run, o.list, out, errs); !ok {
		return status
	}

	return o.measure(groups, out, errs)
}

// measure measures the groups, prints the report and returns the exit status.
func (o options) measure(groups []group, out, errs io.Writer) int {
	ctx, stop := harness.UntilInterrupted()
	defer stop()
	rep, err := measure(ctx, groups, o, errs)
	if err != nil {
		fmt.Fprintf(errs, "peers: %v\n", err)
		return harness.ExitFailed
	}
	err = harness.Print(out, rep, o.asJSON, func(w io.Writer) { render(w, rep) })
	status := cli.End(err, len(rep.Failed) > 0, rep.Partial, errs)
	if status == harness.ExitOK && o.check && harness.CountVerdicts(rep.Verdicts, harness.Missed) > 0 {
		return harness.ExitFailed
	}
	return status
}
