//go:build !poison && !asan

// Poison builds keep an account of every object, which these tests bypass.

package slab

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/preempt"
	"quiesce/rcu"
)

// The same for slabs: the fallback chain, hand-over, closing, locks.

// The worker took the object's bit, and freed the object, before the slab was
// pushed: an empty slab is on the chain.
func TestAnEmptySlabOnTheChainStaysASlab(t *testing.T) {
	notSampled(t)
	for _, way := range []string{"the last free", "Shrink"} {
		t.Run(way, func(t *testing.T) {
			c := newTest[cell](t, newPages(t, 0))
			p := unsafe.Pointer(c.Alloc(gfp.Kernel))
			off := uint32(c.c.unitOf(p))
			head := c.c.head(off)
			c.c.shrink() // p is the slab's only object
			if way == "the last free" {
				c.c.keepEmpty = 0
			}
			c.c.reclaimMu.Lock()
			atomic.StoreUint32(&c.c.core.Meta(head).Chained, chainEnd)
			c.c.chain.Store(head)
			c.c.flushObjects([]uint32{off}, &c.c.stats.flushed)
			if way == "Shrink" {
				c.c.shrink()
			}
			if c.c.core.Meta(head).Owner != c.c.id || c.Stats().Slabs != 1 {
				t.Error("the slab's pages were freed while it was on the chain")
				return // the cache is corrupt
			}
			c.c.reclaimMu.Unlock()
			c.Barrier()
			c.Shrink()
			if n := c.Stats().Slabs; n != 0 {
				t.Errorf("%d slabs left", n)
			}
			closeAll(t, c)
		})
	}
}

// chainAll fills ps with objects, and frees them onto the fallback chain while the
// reclaim lock is held.
func chainAll[T any](t *testing.T, c *Cache[T], ps []*T) {
	t.Helper()
	if n := c.AllocBulk(gfp.Kernel, ps); n != len(ps) {
		t.Fatalf("%d objects of %d", n, len(ps))
	}
	c.c.reclaimMu.Lock()
	for _, p := range ps {
		off := offsetOf(c, p)
		c.c.afterChaining(off, c.c.chainObject(off))
	}
	c.c.reclaimMu.Unlock()
}

// More slabs than one pass takes, and the same ones again.
func TestALongChainIsFreedByOneBarrier(t *testing.T) {
	c := newTest[[16384]byte](t, newPages(t, 0)) // two to a slab
	ps := make([]*[16384]byte, 2*(2*chainSlabs+10))
	for round := range uint64(2) {
		chainAll(t, c, ps)
		c.Barrier()
		want := (round + 1) * uint64(len(ps))
		if s := c.Stats(); s.Fallback != want || s.FallbackFreed != want {
			t.Fatalf("round %d: %d objects on the chain, %d off it, want %d", round, s.Fallback, s.FallbackFreed, want)
		}
	}
	closeAll(t, c)
}

// A few slabs of a cache need no room outside of it. Thousands of caches may have
// a pass of their chains in one grace period.
func TestAPassOverAFewSlabsBorrowsNothing(t *testing.T) {
	few := len(chained{}.few)
	for _, slabs := range []int{1, few, few + 1} {
		c := newTest[[16384]byte](t, newPages(t, 0))
		c.c.youngMost = 0 // two to a slab
		ps := make([]*[16384]byte, 2*slabs)
		holdService(&c.c) // Barrier does its work
		chainAll(t, c, ps)
		c.c.reclaimMu.Lock()
		c.c.collectLocked()
		took, borrowed := c.c.collected.slabs, c.c.chained.many != nil
		c.c.reclaimMu.Unlock()
		if took != slabs || borrowed != (slabs > few) {
			t.Errorf("a pass took %d slabs of %d and borrowed room: %v", took, slabs, borrowed)
		}
		c.Barrier()
		if s := c.Stats(); s.FallbackFreed != uint64(len(ps)) || c.c.chained.many != nil {
			t.Errorf("%d objects of %d came back; room still borrowed: %v", s.FallbackFreed, len(ps), c.c.chained.many != nil)
		}
		closeAll(t, c)
	}
}

// Sheaves that go from FreeRCU to the next allocation whole never meet the
// bitmap, except for a sample.
func TestADoubleFreeIsSeenAtASampledHandOver(t *testing.T) {
	notSampled(t)
	testkit.Procs(t, 1)                   // one RCU sheaf for both
	c := newTest[cell](t, newPages(t, 0)) // never closed: it is corrupt
	p := c.Alloc(gfp.Kernel)
	holdService(&c.c)                                // Barrier hands over
	c.c.first.empty.push(&c.c, filledSheaf(t, &c.c)) // for both, which might take the chain
	c.c.handedOver.Store(checkEvery - 1)
	c.FreeRCU(p)
	c.FreeRCU(p)
	testkit.Panics(t, c.Barrier, "double free of 0x", c.c.name)
}

func TestZeroClearsUsedObjects(t *testing.T) {
	notSampled(t)
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	h := NewHeap(a)
	dirty := cell{id: 1, body: [6]uint64{1, 2, 3, 4, 5, 6}}
	for _, way := range []struct {
		name  string
		alloc func(gfp.Flags) *cell
		free  func(*cell)
	}{
		{"Cache", c.Alloc, c.Free},
		{"Cache, bulk", func(f gfp.Flags) *cell {
			var one [1]*cell
			c.AllocBulk(f, one[:])
			return one[0]
		}, c.Free},
		{"Heap", func(f gfp.Flags) *cell { return (*cell)(h.Kmalloc(int(unsafe.Sizeof(dirty)), f)) },
			func(p *cell) { h.Kfree(unsafe.Pointer(p)) }},
	} {
		used, again := map[*cell]bool{}, 0
		for range 100 {
			p := way.alloc(gfp.Kernel)
			*p = dirty
			used[p] = true
			way.free(p)
			q := way.alloc(gfp.Kernel | gfp.Zero)
			if used[q] {
				again++
			}
			if *q != (cell{}) {
				t.Fatalf("%s: a used object is not zero: %v", way.name, *q)
			}
			way.free(q)
		}
		if again == 0 {
			t.Errorf("%s: no object was used twice", way.name)
		}
	}
	mustClose(t, h)
	closeAll(t, c)
}

// A goroutine of the cache may have announced its end and still check the slots
// once, which Close releases.
func TestCloseWaitsForTheCachesGoroutines(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0))
	var end, closed atomic.Bool
	c.c.spawn(func() {
		for !end.Load() {
			time.Sleep(time.Millisecond)
		}
	})
	go func() {
		closeAll(t, c)
		closed.Store(true)
	}()
	letReclaim()
	if closed.Load() {
		t.Error("Close returned while a goroutine of the cache ran")
	}
	end.Store(true)
	eventually(t, "Close", closed.Load)
}

// While the worker takes a slab's bits another one comes. Nothing follows it:
// it is on the chain, or among the bits taken.
func TestChainedWhileItsSlabIsTakenIsFound(t *testing.T) {
	testkit.AtLeastProcs(t, 2)
	c := newTest[cell](t, newPages(t, 0))
	c.c.reclaiming.Store(true) // Barrier alone reclaims
	var ps [2]*cell
	for i := range testkit.During(sharing) {
		c.AllocBulk(gfp.Kernel, ps[:])
		a, b := offsetOf(c, ps[0]), offsetOf(c, ps[1])
		c.c.afterChaining(a, c.c.chainObject(a))
		done := testkit.Async(c.Barrier)
		sys.Pause(uint32(i * 37 % 1000))
		c.c.afterChaining(b, c.c.chainObject(b))
		<-done
		c.Barrier()
		if s := c.Stats(); s.Fallback != s.FallbackFreed {
			t.Fatalf("try %d: %d objects went on the chain, %d came off it", i, s.Fallback, s.FallbackFreed)
		}
	}
	closeAll(t, c)
}

// From the object's bit to the claim of its slab a grace period waits for the
// push; later ones find the slab on the chain. The delay between the two
// is made long, so this takes the build tag delay.
func TestAPushOnTheChainIsAReadSideSection(t *testing.T) {
	if !fault.Delays {
		t.Skip("needs -tags delay")
	}
	testkit.AtLeastProcs(t, 4)
	defer fault.SetDelays(5, 50*time.Microsecond)
	c := newTest[cell](t, newPages(t, 0))
	c.c.reclaimMu.Lock() // the chain stays as it is
	tries := 0
	for range 20 {
		fault.SetDelays(0, 0)
		off := offsetOf(c, c.Alloc(gfp.Kernel))
		m := c.c.core.Meta(c.c.head(off))
		fault.SetDelays(1000, 50*time.Millisecond)
		pushed := make(chan struct{})
		go func() {
			c.c.afterChaining(off, c.c.chainObject(off))
			close(pushed)
		}()
		for atomic.LoadUint64(word(c.c.pendBits, off))&(1<<(off&63)) == 0 {
			runtime.Gosched()
		}
		sys.Pause(1000)
		fault.SetDelays(0, 0) // of the others, from now on
		if atomic.LoadUint32(&m.Chained) == 0 {
			tries++
			rcu.Synchronize()
			if atomic.LoadUint32(&m.Chained) == 0 {
				t.Error("a grace period ended between an object's bit and the claim of its slab")
			}
		}
		<-pushed
		// The next one is the first of its slab again.
		c.c.reclaimMu.Unlock()
		c.Barrier()
		c.c.reclaimMu.Lock()
	}
	c.c.reclaimMu.Unlock()
	if tries == 0 {
		t.Error("no push was met on its way")
	}
	closeAll(t, c)
}

// With the cache's own lock held elsewhere and nothing cached, NoLocks gets nil.
// It is fatal when it fails, so in a child.
func TestNoLocksTakesNoLockOfTheCache(t *testing.T) {
	if !isChild() {
		if out, err := child(t, "preempt_rt=1"); err != nil {
			t.Errorf("child ended with %v and said:\n%s", err, tail(out))
		}
		return
	}
	c := newTest[cell](t, newPages(t, 0))
	c.c.mu.LockIRQ()
	p := preempt.Disable()
	got := c.Alloc(gfp.NoLocks | gfp.NoWarn)
	p.Enable()
	c.c.mu.UnlockIRQ()
	if got != nil {
		t.Error("an object out of nothing")
	}
	closeAll(t, c)
}
