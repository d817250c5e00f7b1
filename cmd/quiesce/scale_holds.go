package main

import (
	"io"
	"time"

	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/scale"
)

var scaleHoldsJob = job{
	use:   "holds [flags]",
	short: "longest pinned sections and lock holds; needs -tags holds",
	title: "pinned sections and lock holds, measured",
	about: `
Does the library's heavy work (floods, full caches emptied, many caches
closed, reclaim at a limit, frees without memory, a map, callbacks, Ps that
come and go) and measures every pinned section and every hold of a lock
meanwhile, in CPU time of its thread. The limit is 50 µs, except for mutexes,
whose holders may sleep.

Interruptions by the system are in that time. Empty sections, measured all
along, show how long and how frequent they are, and so how many sections above
the limit they explain. A row with more than three times that and 5 is a MISS.`,
	notes: `A binary without the tag says how to get one, and that is all (status 0).
QUIESCE=preempt_rt=0 has the spin locks spin.`,
	examples: []string{
		`go run -tags holds ./cmd/quiesce scale holds`,
		`go run -tags holds ./cmd/quiesce scale holds -short -json`,
	},
	exits: exits{ok: "measured", failed: couldNotBeDone + "; or something is held too long", usage: badFlag, interrupted: tableSoFar},
	flags: scaleHoldsFlags,
}

func scaleHoldsFlags(fs *pflag.FlagSet) func(*run) (*result, error) {
	cfg := new(scale.HoldsConfig)
	fs.IntVar(&cfg.Objects, "objects", 5_000, "`n` objects of each piece of work, or some (default 5000, with\n-short 2000)")
	fs.DurationVar(&cfg.Duration, "duration", 20*time.Second, "begin no seventh round after this `time` (default 20s, with -short 0)")
	short := fs.Bool("short", false, "less of everything: for CI")
	return func(r *run) (*result, error) {
		if *short && !r.Changed("objects") {
			cfg.Objects = 2_000
		}
		if *short && !r.Changed("duration") {
			cfg.Duration = 0
		}
		rep, err := scale.MeasureHolds(r, *cfg, r.progress.Say)
		if err != nil {
			return nil, err
		}
		return scaleResult(rep, func(w io.Writer) { renderHolds(w, rep) }, rep.Partial, rep.OK), nil
	}
}
