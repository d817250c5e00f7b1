package slab

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
)

// directHeap returns a Heap and the cache of its large objects of size bytes.
func directHeap(t *testing.T, size int, opts ...HeapOption) (*page.Allocator, *Heap, *cache) {
	t.Helper()
	if !directs {
		t.Skip("large objects have sheaves in race and poison builds")
	}
	a := newPages(t, 0)
	h := NewHeap(a, opts...)
	if err := h.Prepare(size); err != nil {
		t.Fatal(err)
	}
	c := h.class[h.classFor(uintptr(size))].Load()
	if !c.direct {
		t.Fatalf("%d bytes are not large", size)
	}
	return a, h, c
}

// atRest waits until the Heap has live objects and no other memory but for a few
// small sheaves.
func atRest(t *testing.T, h *Heap, live int) {
	t.Helper()
	testkit.Eventually(t, 10*time.Second, "an idle class keeps large objects", func() bool {
		slabs, bytes := 0, int64(0)
		for _, s := range h.Stats() {
			slabs += s.Slabs
			bytes += s.Bytes - int64(s.Slabs*s.SlabBytes)
		}
		return slabs == live && bytes <= int64(len(h.caches()))*(emptyKeep+2)*smallSize
	})
}

// A large object takes its pages and no more, and an idle class keeps none, though
// nobody calls Shrink.
func TestLargeObjectsAreDenseAndNoneIsKept(t *testing.T) {
	const each = 6
	for _, opts := range [][]HeapOption{nil, {FineClasses()}} {
		a, h, _ := directHeap(t, maxSize, opts...)
		for i := h.classFor(cacheBytes + 1); i <= h.classFor(maxSize); i++ {
			size := int(h.sizeOfClass(i))
			had := a.Stats().InUse
			var ps []unsafe.Pointer
			for range each {
				p := h.Kmalloc(size, gfp.Kernel|gfp.Zero)
				if p == nil {
					t.Fatalf("no memory for %d bytes", size)
				}
				ps = append(ps, p)
			}
			// Others have a few pages too: sheaves, of which some are on their way.
			if got := a.Stats().InUse - had; got > int64(each*size+128<<10) {
				t.Errorf("%d objects of %d bytes take %d", each, size, got)
			}
			byTurns(ps, h.Kfree, h.KfreeRCU)
			atRest(t, h, 0)
		}
		mustClose(t, h, a)
	}
}

// A large object that is freed into the depot does not stay there, whoever else comes
// to the class or not.
func TestNoLargeObjectIsLeftByOneKfree(t *testing.T) {
	a, h, _ := directHeap(t, 160<<10)
	h.Kfree(h.Kmalloc(160<<10, gfp.Kernel))
	atRest(t, h, 0)
	mustClose(t, h, a)
}

// Kfree waits for no lock: with the class's held, the object goes into the depot or,
// where there is no array, on the fallback chain. Its pages are free soon after.
func TestKfreeOfALargeObjectWaitsForNoLock(t *testing.T) {
	for _, array := range []bool{true, false} {
		_, h, c := directHeap(t, 256<<10)
		p, q := h.Kmalloc(256<<10, gfp.Kernel), h.Kmalloc(256<<10, gfp.Kernel)
		c.depot.max.Store(0) // so that Kfree wants the lock
		c.depot.share = 0
		if array {
			c.pushEmpty(c.makeSheaf(gfp.Kernel))
		}
		c.mu.LockIRQ()
		h.Kfree(p)
		again := h.Kmalloc(256<<10, gfp.NoLocks|gfp.NoWarn)
		c.mu.UnlockIRQ()
		if again == q {
			t.Errorf("%p has two owners", q)
		}
		h.Kfree(again)
		atRest(t, h, 1)
		if n := h.Validate(); n != 0 {
			t.Errorf("Validate: %d errors", n)
		}
		var leak *LeakError
		if err := h.Close(); !errors.As(err, &leak) || leak.Objects != 1 || leak.First != uintptr(q) {
			t.Errorf("Close: %v, want %p as a leak", err, q)
		}
	}
}

// Two frees of an object whose pages are gone: the second is told at once.
func TestSecondKfreeOfALargeObject(t *testing.T) {
	a, h, c := directHeap(t, 512<<10)
	c.depot.max.Store(0)
	c.depot.share = 0
	p := h.Kmalloc(512<<10, gfp.Kernel)
	h.Kfree(p)
	if s := c.readStats(); s.Slabs != 0 {
		t.Errorf("%d slabs are left", s.Slabs)
	}
	testkit.Panics(t, func() { h.Kfree(p) }, "Kfree", "foreign pointer")
	mustClose(t, h, a)
}

// A large object is nobody else's before its grace period is over, and its pages are
// free afterwards.
func TestKfreeRCUOfALargeObjectWaitsForReaders(t *testing.T) {
	a, h, _ := directHeap(t, 160<<10)
	p := h.Kmalloc(160<<10, gfp.Kernel)
	g := rcu.ReadLock()
	h.KfreeRCU(p)
	var others []unsafe.Pointer
	for range 8 {
		q := h.Kmalloc(160<<10, gfp.NoWait)
		if q == p {
			t.Error("an object that a reader may have is allocated again")
		}
		others = append(others, q)
	}
	g.Unlock()
	h.KfreeBulk(others)
	h.Barrier()
	atRest(t, h, 0)
	mustClose(t, h, a)
}

// An allocation takes one object of a sheaf, which nobody else gets, and leaves the
// others to the next ones, or to the page allocator.
func TestOneOfASheafOfLargeObjectsIsTaken(t *testing.T) {
	a, h, c := directHeap(t, 160<<10)
	n := c.makeSheaf(gfp.Kernel)
	s := c.sheaf(n)
	free := map[unsafe.Pointer]bool{}
	for range 3 {
		p := h.Kmalloc(160<<10, gfp.Kernel)
		s.obj[s.n] = uint32(c.unitOf(p))
		s.n++
		free[p] = true
	}
	if !claim(&c.draining) {
		t.Fatal("the service drains the class, which nothing was freed to")
	}
	c.pushFull(n)
	p := h.Kmalloc(160<<10, gfp.Kernel)
	q := h.Kmalloc(160<<10, gfp.Kernel)
	if !free[p] || !free[q] || p == q {
		t.Fatalf("%p and %p are allocated, of %v in the depot", p, q, free)
	}
	c.draining.Store(false) // the service may empty the depot again,
	c.startDrain()          // and is asked to, as by who puts the rest of a sheaf back
	h.Kfree(p)
	h.Kfree(q)
	atRest(t, h, 0)
	mustClose(t, h, a)
}

// A class that becomes idle frees the sheaves too that its free objects were in,
// whichever of drain and reclaim ends last.
func TestAnIdleClassOfLargeObjectsKeepsFewSheaves(t *testing.T) {
	a, h, c := directHeap(t, 160<<10)
	c.depot.max.Store(2 * emptyKeep) // nothing is to be reclaimed
	for _, end := range []struct {
		what    string
		claimed *atomic.Bool
		letGo   func() bool
		keeps   int32
	}{
		{"drain", &c.draining, c.letGoOfDrain, 0},
		{"reclaim", &c.reclaiming, c.letGoOfReclaim, emptyKeep},
	} {
		if !claim(end.claimed) {
			t.Fatalf("%s: the service has the class, which nothing was freed to", end.what)
		}
		c.hold()
		var full []num
		for range 2 * emptyKeep {
			n := c.newSheaf(c.pages.Alloc(0, gfp.Kernel))
			s := c.sheaf(n)
			s.obj[0], s.n = uint32(c.unitOf(h.Kmalloc(160<<10, gfp.Kernel))), 1
			full = append(full, n)
		}
		for _, n := range full {
			c.pushFull(n)
		}
		if !end.letGo() {
			t.Fatalf("%s: the class has work", end.what)
		}
		if s := c.readStats(); s.Slabs != 0 {
			t.Errorf("%s: %d objects are kept", end.what, s.Slabs)
		}
		if n := c.sheaves(emptyOf); n > end.keeps {
			t.Errorf("%s: %d sheaves are kept, of %d", end.what, n, end.keeps)
		}
	}
	mustClose(t, h, a)
}

// A request that has its pages, and may not wait for the cache's lock, returns them.
func TestRefusedLargeObjectLeavesNoPages(t *testing.T) {
	a, h, c := directHeap(t, 160<<10)
	c.depot.max.Store(0) // so that Kfree frees the pages
	c.depot.share = 0
	refused := 0
	testkit.Eventually(t, 10*time.Second, "gfp.NoLocks gets pages ten times", func() bool {
		c.stockPages()
		p := c.allocSlab(c.order, gfp.NoLocks|gfp.NoWarn)
		if p == nil {
			return false
		}
		c.freeSlab(p, c.order) // they are there for the next one
		c.mu.LockIRQ()
		p = h.Kmalloc(160<<10, gfp.NoLocks|gfp.NoWarn)
		c.mu.UnlockIRQ()
		if p != nil {
			t.Error("an object was allocated without the lock of its slab")
			h.Kfree(p)
		}
		refused++
		return refused == 10
	})
	mustClose(t, h, a)
}

// A refusal mends itself: a raw atomic context gets large objects after it was
// refused.
func TestNoLocksGetsLargeObjectsInTime(t *testing.T) {
	for _, size := range []int{160 << 10, 2 << 20} {
		if !directs {
			t.Skip("large objects have sheaves in race and poison builds")
		}
		a := newPages(t, 0)
		h := NewHeap(a)
		var p unsafe.Pointer
		testkit.Eventually(t, 10*time.Second, "gfp.NoLocks never gets memory", func() bool {
			pin := preempt.Disable()
			p = h.Kmalloc(size, gfp.NoLocks|gfp.NoWarn)
			pin.Enable()
			return p != nil
		})
		h.Kfree(p)
		mustClose(t, h, a)
	}
}

// All at once, and at rest nothing is kept: each large object has one owner.
func TestLargeObjectsAreNobodyElses(t *testing.T) {
	a, h, _ := directHeap(t, 160<<10)
	sizes := []int{160 << 10, 200 << 10, 512 << 10, 2 << 20}
	var all sync.WaitGroup
	for id := range 4 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(id), 1))
			var mine [4]*uint64
			for i := range 400 {
				if p := mine[i%4]; p != nil {
					if *p != uint64(id+1) {
						t.Errorf("goroutine %d has the object of %d", id+1, *p)
						return
					}
					switch *p = 0; rng.IntN(3) {
					case 0:
						h.KfreeRCU(unsafe.Pointer(p))
					case 1:
						pin := preempt.Disable()
						h.Kfree(unsafe.Pointer(p))
						pin.Enable()
					default:
						h.KfreeBulk([]unsafe.Pointer{unsafe.Pointer(p)})
					}
				}
				f := gfp.Kernel
				if rng.IntN(4) == 0 {
					f = gfp.NoLocks | gfp.NoWarn
				}
				mine[i%4] = (*uint64)(h.Kmalloc(sizes[rng.IntN(len(sizes))], f))
				if p := mine[i%4]; p != nil {
					*p = uint64(id + 1)
				}
				if i%100 == 50 {
					h.Shrink()
				}
			}
			for _, p := range mine {
				h.Kfree(unsafe.Pointer(p))
			}
		})
	}
	all.Wait()
	atRest(t, h, 0)
	if n := h.Validate(); n != 0 {
		t.Errorf("Validate: %d errors", n)
	}
	mustClose(t, h, a)
}
