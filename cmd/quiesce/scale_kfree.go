package main

import (
	"io"
	"strings"

	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/scale"
)

var scaleKfreeJob = job{
	use:   "kfree [flags]",
	short: "rcuscale's kfree_rcu test, and the time until all is reclaimed",
	title: "rcuscale's kfree_rcu test",
	about: `
Each thread allocates an object and frees it after a grace period,
kfree_alloc_num times in each of kfree_loops loops. rcuscale's line has the
time until the last object is queued; the table continues until all of them are
reclaimed. The kernel's kfree_rcu_test_double is kfree_rcu(obj, rcu_head), and
_single is kfree_rcu(obj), which may sleep. Here neither needs a word of the
object: double is Cache.FreeRCU, whose caller knows the object's cache, single
is Kmalloc and KfreeRCU, which finds it by the page. With neither, double.`,
	examples: []string{
		`quiesce scale kfree -kfree_loops 1000`,
		`quiesce scale kfree -kfree_loops 100 -strategy list`,
		`quiesce scale kfree -preset list`,
		`quiesce scale kfree -preset xeon -scale 100`,
	},
	exits: exits{ok: "measured", failed: couldNotBeDone, usage: badFlag, interrupted: tableSoFar},
	flags: scaleKfreeFlags,
}

func scaleKfreeFlags(fs *pflag.FlagSet) func(*run) (*result, error) {
	cfg := new(scale.KfreeConfig)
	fs.IntVar(&cfg.Threads, "kfree_nthreads", -1, "`n` goroutines (default: one for each P)")
	fs.IntVar(&cfg.AllocNum, "kfree_alloc_num", 8000, "`n` objects in a loop (default 8000)")
	fs.IntVar(&cfg.Loops, "kfree_loops", 10, "`n` loops of each goroutine (default 10)")
	fs.IntVar(&cfg.Mult, "kfree_mult", 1, "objects are `n` times 24 bytes, up to 85 (default 1)")
	fs.BoolVar(&cfg.VarySize, "kfree_vary_obj_size", false, "objects of 32, 48, 80 and 112 bytes by turns: 16, 32, 64, 96 and the rcu_head's 16")
	fs.BoolVar(&cfg.ByCallRCU, "kfree_by_call_rcu", false, "free by rcu.Call, each object in a callback of its own")
	fs.BoolVar(&cfg.Double, "kfree_rcu_test_double", false, "free by Cache.FreeRCU; with _single, too, either at random")
	fs.BoolVar(&cfg.Single, "kfree_rcu_test_single", false, "allocate by Kmalloc and free by KfreeRCU")
	fs.DurationVar(&cfg.Holdoff, "holdoff", 0, "a `time` to wait before it begins")
	fs.DurationVar(&cfg.MinRuntime, "minruntime", 0, "loop on until this `time` has passed")
	fs.StringVar(&cfg.Strategy, "strategy", "", "a `name` of quiesce compare's strategies instead of what ships ("+strings.Join(scale.Strategies(), ", ")+"); objects have 64 bytes")
	preset := fs.String("preset", "", "run a published test by its `name`, with the kernel's figures next to it; \"list\" lists them. The flags above still count")
	by := fs.Int("scale", 100, "divide the preset's loops by `n` (default 100)")
	return func(r *run) (*result, error) {
		if *preset == "list" {
			return scaleResult(scale.Presets, listPresets, false, true), nil
		}
		var then *scale.Preset
		if *preset != "" {
			c, p, err := scale.FindPreset(*preset, *by)
			if err != nil {
				return nil, err
			}
			own := *cfg
			*cfg, then = c, p
			cfg.Holdoff, cfg.MinRuntime, cfg.Strategy = own.Holdoff, own.MinRuntime, own.Strategy
			cfg.ByCallRCU, cfg.Double, cfg.Single = own.ByCallRCU, own.Double, own.Single
			if r.Changed("kfree_vary_obj_size") || own.Strategy != "" {
				cfg.VarySize = own.VarySize
			}
			for name, v := range map[string][2]*int{"kfree_nthreads": {&cfg.Threads, &own.Threads}, "kfree_alloc_num": {&cfg.AllocNum, &own.AllocNum},
				"kfree_loops": {&cfg.Loops, &own.Loops}, "kfree_mult": {&cfg.Mult, &own.Mult}} {
				if r.Changed(name) {
					*v[0] = *v[1]
				}
			}
		} else if r.Changed("scale") {
			return nil, kit.BadInput("-scale is for -preset")
		}
		r.progress.Say("%d loops of %d objects", cfg.Loops, cfg.AllocNum)
		rep, err := scale.Kfree(r, *cfg, r.progress.Say)
		if err != nil {
			return nil, err
		}
		rep.Kernel = then
		return scaleResult(rep, func(w io.Writer) { renderKfree(w, rep) }, rep.Partial, true), nil
	}
}
