package main

import (
	"errors"
	"runtime"

	"quiesce/bench/internal/harness"
	"quiesce/gfp"
	"quiesce/rcu"
	"quiesce/slab"
)

// reclaimer is a way to free later.
type reclaimer struct {
	alloc   func() *obj64
	free    func(ps []*obj64)
	barrier func()
	hold    func() (release func()) // a reader that holds the flood's grace period up
}

func nothing() {}

const churnRound = 1000

// measure is the churn or the flood, as in c/reclaim.c.
func (r *reclaimer) measure(t *task) error {
	switch t.mode {
	case "churn":
		r.churn(t.ns * float64(t.batches) / 4)
		r.barrier()
		before, used, start := peakStarts(), harness.CPUTime(), now()
		n := r.churn(t.ns * float64(t.batches))
		r.barrier()
		took := now() - start
		t.figure("ns", took/n)
		t.figure("cpu", (harness.CPUTime()-used)/n)
		t.peakEnds(before)
	case "flood":
		r.flood(nil, t.objects/16+1)
		r.flood(t, t.objects)
	default:
		return t.noSuchMode()
	}
	return nil
}

// churn continues for ns; it returns the number of objects.
func (r *reclaimer) churn(ns float64) (n float64) {
	ps := make([]*obj64, churnRound)
	for start := now(); now()-start < ns; n += churnRound {
		for i := range ps {
			ps[i] = r.alloc()
		}
		r.free(ps)
	}
	return n
}

// flood measures n objects; a warm-up prints no figures.
func (r *reclaimer) flood(t *task, n int) {
	ps := make([]*obj64, n)
	for i := range ps {
		ps[i] = r.alloc()
		for j := range ps[i] {
			ps[i][j] = 1
		}
	}
	shuffle(ps)
	evict()
	before, used, start := peakStarts(), harness.CPUTime(), now()
	release := r.hold()
	r.free(ps)
	enqueued := now()
	release()
	r.barrier()
	reclaimed := now()
	used = harness.CPUTime() - used
	if t != nil {
		t.peakEnds(before)
	}
	again := now()
	for i := range ps {
		ps[i] = r.alloc()
		ps[i][0] = 1
	}
	written := now()
	r.free(ps)
	r.barrier()
	if t == nil {
		return
	}
	per := func(v float64) float64 { return v / float64(n) }
	t.figure("whole", per(reclaimed-start+written-again))
	t.figure("ns", per(reclaimed-start))
	t.figure("cpu", per(used))
	t.figure("enqueue", per(enqueued-start))
	t.figure("reclaim", per(reclaimed-enqueued))
	t.figure("write", per(written-again))
}

// ofCache is FreeRCU of a cache, or Free at once.
func ofCache(c *slab.Cache[obj64], atOnce bool) *reclaimer {
	r := &reclaimer{
		alloc: func() *obj64 { return c.Alloc(gfp.Kernel) },
		free: func(ps []*obj64) {
			for _, p := range ps {
				c.FreeRCU(p)
			}
		},
		barrier: c.Barrier,
		hold: func() func() {
			g := rcu.ReadLock()
			return g.Unlock
		},
	}
	if atOnce {
		r.free = func(ps []*obj64) {
			for _, p := range ps {
				c.Free(p)
			}
		}
		r.barrier = nothing
	}
	return r
}

// reclaimQuiesce measures, and prints the share of objects that found no array.
func reclaimQuiesce(t *task, atOnce bool, opts ...slab.Option) error {
	c, err := newCache(opts...)
	if err != nil {
		return err
	}
	if err := ofCache(c, atOnce).measure(t); err != nil {
		return err
	}
	if s := c.Stats(); !atOnce {
		t.figure("fallback_percent", float64(s.Fallback)/float64(max(s.Fallback+s.RCUArrays, 1))*100)
	}
	return c.Close()
}

// reclaimHandOver is the churn of a cache as it comes, and the flood of one
// that takes every sheaf back whole.
func reclaimHandOver(t *task) error {
	if t.mode == "flood" {
		return reclaimQuiesce(t, false, slab.WithDepot(1<<40))
	}
	return reclaimQuiesce(t, false)
}

func reclaimBulk(t *task) error { return reclaimQuiesce(t, false, slab.WithDepot(0)) }

func reclaimFree(t *task) error { return reclaimQuiesce(t, true) }

// reclaimSheaf is the churn of one goroutine with a stock of its own.
func reclaimSheaf(t *task) error {
	if t.mode != "churn" {
		return t.noSuchMode()
	}
	c, err := newCache()
	if err != nil {
		return err
	}
	s, err := c.Sheaf(churnRound, gfp.Kernel)
	if err != nil {
		return err
	}
	r := &reclaimer{
		alloc: func() *obj64 { return s.Alloc(gfp.Kernel) },
		free: func(ps []*obj64) {
			for _, p := range ps {
				s.FreeRCU(p)
			}
		},
		barrier: c.Barrier,
	}
	if err := r.measure(t); err != nil {
		return err
	}
	s.Close()
	return c.Close()
}

// reclaimBatch frees by the callback of an rcu.Batch.
func reclaimBatch(t *task) error {
	c, err := newCache()
	if err != nil {
		return err
	}
	b := rcu.NewBatch("peers", c.FreeBulk)
	r := ofCache(c, false)
	r.free = func(ps []*obj64) {
		for _, p := range ps {
			b.Add(p)
		}
	}
	r.barrier = b.Barrier
	if err := r.measure(t); err != nil {
		return err
	}
	return errors.Join(b.Close(), c.Close())
}

// reclaimNew drops the objects; the collector finds out. A flood asks it to,
// as there is no other way to wait for it.
func reclaimNew(t *task) error {
	r := &reclaimer{
		alloc:   func() *obj64 { return new(obj64) },
		free:    func(ps []*obj64) { clear(ps) },
		barrier: nothing,
		hold:    func() func() { return nothing },
	}
	if t.mode == "flood" {
		r.barrier = runtime.GC
	}
	return r.measure(t)
}
