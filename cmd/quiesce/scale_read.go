package main

import (
	"io"
	"strings"

	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/scale"
)

var scaleReadJob = job{
	use:   "read [flags]",
	short: "refscale: readers of RCU, of locks and of counts",
	title: "refscale",
	about: `
nreaders goroutines pass through loops empty read-side sections at once, in
each of nruns runs. A figure is a reader's time for a loop, readdelay included.
Locks and counts are called through a function value, which costs a
nanosecond or two that rcu and pinned do not have.`,
	examples: []string{
		`quiesce scale read`,
		`quiesce scale read -nreaders 1 -scale_type rcu,rwmutex -loops 1000000`,
	},
	exits: exits{ok: "measured", failed: couldNotBeDone, usage: badFlag, interrupted: tableSoFar},
	flags: scaleReadFlags,
}

func scaleReadFlags(fs *pflag.FlagSet) func(*run) (*result, error) {
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
	return func(r *run) (*result, error) {
		if *types != "" {
			cfg.Types = strings.Split(*types, ",")
		}
		rep, err := scale.Read(r, *cfg, r.progress.Say)
		if err != nil {
			return nil, err
		}
		return scaleResult(rep, func(w io.Writer) { renderRead(w, rep) }, rep.Partial, true), nil
	}
}
