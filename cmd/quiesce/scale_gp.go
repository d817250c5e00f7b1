package main

import (
	"io"
	"time"

	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/scale"
)

var scaleGPJob = job{
	use:   "gp [flags]",
	short: "rcuscale's writers: how long grace periods take",
	title: "how long grace periods take",
	about: `
nwriters goroutines wait for one grace period after another, while nreaders do
nothing but enter and leave sections. Each writer measures at least
100, at most 10,000. Writers that wait at once share grace periods, so there
can be fewer batches than measurements.`,
	examples: []string{
		`quiesce scale gp`,
		`quiesce scale gp -nreaders 1 -nwriters 1 -writer_holdoff 100us`,
		`quiesce scale gp -gp_async`,
	},
	exits: exits{ok: "measured", failed: couldNotBeDone, usage: badFlag, interrupted: tableSoFar},
	flags: scaleGPFlags,
}

func scaleGPFlags(fs *pflag.FlagSet) func(*run) (*result, error) {
	cfg := new(scale.GPConfig)
	fs.IntVar(&cfg.NReaders, "nreaders", -1, "`n` goroutines that read (default: one for each P)")
	fs.IntVar(&cfg.NWriters, "nwriters", -1, "`n` goroutines that wait (default: one for each P)")
	fs.BoolVar(&cfg.Async, "gp_async", false, "rcu.Call, measured until its callback, instead of rcu.Synchronize")
	fs.IntVar(&cfg.AsyncMax, "gp_async_max", 1000, "`n` callbacks of a writer in flight (default 1000)")
	fs.BoolVar(&cfg.Exp, "gp_exp", false, "rcu.SynchronizeExpedited")
	fs.DurationVar(&cfg.Holdoff, "holdoff", 100*time.Millisecond, "a `time` to wait before the writers begin (default 100ms; the kernel's 10s is for its boot)")
	fs.DurationVar(&cfg.WriterHoldoff, "writer_holdoff", 0, "a `time` to wait before each grace period, like 100us")
	fs.DurationVar(&cfg.MinRuntime, "minruntime", 2*time.Second, "measure for this `time` at least, as far as 10,000 measurements of a writer go (default 2s)")
	return func(r *run) (*result, error) {
		rep, err := scale.GP(r, *cfg, r.progress.Say)
		if err != nil {
			return nil, err
		}
		return scaleResult(rep, func(w io.Writer) { renderGP(w, rep) }, rep.Partial, true), nil
	}
}
