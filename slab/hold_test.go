package slab

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/testkit"
	"quiesce/page"
)

// newLive returns a cache and its n live objects.
func newLive[T any](t *testing.T, n int) (*Cache[T], []*T) {
	t.Helper()
	if poisonOn {
		t.Skip("poison keeps freed objects in quarantine")
	}
	c := newTest[T](t, page.Default())
	t.Cleanup(func() { mustClose(t, c) })
	objects := make([]*T, n)
	if n := c.AllocBulk(gfp.Kernel, objects); n != len(objects) {
		t.Fatalf("%d of %d objects", n, len(objects))
	}
	return c, objects
}

// What a hold of mu frees is bounded, and Shrink takes as many holds as it needs.
func TestEmptySlabsAreDroppedInBoundedHolds(t *testing.T) {
	c, objects := newLive[[512]byte](t, 64*3*slabsPerHold)
	c.c.keepEmpty = 1 << 30
	offs := offsetsOf(c, objects)
	c.c.flushObjects(offs, &c.c.stats.bulk)
	before := c.c.slabs.empties
	c.c.mu.LockIRQ()
	more := c.c.dropEmptySlabsLocked(slabsPerHold)
	c.c.mu.UnlockIRQ()
	if dropped := before - c.c.slabs.empties; !more || dropped != slabsPerHold {
		t.Errorf("one hold dropped %d of %d empty slabs, more: %v", dropped, before, more)
	}
	c.Shrink()
	if n := c.c.slabs.empties; n != 0 {
		t.Errorf("%d empty slabs are left after Shrink", n)
	}
}

// offsetsOf returns the objects' offsets, as sheaves have them.
func offsetsOf[T any](c *Cache[T], objects []*T) []uint32 {
	offs := make([]uint32, len(objects))
	for i, p := range objects {
		offs[i] = offsetOf(c, p)
	}
	return offs
}

// An object that is freed may be the last one of its slab, and a slab takes longer.
func TestABulkFreeDropsABoundedNumberOfSlabsInAHold(t *testing.T) {
	c, objects := newLive[[4096]byte](t, 8*4*slabsPerHold)
	c.c.keepEmpty = 0
	offs := offsetsOf(c, objects)
	before, left := c.c.slabs.count, offs
	for len(left) > 0 {
		slabs := c.c.slabs.count
		c.c.mu.LockIRQ()
		n, ok := c.c.bulkFreeLocked(left)
		c.c.mu.UnlockIRQ()
		if dropped := slabs - c.c.slabs.count; !ok || n == 0 || dropped > slabsPerHold {
			t.Fatalf("one hold freed %d objects and dropped %d slabs, ok: %v", n, dropped, ok)
		}
		left = left[n:]
	}
	if dropped := before - c.c.slabs.count; dropped < 2*slabsPerHold {
		t.Errorf("only %d slabs were dropped", dropped)
	}
}

// wakes counts the calls of WakeAfterFree, and those that came under mu.
type wakes struct {
	pages.Allocator
	c         *cache
	n, locked atomic.Int32
}

func (w *wakes) WakeAfterFree() {
	w.n.Add(1)
	free := false
	for i := 0; i < 1<<20 && !free; i++ { // another's hold ends
		free = w.c.mu.TryLockIRQ()
	}
	if free {
		w.c.mu.UnlockIRQ()
	} else {
		w.locked.Add(1)
	}
	w.Allocator.WakeAfterFree()
}

// To start a goroutine or to wake a waiter is a system call.
func TestPagesOfSlabsWakeNobodyUnderTheLock(t *testing.T) {
	if poisonOn {
		t.Skip("poison keeps freed objects in quarantine")
	}
	a := newPages(t, 0)
	core := pages.CoreOf(a) // which nobody else uses yet
	w := &wakes{Allocator: core.Allocator}
	core.Allocator = w
	type object [64 << 10]byte // whose slabs are too large for the Ps' page lists
	c := newTest[object](t, a)
	w.c = &c.c
	objects := make([]*object, 64)
	if n := c.AllocBulk(gfp.Kernel, objects); n != len(objects) {
		t.Fatalf("%d of %d objects", n, len(objects))
	}
	c.FreeBulk(objects)
	c.Shrink()
	if n, locked := w.n.Load(), w.locked.Load(); n == 0 || locked > 0 {
		t.Errorf("of %d calls of WakeAfterFree %d came under mu", n, locked)
	}
	mustClose(t, c)
}

// The search for a leak takes a hold for each stretch of pages. It finds an object
// in any of them.
func TestALeakIsFoundInEveryStretchOfPages(t *testing.T) {
	c, objects := newLive[[4096]byte](t, 4*pagesPerHold)
	slices.SortFunc(objects, func(a, b *[4096]byte) int {
		return cmp.Compare(uintptr(unsafe.Pointer(a)), uintptr(unsafe.Pointer(b)))
	})
	stretches := map[uint32]bool{}
	for len(objects) > 0 {
		first := c.c.core.PageOf(unsafe.Pointer(objects[0])) / pagesPerHold
		stretches[first] = true
		n := 1
		for n < len(objects) && c.c.core.PageOf(unsafe.Pointer(objects[n]))/pagesPerHold == first {
			n++
		}
		c.FreeBulk(objects[:n-1])
		c.Shrink()
		c.Shrink()
		// The service may have a sheaf with some of the others in its hands.
		testkit.Eventually(t, 10*time.Second, fmt.Sprintf("stretch %d: the one that was not freed", first), func() bool {
			return c.c.firstLeak() == unsafe.Pointer(objects[n-1])
		})
		c.Free(objects[n-1])
		c.Shrink()
		objects = objects[n:]
	}
	if len(stretches) < 3 {
		t.Errorf("only %d stretches", len(stretches))
	}
}

// Who looks at Stats sees that somebody waited for the slabs.
func TestStatsTellsOfWaitsForTheSlabs(t *testing.T) {
	testkit.Procs(t, 2)
	c := newTest[[64]byte](t, newPages(t, 0))
	if n := c.Stats().Contentions; n != 0 {
		t.Fatalf("%d contentions before the first allocation", n)
	}
	testkit.Eventually(t, 10*time.Second, "a wait that is counted", func() bool {
		done := make(chan struct{})
		c.c.mu.LockIRQ()
		go func() {
			c.Stats() // takes the lock
			close(done)
		}()
		for end := time.Now().Add(time.Millisecond); time.Now().Before(end); {
		}
		c.c.mu.UnlockIRQ()
		<-done
		return c.Stats().Contentions > 0
	})
	mustClose(t, c)
}
