package scale

import "time"

// Preset is a test that kernel developers published, with what they found.
type Preset struct {
	Name   string      `json:"name"`
	About  string      `json:"about"`
	Source string      `json:"source"`
	Runs   []KernelRun `json:"runs"`
	config KfreeConfig // with all of its loops
}

// KernelRun is what the kernel did then. It is another machine, and the times
// end when all is queued.
type KernelRun struct {
	What    string  `json:"what"`
	Seconds float64 `json:"s"`       // median where there were several
	Batches int     `json:"batches"` // likewise
	MB      int     `json:"mb"`      // likewise
}

// threadsThen are the processors of the machine, one thread each.
func preset(name, about, source string, threadsThen, loops, allocNum int, vary bool, runs ...KernelRun) Preset {
	return Preset{name, about, source, runs, KfreeConfig{
		Threads: threadsThen, Loops: loops, AllocNum: allocNum, Mult: 1, VarySize: vary,
	}}
}

// slabAndSLUB names the runs of a test that both allocators ran.
func slabAndSLUB(runs ...KernelRun) []KernelRun {
	for i, what := range []string{"SLAB, list", "SLAB, arrays", "SLUB, list", "SLUB, arrays"} {
		runs[i].What = what
	}
	return runs
}

// Presets are all of them, the oldest first.
var Presets = []Preset{
	preset("hikey", "kfree_bulk() in kfree_rcu(), first posted: HiKey 960, 8 CPUs, SLAB",
		"20191231122241.5702-1-urezki@gmail.com, 31 Dec 2019", 8, 200_000, 1000, false,
		KernelRun{"before (list)", 102.898760401, 5822, 158},
		KernelRun{"after (arrays)", 89.947009882, 6715, 115}),
	preset("joel", "the same patch, four object sizes",
		"Joel Fernandes, 14 Jan 2020, in the thread of the patch", -1, 10_000, 8000, true,
		slabAndSLUB(KernelRun{"", 21.08, 2743, 322}, KernelRun{"", 17.34, 3355, 316},
			KernelRun{"", 9.58, 1151, 387}, KernelRun{"", 9.99, 1148, 417})...),
	preset("xeon", "the same patch, four object sizes: Xeon W-2135, 12 CPUs",
		"Uladzislau Rezki, 15 Jan 2020, in the thread of the patch", 12, 200_000, 1000, true,
		slabAndSLUB(KernelRun{"", 53.570, 1921, 1248}, KernelRun{"", 23.982, 810, 1219},
			KernelRun{"", 51.279, 1713, 719}, KernelRun{"", 50.710, 1628, 456})...),
	preset("poll", "polled grace periods in kfree_rcu(): 64 CPUs, 16 threads",
		"cc37d52076a9 (v6.3), posted 4 Jan 2023", 16, 10_000, 8000, false,
		KernelRun{"before", 7.523, 1150, 3343},
		KernelRun{"after", 8.560, 1777, 66}),
}

// FindPreset returns the parameters of a preset with its loops divided by n,
// and the preset itself.
func FindPreset(name string, n int) (KfreeConfig, *Preset, error) {
	if err := check(bounds{"scale", int64(n), 1, most, false}); err != nil {
		return KfreeConfig{}, nil, err
	}
	for i := range Presets {
		if p := &Presets[i]; p.Name == name {
			cfg := p.config
			cfg.Loops = max(cfg.Loops/n, 1)
			cfg.Preset, cfg.Scale = name, n
			return cfg, p, nil
		}
	}
	return KfreeConfig{}, nil, BadInput("no preset is called %q (-preset list has their names)", name)
}

// NSPerObject is the kernel's time for an object of each thread's, if the
// threads were as many as the processors; 0 where their number is not known.
func (p *Preset) NSPerObject(r KernelRun) float64 {
	if p.config.Threads < 0 {
		return 0
	}
	all := float64(p.config.Threads) * float64(p.config.Loops) * float64(p.config.AllocNum)
	return r.Seconds * float64(time.Second) / all
}

// Params are a preset's loops, objects and threads.
func (p *Preset) Params() (loops, allocNum, threads int, vary bool) {
	return p.config.Loops, p.config.AllocNum, p.config.Threads, p.config.VarySize
}
