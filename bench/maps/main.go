// Command maps measures concurrent maps side by side: rcuhash, what Go programs
// use instead, and liburcu's rculfhash, as one table with ratios, and compares
// the figures with what rcuhash must reach.
//
// Every measurement of a map is a process of its own (child.go, c/maps.c), so
// that no map suffers from another's heap. The processes of a job (a kind of
// keys and their number) run in turn, round after round.
package main

import (
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"quiesce/bench/internal/harness"
)

const head = `maps: concurrent maps side by side

Usage: go run ./bench/maps [flags]

Measures rcuhash, xsync.Map, a map under an RWMutex and 256 of them, a bare map
(reads only), sync.Map, haxmap, and liburcu's rculfhash in C, and prints one
table, and what rcuhash must reach with verdicts. The C map is compiled with
cc; where it is not installed, it is left out, with a line that says so:

  apt-get install gcc libc6-dev liburcu-dev

All of it takes an hour or more; -run and -keys choose.

Flags:
`

const tail = `
The table:
  hit, miss   look-ups of keys that are in the map, or are not: wall time by
              the look-ups of all goroutines, as in Go's parallel benchmarks
  ReadLock    rcuhash's and rculfhash's readers have sections: one for each
  each        look-up, or
  Reader      the same with an rcu.Reader, which belongs to a goroutine
  1 section   one for 1000 look-ups
  updates     in turn a Put of a key that is there, the insertion of one that
              isn't, and the deletion of one that was inserted
  growth      insertion alone; p99.9 of Get, at rest and while the map grows;
              the longest Put by the CPU time of its thread, and the same of
              a loop that puts nothing: what the machine adds
  memory      RSS of a process, after the collector gave back what it could,
              and at its peak
  ratio       to the row that has 1.00, in the same round; the median of rounds:
              2.00 takes twice as long, 0.50 half as long
That a map loses nothing is no measurement: quiesce torture -scenario MAP.
A figure with ~ is noisy: the quartiles of its rounds, or of its ratios, are
more than 20 % apart. Every look-up's result is checked; a wrong one ends the
run. docs/measured/maps.md says what each work measures, and what is not
comparable.

Examples:
  go run ./bench/maps -short
  go run ./bench/maps -run 'uint64/hit' -keys 1M,8M -count 9
  go run ./bench/maps -run 'grow|rss' -check
  go run ./bench/maps -keys 64M -run uint64/

Exit status:
  0    measured; what is absent or does not fit was left out
  1    a row failed, a look-up was wrong, the report could not be written, or,
       with -check, a target was missed
  2    a bad flag, or one that selects nothing
  130  interrupted (SIGINT, SIGTERM), and clean: the table has what there is.
       A second Ctrl-C ends the program at once.
`

// options are what the flags say.
type options struct {
	run, sizes, svg            string
	count                      int
	asJSON, list, check, short bool
	keys                       []int // of full maps
	grow, rss                  int   // keys of the map that grows, of the one whose memory is measured
}

func (o *options) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("maps", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.run, "run", "", "measure only rows whose WORK/NAME matches the `regexp`; a work's row with ratio 1.00 always runs along")
	fs.StringVar(&o.sizes, "keys", "1k,64k,1M,8M", "`sizes` of the full maps (default 1k,64k,1M,8M). What does not fit into memory (64M strings, for some) is left out, with a line")
	fs.IntVar(&o.count, "count", 5, "`n` rounds (default 5)")
	fs.BoolVar(&o.check, "check", false, "exit with 1 if a target is missed")
	fs.BoolVar(&o.short, "short", false, "few keys, short batches, one round: to see in some seconds that it works")
	fs.BoolVar(&o.list, "list", false, "list the works' rows, and end")
	fs.BoolVar(&o.asJSON, "json", false, "print one JSON object on stdout instead of the table")
	fs.StringVar(&o.svg, "svg", "", "draw the first work of the table, too, as an SVG `file`")
	return fs
}

func main() { harness.Main(childArg, child, command) }

var cli = harness.Command{Name: "maps", Head: head, Tail: tail, Selects: "works"}

func command(args []string, out, errs io.Writer) int {
	var o options
	fs := o.flags()
	if status, ok := cli.Parse(fs, args, out, errs); !ok {
		return status
	}
	want, status, ok := cli.Rows(o.count, o.run, errs)
	if !ok {
		return status
	}
	var err error
	if o.keys, err = parseSizes(o.sizes); err != nil {
		return cli.BadUse(errs, "-keys: %v", err)
	}
	o.grow, o.rss = million, entries
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if o.short {
		o.grow, o.rss = 2000, 20_000
		if !given["keys"] {
			o.keys = []int{1000, 8000}
		}
		if !given["count"] {
			o.count = 1
		}
	}
	groups := choose(allGroups(o), want)
	if status, ok := cli.Chosen(names(groups), o.run, o.list, out, errs); !ok {
		return status
	}
	return o.measure(groups, out, errs)
}

// parseSizes reads a list of numbers of keys.
func parseSizes(s string) (sizes []int, err error) {
	for _, word := range strings.Split(s, ",") {
		word = strings.TrimSpace(word)
		digits, unit := word, 1
		switch {
		case strings.HasSuffix(word, "k"):
			digits, unit = word[:len(word)-1], 1000
		case strings.HasSuffix(word, "M"):
			digits, unit = word[:len(word)-1], million
		}
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || n*unit < leastKeys || n > mostKeys/unit {
			return nil, fmt.Errorf("%q: want %d to %s, such as 64k or 8M", word, leastKeys, short(mostKeys))
		}
		sizes = append(sizes, n*unit)
	}
	return sizes, nil
}

const (
	leastKeys = 100
	mostKeys  = 1000 * million // their numbers have 32 bits
)

// measure measures the groups, prints the report and returns the exit status.
func (o options) measure(groups []group, out, errs io.Writer) int {
	ctx, stop := harness.UntilInterrupted()
	defer stop()
	rep, err := measure(ctx, groups, o, errs)
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(errs, "maps: %v\n", err)
		return harness.ExitFailed
	}
	if err != nil {
		return harness.ExitInterrupted
	}
	err = harness.Print(out, rep, o.asJSON, func(w io.Writer) { render(w, rep) })
	if err == nil && o.svg != "" && !rep.Partial && len(rep.Groups) > 0 {
		err = writeChart(o.svg, rep)
	}
	status := cli.End(err, len(rep.Failed) > 0, rep.Partial, errs)
	if status == harness.ExitOK && o.check && harness.CountVerdicts(rep.Verdicts, harness.Missed) > 0 {
		return harness.ExitFailed
	}
	return status
}
