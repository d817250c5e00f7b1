package slab

import (
	"sync/atomic"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

// Without an array the fallback chain takes the objects, from any context,
// and they come back. Free takes the same way.
func TestTheFallbackChainLosesNothing(t *testing.T) {
	a := newPages(t, 2<<20)
	var back atomic.Int64
	c := newTest[cell](t, a, withHook(func(offs []uint32) { back.Add(int64(len(offs))) }))
	var ps []*cell
	for {
		p := c.Alloc(gfp.Atomic | gfp.NoWarn)
		if p == nil {
			break
		}
		ps = append(ps, p)
	}
	var pages []unsafe.Pointer // every page that is left, so that no sheaf can be made
	for {
		p := a.Alloc(0, gfp.Atomic|gfp.NoWarn)
		if p == nil {
			break
		}
		pages = append(pages, p)
	}
	g := rcu.ReadLock()
	for i, p := range ps {
		contexts[i%len(contexts)].in(func() { c.FreeRCU(p) })
	}
	s := c.Stats()
	if s.Fallback == 0 {
		t.Errorf("of %d objects none took the fallback chain", len(ps))
	}
	t.Logf("%d objects, %d on the chain", len(ps), s.Fallback)
	letReclaim()
	if back.Load() != 0 {
		t.Errorf("%d objects came back before the reader left", back.Load())
	}
	g.Unlock()
	c.Barrier()
	if back.Load() != int64(len(ps)) {
		t.Errorf("%d of %d came back", back.Load(), len(ps))
	}
	for _, p := range pages {
		a.Free(p, 0)
	}
	p := c.Alloc(gfp.NoWait)
	if p == nil {
		t.Error("no memory after everything came back")
	}
	c.Free(p)
	mustClose(t, c, a)
}

func TestADoubleFreeOnTheFallbackChainPanicsAtOnce(t *testing.T) {
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	withoutGuards(&c.c)
	off := offsetOf(c, c.Alloc(gfp.Kernel))
	pretendRCU(&c.c, off)
	c.c.reclaimMu.Lock() // no worker takes the first one off the chain
	defer c.c.reclaimMu.Unlock()
	c.c.afterChaining(off, c.c.chainObject(off))
	testkit.Panics(t, func() { c.c.afterChaining(off, c.c.chainObject(off)) }, "double free of 0x", c.c.name)
}

// A slab whose objects are freed over the chain may become pages, and another
// cache's slab, while pushers of its last objects are still under way. Large
// objects make that happen all the time: two to a slab here.
func TestTheFallbackChainLeavesOtherCachesSlabsAlone(t *testing.T) {
	a := newPages(t, 0)
	var cs [2]*Cache[[16384]byte]
	for i := range cs {
		cs[i], _ = NewCache[[16384]byte]("chain", WithAllocator(a))
		withoutGuards(&cs[i].c)
	}
	testkit.Procs(t, 6)
	<-testkit.AsyncN(8, func(g int) {
		c := cs[g&1]
		var ps [32]*[16384]byte
		for range testkit.During(chainStress) {
			for _, p := range ps[:c.AllocBulk(gfp.Kernel, ps[:])] {
				off := offsetOf(c, p)
				pretendRCU(&c.c, off)
				c.c.afterChaining(off, c.c.chainObject(off))
			}
		}
	})
	for _, c := range cs {
		c.Barrier()
		c.Shrink()
		if s := c.Stats(); s.Out != 0 || s.Fallback == 0 || s.Fallback != s.FallbackFreed {
			t.Errorf("%d objects lost; %d on the chain, %d off it", s.Out, s.Fallback, s.FallbackFreed)
		}
		mustClose(t, c)
	}
	mustClose(t, a)
}
