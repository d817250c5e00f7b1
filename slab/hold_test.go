package slab

import (
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/page"
)

// What a hold of mu frees is bounded, and Shrink takes as many holds as it needs.
func TestEmptySlabsAreDroppedInBoundedHolds(t *testing.T) {
	if poisonOn {
		t.Skip("poison keeps freed objects in quarantine")
	}
	c := newTest[[512]byte](t, page.Default())
	defer mustClose(t, c)
	objects := make([]*[512]byte, 64*3*slabsPerHold)
	if n := c.AllocBulk(gfp.Kernel, objects); n != len(objects) {
		t.Fatalf("%d of %d objects", n, len(objects))
	}
	c.c.keepEmpty = 1 << 30
	offs := make([]uint32, len(objects))
	for i, p := range objects {
		offs[i] = uint32(c.c.unitOf(unsafe.Pointer(p)))
	}
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
