package page

import (
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/preempt"
)

// Pages of any order are served in raw atomic contexts though nobody ever
// allocates elsewhere.
func TestARefusedRawPageAllocationIsServedLater(t *testing.T) {
	a := newTest(t, Config{Limit: 64 << 20})
	for order := range MaxOrder + 1 {
		var p unsafe.Pointer
		for range 3 {
			testkit.Eventually(t, 5*time.Second, "a block after a refusal", func() bool {
				pin := preempt.Disable()
				p = a.Alloc(order, quiet|gfp.NoLocks)
				pin.Enable()
				return p != nil
			})
			defer a.Free(p, order)
		}
	}
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
