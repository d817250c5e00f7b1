package slab

import (
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/page"
	"quiesce/preempt"
)

// inject sets both points for the rest of the test.
func inject(t *testing.T, slab, page fault.Attr) {
	t.Helper()
	t.Cleanup(func() {
		fault.Slab.Set(fault.Attr{})
		fault.Page.Set(fault.Attr{})
	})
	fault.Slab.Set(slab)
	fault.Page.Set(page)
}

// faultRun allocates n objects, begins what begin says, gives the objects to
// FreeRCU, half of them from a raw atomic context, allocates some again without
// locks, and holds the cache's account against what it did.
func faultRun(t *testing.T, n int, begin func(), end func()) (arrays, fallback uint64) {
	t.Helper()
	a, err := page.New(page.Config{Reserve: 64 << 20, Limit: 16 << 20, ReclaimTimeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCache[[64]byte]("fault", WithAllocator(a), WithSheaf(7), WithDepot(2<<10))
	if err != nil {
		t.Fatal(err)
	}
	withoutGuards(&c.c) // they don't come by the places that fail
	live := make([]*[64]byte, n)
	for i := range live {
		if live[i] = c.Alloc(gfp.Kernel); live[i] == nil {
			t.Fatal("no memory before the fault")
		}
	}
	begin()
	freed := uint64(n)
	for i, p := range live {
		if i%2 == 0 {
			c.FreeRCU(p)
		} else {
			pin := preempt.Disable()
			c.FreeRCU(p)
			pin.Enable()
		}
		if i%5 == 0 { // some come back at once and go the same way
			if q := c.Alloc(gfp.NoWait | gfp.NoLocks | gfp.NoWarn); q != nil {
				c.FreeRCU(q)
				freed++
			}
		}
		if i%11 == 0 {
			if q := c.Alloc(gfp.Kernel | gfp.NoWarn); q != nil {
				c.Free(q)
			}
		}
		if i%50 == 49 {
			c.Shrink()
		}
	}
	c.Barrier()
	end()
	s := c.Stats()
	if s.RCUArrays+s.Fallback < freed { // Free may take the chain too
		t.Errorf("%d objects went into arrays and %d on the chain, of %d", s.RCUArrays, s.Fallback, freed)
	}
	if s.RCUArrays != s.Reused+s.Bulk || s.Fallback != s.FallbackFreed {
		t.Errorf("after Barrier: %+v", s)
	}
	mustClose(t, c, a)
	return s.RCUArrays, s.Fallback
}

// fail-nth: the first allocation fails, then the second, and so on through
// everything that FreeRCU, its workers, Alloc and Barrier allocate.
func TestFailNth_NoObjectIsLostWhicheverAllocationFails(t *testing.T) {
	const missesInARow = 3 // workers allocate or not, as the time has it
	n, misses, swept := int64(0), 0, 0
	for misses < missesInARow && n < 2000 {
		n++
		failed := false
		faultRun(t, 250, func() { fault.Nth(n) }, func() { failed = fault.Nth(0) })
		if t.Failed() {
			t.Fatalf("when allocation %d failed", n)
		}
		if failed {
			swept, misses = swept+1, 0
		} else {
			misses++
		}
	}
	if swept < 20 {
		t.Errorf("only %d allocations were made to fail", swept)
	}
	t.Logf("%d allocations in turn made to fail", swept)
}

func TestFaults_NoObjectIsLost(t *testing.T) {
	for _, c := range []struct {
		name       string
		slab, page fault.Attr
	}{
		{"a tenth", fault.Attr{Probability: 10}, fault.Attr{Probability: 10}},
		{"half", fault.Attr{Probability: 50}, fault.Attr{Probability: 50}},
		{"every page", fault.Attr{}, fault.Attr{Probability: 100}},
		{"every object", fault.Attr{Probability: 100}, fault.Attr{}},
		{"every third, after 8 KiB", fault.Attr{Probability: 100, Interval: 3}, fault.Attr{Probability: 100, Interval: 3, Space: 8 << 10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := fault.Slab.Injected() + fault.Page.Injected()
			arrays, fallback := faultRun(t, 5000, func() { inject(t, c.slab, c.page) }, func() {})
			fault.Slab.Set(fault.Attr{})
			fault.Page.Set(fault.Attr{})
			injected := fault.Slab.Injected() + fault.Page.Injected() - before
			if injected == 0 {
				t.Error("nothing failed")
			}
			t.Logf("%d failures; %d objects in arrays, %d on the chain", injected, arrays, fallback)
		})
	}
}

func TestFaults_WithoutPagesObjectsTakeTheChain(t *testing.T) {
	_, fallback := faultRun(t, 5000, func() { inject(t, fault.Attr{}, fault.Attr{Probability: 100}) }, func() {})
	if fallback == 0 {
		t.Error("no object took the fallback chain")
	}
}

func TestFailslab_RefusesBeyondTheMainSheaf(t *testing.T) {
	a := newPages(t, 0)
	defer mustClose(t, a)
	c := newTest[[64]byte](t, a)
	withoutGuards(&c.c)
	inject(t, fault.Attr{Probability: 100}, fault.Attr{})
	for _, f := range []gfp.Flags{gfp.Kernel, gfp.Atomic, gfp.NoWait, gfp.NoWait | gfp.NoLocks} {
		if p := c.Alloc(f | gfp.NoWarn); p != nil {
			t.Errorf("%v: an object of an empty cache", f)
		}
	}
	if s := c.Stats(); s.Failures != 3 || s.Refusals != 1 {
		t.Errorf("%d failures, %d refusals", s.Failures, s.Refusals)
	}
	fault.Slab.Set(fault.Attr{})
	p := c.Alloc(gfp.Kernel)
	if p == nil {
		t.Error("no object although nothing fails")
	}
	c.Free(p)
	mustClose(t, c)
}
