package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/predict"
)

var predictJob = job{
	use:   "predict [flags]",
	short: "what it would do on 8 to 512 processors, and what bends first",
	title: "what Quiesce would do with more processors",
	about: `
Measures some twenty parameters on this machine, on one P and two (membarriers,
lines that change processors, stacks, locks, sheaves, slabs, pages), puts them
into closed forms and into a simulation of P processors that allocate and free
by RCU without a pause, checks both against what one and two Ps do here,
and predicts the rest. It foretells what 64 Ps share (read-modify-writes, locks,
membarriers), too, and with -shared says whether that is what was counted. It
ends with the answer: which resource bends first, at
how many Ps, and what would move it. Takes about half a minute.

Parameters are saved for the next run; -recalibrate measures them again.`,
	notes: `
Columns of the predictions:
  gp, membarrier   one grace period with every P running, and its barrier
  drain            one check by the drain worker of every P's slot
  depot wait       share of the Ps' time that goes to the sheaves' shared stacks
  slab lock        share of time that cache.mu is held
  worker           share of time that the reclaim worker wants a processor and
                   has one; at 100 it can't keep up, and the growth is not 0
  M/s              millions of objects allocated and freed by RCU per second
  in flight        freed, but not yet reclaimed, on average
  held             all slabs and sheaves at the end of the simulated time
  taken            time in which a P ran the worker instead`,
	examples: []string{
		"quiesce predict",
		"quiesce predict -ps 2,64,512 -work 100ns     (a program that does something)",
		"quiesce predict -shared counts.json          (of go run ./tests/shared -json)",
		"quiesce predict -recalibrate -json > prediction.json",
	},
	exits: exits{
		ok:          "done, and the model is within 30 % at one and two Ps, and of what -shared has",
		failed:      "it is further off, and says where; or " + couldNotBeDone,
		usage:       badFlag,
		interrupted: nothingAtAll,
	},
	flags: (&predictFlags{}).define,
}

// predictFlags are the values that flags set.
type predictFlags struct {
	ps, calibration, shared string
	seed                    uint64
	work                    time.Duration
	effort                  float64
	recalibrate             bool
}

func (p *predictFlags) define(fs *pflag.FlagSet) func(*run) (*result, error) {
	fs.StringVar(&p.ps, "ps", "8,16,32,64,128,256,512", "`numbers` of Ps to predict for, separated by commas (default 8,16,32,64,128,256,512)")
	fs.DurationVar(&p.work, "work", 0, "`time` that the program itself spends on each object (default 0: it does nothing else)")
	fs.Uint64Var(&p.seed, "seed", 1, "`n` makes the simulation repeatable, not the measurements (default 1; 0: a random one, which the report shows)")
	fs.Float64Var(&p.effort, "effort", 1, "`factor` for the length of measurements and simulations (default 1)")
	fs.StringVar(&p.calibration, "calibration", "", "`file` of the saved parameters (default: quiesce/predict.json in the user's cache directory)")
	fs.StringVar(&p.shared, "shared", "", "compare what is foretold for 64 Ps with `file`, the output of go run ./tests/shared -json")
	fs.BoolVar(&p.recalibrate, "recalibrate", false, "measure the parameters even if saved ones exist")
	return func(r *run) (*result, error) {
		cfg, err := p.config()
		if err != nil {
			return nil, err
		}
		cfg.Tell = func(what string, done, total int) {
			text := what
			if total > 0 {
				text = fmt.Sprintf("%s, %d of %d", what, done, total)
			}
			r.progress(kit.Step{Phase: what, Text: text, Done: done, Total: total})
		}
		rep, err := predict.Run(r, cfg)
		if r.Err() != nil {
			err = r.Err()
		}
		if err != nil {
			return nil, err
		}
		return &result{report: rep, render: rep.Print, ok: rep.OK}, nil
	}
}

func (p *predictFlags) config() (cfg predict.Config, err error) {
	cfg = predict.Config{Seed: p.seed, WorkNs: float64(p.work), Recalibrate: p.recalibrate, Cache: p.calibration, Effort: p.effort}
	for _, w := range strings.Split(p.ps, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(w))
		if err != nil || n < 1 || n > predict.MaxPs {
			return cfg, kit.BadInput("-ps: want numbers from 1 to %d with commas between them, not %q", predict.MaxPs, w)
		}
		cfg.Ps = append(cfg.Ps, n)
	}
	if p.shared != "" {
		f, err := os.Open(p.shared)
		if err != nil {
			return cfg, kit.BadInput("-shared: %v", err)
		}
		defer f.Close()
		if cfg.Counted, err = predict.ReadCounted(f); err != nil {
			return cfg, kit.BadInput("-shared: %v", err)
		}
	}
	if p.work < 0 || p.work > time.Millisecond {
		return cfg, kit.BadInput("-work: want a time from 0 to 1ms")
	}
	if !(p.effort > 0 && p.effort <= 100) {
		return cfg, kit.BadInput("-effort: want a factor above 0, at most 100")
	}
	if cfg.Seed == 0 {
		cfg.Seed = uint64(rand.Uint32()) + 1
	}
	if cfg.Cache == "" {
		if dir, err := os.UserCacheDir(); err == nil { // without one nothing is saved
			cfg.Cache = filepath.Join(dir, "quiesce", "predict.json")
		}
	}
	return cfg, nil
}
