package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"quiesce/tests/internal/overlay"
)

const usage = `usage: go run ./tests/shared [-json] [-objects n] [-runs n] [-sites]

Counts the work that processors share, and shows that it doesn't grow with
them. It compiles the library with a counter at each atomic read-modify-write
and at each acquisition of a lock (go build -overlay: no file of the repository
is touched), and runs these workloads on 2, 16 and 64 Ps, one goroutine per P:

%s
Each run is a process. It handles the same number of objects whatever the
number of Ps, after a quarter as many to warm up, so what each P needs once is
not counted. The table has, per 1,000 objects, the read-modify-writes, the
locks taken, the membarriers and the grace periods of the whole process, the
library's own goroutines included. Below it are the sites that count most, with
the tag under which docs/design/memory-ordering.md accounts for them. What a P
does in its slow paths to words of its own (tag slot) moves no cache line: the
column (own) has it, and it is not judged. A lock.Raw is a hold and a read-
modify-write; the other locks are Go's, and are holds only.

A count grows if with 64 Ps it is more than 1.5 times what it is with 2, plus 1
per 1,000 objects. Counting needs no processors, so a machine with 2 will do,
but it is a severe judge. With 64 Ps it handles no more objects a second than
with 2, and the service looks at each P's arrays every 10 to 40 ms, so 32 times
as many looks fall on an object as on 64 processors. And a P that loses its
processor with an array open or a section begun makes grace periods long, which
come in bursts then. The allowance of 1 is for that. Other load on the machine
adds to it.

Ctrl-C ends it and leaves nothing. The exit status is 0 if nothing grows, 1 if
something does or it could not be counted, 2 for wrong use.

`

func about() (text string) {
	for _, w := range workloads {
		text += fmt.Sprintf("  %-8s %s\n", w.name, w.about)
	}
	return text
}

func main() { os.Exit(command(os.Args[1:])) }

// command runs the command, and returns its exit status.
func command(args []string) int {
	flags := flag.NewFlagSet("shared", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), usage, about())
		flags.PrintDefaults()
	}
	asJSON := flags.Bool("json", false, "print all counts as JSON in place of the tables")
	objects := flags.Int("objects", 1<<24, "`n` objects in a run, at least 64000")
	runs := flags.Int("runs", 3, "`n` runs, of which the median is taken")
	list := flags.Bool("sites", false, "list what is counted, and run nothing")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(os.Stderr, "shared: unknown argument %q; -h explains\n", flags.Arg(0))
		return 2
	case *objects < 64000 || *runs < 1:
		fmt.Fprintln(os.Stderr, "shared: -objects must be 64000 or more, -runs 1 or more")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *list {
		return listSites(ctx)
	}
	rep, err := measure(ctx, *objects, *runs, func(what string) { fmt.Fprintln(os.Stderr, what) })
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "interrupted")
		return 1
	case err != nil:
		fmt.Fprintln(os.Stderr, "shared:", err)
		return 1
	}
	if *asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "\t")
		err = enc.Encode(rep)
	} else {
		rep.print(os.Stdout)
	}
	if err != nil || !rep.OK {
		return 1
	}
	return 0
}

// listSites prints what is counted.
func listSites(ctx context.Context) int {
	root, err := overlay.Root(ctx)
	if err == nil {
		var o *overlaid
		if o, err = instrumented(root, counted); err == nil {
			for _, s := range o.sites {
				fmt.Printf("%-4s %s:%d %s: %s (%s)\n", s.Kind, s.File, s.Line, s.In, s.Text, s.Tags)
			}
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, "shared:", err)
	return 1
}
