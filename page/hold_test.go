package page

import (
	"testing"
	"unsafe"

	"quiesce/gfp"
)

// However many free blocks there are, one hold of the zone lock takes a bounded
// number of them, and Shrink takes as many holds as it needs.
func TestScavengingTakesABoundedNumberOfBlocksInAHold(t *testing.T) {
	const n = 8 * scavengeBlocks
	a := newTest(t, Config{Reserve: 64 << 20})
	var used, free []unsafe.Pointer
	for i := range n { // neighbours in use keep free pages from merging
		p := a.Alloc(0, gfp.Kernel)
		if p == nil {
			t.Fatal("no memory")
		}
		if i%2 == 0 {
			used = append(used, p)
		} else {
			free = append(free, p)
		}
	}
	for _, p := range free {
		a.Free(p, 0)
	}
	a.flushLists()
	a.lockMerged()
	a.zone.lock.UnlockIRQ()
	before := a.Stats().FreePopulated
	if got, more := a.scavengeSome(before); !more || got <= 0 || got >= before {
		t.Errorf("one hold returned %d of %d bytes, more: %v", got, before, more)
	}
	a.Shrink()
	if left := a.Stats().FreePopulated; left != 0 {
		t.Errorf("%d bytes of free blocks have memory after Shrink", left)
	}
	for _, p := range used {
		a.Free(p, 0)
	}
	checkZone(t, a)
}

// A hold of the zone lock merges a bounded number of deferred frees, and the
// rest is not lost.
func TestDeferredFreesAreMergedABatchAtATime(t *testing.T) {
	a := newTest(t, Config{})
	const blocks = 10 * mergeBatch
	var ps []unsafe.Pointer
	for range blocks {
		ps = append(ps, a.Alloc(listOrders, gfp.Kernel))
	}
	z := &a.zone
	z.lock.LockIRQ() // nobody else merges
	for _, p := range ps {
		a.Free(p, listOrders)
	}
	for n := int64(1); ; n++ {
		before := z.freePages.Load()
		more := a.mergeDeferredLocked()
		if got := z.freePages.Load() - before; got != mergeBatch<<listOrders {
			t.Errorf("hold %d merged %d pages, want %d", n, got, mergeBatch<<listOrders)
		}
		if !more {
			if n != blocks/mergeBatch {
				t.Errorf("%d holds for %d blocks", n, blocks)
			}
			break
		}
	}
	z.lock.UnlockIRQ()
	checkZone(t, a)
}
