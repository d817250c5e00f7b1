package slab

import (
	"errors"
	"runtime"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/preempt"
)

// pinnedAlloc is an allocation in a raw atomic context.
func pinnedAlloc[T any](c *Cache[T]) *T {
	pin := preempt.Disable()
	p := c.Alloc(gfp.NoLocks | gfp.NoWarn)
	pin.Enable()
	return p
}

// A program that allocates in raw atomic contexts only is refused at times, and
// served again although nobody else allocates.
func TestARefusedRawAllocationIsServedLater(t *testing.T) {
	for name, limit := range map[string]int64{"without a limit": 0, "with one": 64 << 20} {
		a := newPages(t, limit)
		c := newTest[cell](t, a)
		var ps []*cell
		for len(ps) < 100_000 {
			p := pinnedAlloc(c)
			if p == nil {
				eventually(t, name+": an object after a refusal", func() bool {
					p = pinnedAlloc(c)
					return p != nil
				})
			}
			ps = append(ps, p)
			runtime.Gosched()
		}
		c.FreeBulk(ps)
		mustClose(t, c, a)
	}
}

// The refusals become rare: at most one in a hundred.
func TestRawAllocationsAreRefusedAtFirstAndNotFromThenOn(t *testing.T) {
	const window = 20_000
	a := newPages(t, 256<<20)
	c := newTest[cell](t, a)
	var live []*cell
	refused, windows := 0, 0
	eventually(t, "twenty thousand raw allocations of which at most 200 are refused", func() bool {
		windows++
		refused = 0
		for i := range window {
			if p := pinnedAlloc(c); p != nil {
				live = append(live, p)
			} else {
				refused++
			}
			if i%16 == 0 {
				runtime.Gosched()
			}
		}
		if len(live) > 1<<20 {
			c.FreeBulk(live)
			live = live[:0]
		}
		return refused <= window/100
	})
	t.Logf("%d refused in window %d", refused, windows)
	c.FreeBulk(live)
	mustClose(t, c, a)
}

// The first Kmalloc of a size class may come from a raw atomic context.
func TestTheFirstRawKmallocOfAClassHasItMade(t *testing.T) {
	a := newPages(t, 0)
	h := NewHeap(a)
	for _, size := range []int{16, 200, 5000, 300_000} {
		eventually(t, "an object of a class that nobody prepared", func() bool {
			pin := preempt.Disable()
			p := h.Kmalloc(size, gfp.NoLocks|gfp.NoWarn)
			pin.Enable()
			h.Kfree(p)
			return p != nil
		})
	}
	mustClose(t, h, a)
}

// What Reserve put aside is there in any context, with every lock taken.
func TestReservedObjectsAreThereWithEveryLockTaken(t *testing.T) {
	testkit.Procs(t, 1) // nobody else stocks the cache
	const n = 10_000
	a := newPages(t, 0)
	c := newTest[cell](t, a, WithDepot(1))
	if err := c.Reserve(n); err != nil {
		t.Fatal(err)
	}
	release := holdZone(a)
	ps := make([]*cell, n)
	pin := preempt.Disable()
	got := 0
	for i := range ps {
		if ps[i] = c.Alloc(gfp.NoLocks | gfp.NoWarn); ps[i] != nil {
			got++
		}
	}
	pin.Enable()
	release()
	if got != n {
		t.Errorf("%d of %d reserved objects", got, n)
	}
	c.FreeBulk(ps)
	letReclaim()
	if s := c.Stats(); !poisonOn && s.Depot*s.SheafCap < n-2*s.SheafCap*runtime.GOMAXPROCS(0) {
		t.Errorf("the depot keeps %d sheaves of %d, and %d objects were reserved", s.Depot, s.SheafCap, n)
	}
	mustClose(t, c, a)
}

func TestReserveSaysWhatItCouldNotGet(t *testing.T) {
	a := hastyPages(t, 4<<20)
	c := newTest[[64]byte](t, a)
	for _, n := range []int{1 << 20, 1 << 40} {
		if err := c.Reserve(n); !errors.Is(err, ErrNoMemory) {
			t.Errorf("Reserve(%d) in 4 MiB: %v", n, err)
		}
	}
	for _, n := range []int{0, -1, 1000} {
		if err := c.Reserve(n); err != nil {
			t.Errorf("Reserve(%d): %v", n, err)
		}
	}
	mustClose(t, c, a)
}

// A class that was asked for is not made for a Heap that is closed by then.
func TestAHeapMayBeClosedWhileAClassIsBeingMade(t *testing.T) {
	for range 50 {
		a := newPages(t, 0)
		h := NewHeap(a)
		for _, size := range []int{16, 200, 5000} {
			h.Kfree(h.Kmalloc(size, gfp.NoLocks|gfp.NoWarn))
		}
		mustClose(t, h)
	}
}
