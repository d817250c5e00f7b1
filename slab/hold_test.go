package slab

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
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
