package scale

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"quiesce/cmd/quiesce/internal/kit/perf"
	"quiesce/internal/sys"
	"quiesce/rcu"
)

// KfreeConfig are the parameters of rcuscale's kfree test.
type KfreeConfig struct {
	Threads    int           `json:"kfree_nthreads"`        // -1: one for each P
	AllocNum   int           `json:"kfree_alloc_num"`       // objects of a loop
	Loops      int           `json:"kfree_loops"`           // of each thread
	Mult       int           `json:"kfree_mult"`            // objects are so many times 24 bytes
	VarySize   bool          `json:"kfree_vary_obj_size"`   // 16, 32, 64, 96 bytes and an rcu_head's 16
	ByCallRCU  bool          `json:"kfree_by_call_rcu"`     // rcu.Call with a function that frees
	Double     bool          `json:"kfree_rcu_test_double"` // Cache.FreeRCU
	Single     bool          `json:"kfree_rcu_test_single"` // Kmalloc and KfreeRCU
	Holdoff    time.Duration `json:"holdoff_ns"`
	MinRuntime time.Duration `json:"minruntime_ns"`
	Strategy   string        `json:"strategy,omitempty"` // of cmd/quiesce/internal/compare; "": what ships
	Preset     string        `json:"preset,omitempty"`
	Scale      int           `json:"scale,omitempty"` // the preset's loops were divided by it
}

// KfreeReport is what one test found.
type KfreeReport struct {
	KfreeConfig
	Procs       int     `json:"gomaxprocs"`
	Does        string  `json:"does"`
	ObjectBytes []int   `json:"object_bytes"`
	Objects     int64   `json:"objects"`
	LoopsDone   int64   `json:"loops_done"` // of all threads
	QueuedNS    int64   `json:"queued_ns"`
	ReclaimedNS int64   `json:"reclaimed_ns"` // from the same begin
	Batches     uint64  `json:"batches"`      // grace periods, until queued
	BatchesAll  uint64  `json:"batches_until_reclaimed"`
	Footprint   int64   `json:"footprint_bytes"` // average of the samples
	Peak        int64   `json:"peak_bytes"`
	CPUNS       int64   `json:"cpu_ns"` // until reclaimed
	Arrays      uint64  `json:"in_arrays"`
	Fallback    uint64  `json:"fallback"`
	Partial     bool    `json:"partial"`
	Kernel      *Preset `json:"the_kernel_then,omitempty"`
}

// SummaryLine is rcuscale's.
func (r *KfreeReport) SummaryLine() string {
	return fmt.Sprintf("Total time taken by all kfree'ers: %d ns, loops: %d, batches: %d, memory footprint: %d MB",
		r.QueuedNS, r.Loops, r.Batches, r.Footprint>>20)
}

// Queued and Reclaimed are ns for an object.
func (r *KfreeReport) Queued() float64    { return r.per(r.QueuedNS) }
func (r *KfreeReport) Reclaimed() float64 { return r.per(r.ReclaimedNS) }

// CPU is ns of processor time for an object, the workers' included.
func (r *KfreeReport) CPU() float64 { return r.per(r.CPUNS) }

func (r *KfreeReport) per(ns int64) float64 {
	return float64(ns) / float64(max(r.Objects, 1))
}

func (c *KfreeConfig) check() error {
	if err := check(
		bounds{"kfree_nthreads", int64(c.Threads), 1, 1 << 16, true},
		bounds{"kfree_alloc_num", int64(c.AllocNum), 1, most, false},
		bounds{"kfree_loops", int64(c.Loops), 1, most, false},
		bounds{"kfree_mult", int64(c.Mult), 1, 85, false},
		bounds{"holdoff", int64(c.Holdoff), 0, 0, false},
		bounds{"minruntime", int64(c.MinRuntime), 0, 0, false},
	); err != nil {
		return err
	}
	switch {
	case c.VarySize && c.Mult != 1:
		return BadInput("kfree_vary_obj_size has sizes of its own: leave kfree_mult out")
	case c.ByCallRCU && (c.Double || c.Single):
		return BadInput("kfree_by_call_rcu or kfree_rcu_test_*, not both")
	case c.Strategy != "" && (c.ByCallRCU || c.Single || c.VarySize || c.Mult != 1):
		return BadInput("a strategy frees objects of one size, 64 bytes, its own way: leave the kfree_ flags of sizes and ways out")
	}
	return nil
}

// Kfree runs rcuscale's kfree test.
func Kfree(ctx context.Context, cfg KfreeConfig, tell Tell) (*KfreeReport, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	r := &KfreeReport{KfreeConfig: cfg, Procs: runtime.GOMAXPROCS(0)}
	r.Threads = threads(cfg.Threads)
	p, err := openPool(&cfg)
	if err != nil {
		return nil, err
	}
	r.Does, r.ObjectBytes = p.does(), p.sizes()
	pause(ctx, cfg.Holdoff)

	var samples, sampled, objects, done atomic.Int64
	var failed atomic.Pointer[error]
	every := max(cfg.Loops/4, 1)
	gps := rcu.ReadStats().GracePeriods
	cpu, _ := perf.Usage()
	begin := sys.Nanotime()
	last := begin
	queued := crew(r.Threads, func(id int) {
		for n := 0; n < cfg.Loops || sys.Nanotime()-begin < int64(cfg.MinRuntime); n++ {
			if ctx.Err() != nil || failed.Load() != nil {
				return
			}
			if err := p.loop(cfg.AllocNum); err != nil {
				failed.Store(&err)
				return
			}
			objects.Add(int64(cfg.AllocNum))
			done.Add(1)
			if n%every == 0 {
				samples.Add(1)
				sampled.Add(p.resident())
			}
			if now := sys.Nanotime(); id == 0 && now-last > int64(time.Second) {
				last = now
				tell.say("%d of %d loops", done.Load(), int64(cfg.Loops)*int64(r.Threads))
			}
		}
	})
	end := sys.Nanotime()
	r.QueuedNS = int64(queued)
	r.Batches = rcu.ReadStats().GracePeriods - gps
	p.barrier()
	r.ReclaimedNS = r.QueuedNS + sys.Nanotime() - end
	r.BatchesAll = rcu.ReadStats().GracePeriods - gps
	cpuEnd, _ := perf.Usage()
	r.CPUNS = cpuEnd - cpu
	r.Objects, r.LoopsDone, r.Partial = objects.Load(), done.Load(), ctx.Err() != nil
	r.Footprint = sampled.Load() / max(samples.Load(), 1)
	r.Peak = p.peak()
	r.Arrays, r.Fallback = p.ways()
	err = p.close()
	if e := failed.Load(); e != nil {
		err = *e
	}
	return r, err
}
