package main

import (
	"io"

	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/scale"
)

var scaleMissesJob = job{
	use:   "misses [flags]",
	short: "cache misses of cold objects, by valgrind's simulation",
	title: "cache misses of cold objects, counted",
	about: `
Runs itself under valgrind's cachegrind, a simulation of caches that counts
the same on every machine, or nearly, and takes no counter of the processor.
Objects of 64 bytes, shuffled and in no cache, are freed under a reader,
reclaimed, and allocated again. A stage's misses are those of a process that
ends after it, less those of one that ends before it.`,
	notes: `Without valgrind it says so, and that is all (status 0).`,
	examples: []string{
		`quiesce scale misses`,
		`quiesce scale misses -short`,
	},
	exits: exits{ok: "measured", failed: couldNotBeDone + "; or a way misses too often", usage: badFlag, interrupted: tableSoFar},
	flags: scaleMissesFlags,
}

func scaleMissesFlags(fs *pflag.FlagSet) func(*run) (*result, error) {
	cfg := new(scale.MissesConfig)
	fs.IntVar(&cfg.Objects, "objects", 50_000, "`n` objects (default 50000, with -short 20000)")
	fs.BoolVar(&cfg.Short, "short", false, "only the reclaim, and not compare's array: for CI")
	return func(r *run) (*result, error) {
		if cfg.Short && !r.Changed("objects") {
			cfg.Objects = 20_000
		}
		var err error
		if cfg.Child, err = childCommand("misses"); err != nil {
			return nil, err
		}
		rep, err := scale.CountMisses(r, *cfg, r.progress.Say)
		if err != nil {
			return nil, err
		}
		return scaleResult(rep, func(w io.Writer) { renderMisses(w, rep) }, rep.Partial, rep.OK), nil
	}
}
