package page

import (
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/fault"
)

func TestFailPageAlloc(t *testing.T) {
	a, err := New(Config{Name: "faults", Limit: 4 << 20, ReclaimTimeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer fault.Page.Set(fault.Attr{})
	p := a.Alloc(0, gfp.Kernel) // and some more on this P's list
	for _, c := range []struct {
		name  string
		order int
		flags gfp.Flags
	}{
		{"from the list", 0, gfp.NoWait | gfp.NoLocks | gfp.NoWarn},
		{"from the zone", 5, gfp.Atomic | gfp.NoWarn},
		{"with reclaim", 9, gfp.Kernel | gfp.NoWarn},
	} {
		fault.Page.Set(fault.Attr{Probability: 100, Times: 1})
		if q := a.Alloc(c.order, c.flags); q != nil {
			t.Errorf("%s: the allocation did not fail", c.name)
			a.Free(q, c.order)
		}
		fault.Page.Set(fault.Attr{})
		if q := a.Alloc(c.order, c.flags&^gfp.NoLocks); q == nil {
			t.Errorf("%s: it failed although the point is off", c.name)
		} else {
			a.Free(q, c.order)
		}
	}
	fault.Page.Set(fault.Attr{Probability: 100})
	b, err := New(Config{Name: "made while armed"})
	if err != nil {
		t.Fatal(err)
	}
	if q := b.Alloc(0, gfp.Kernel|gfp.NoWarn); q != nil {
		t.Error("an allocator that was made while the point was armed serves")
		b.Free(q, 0)
	}
	a.Free(p, 0) // freeing never fails
	for _, x := range []*Allocator{a, b} {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		if q := x.Alloc(0, gfp.Kernel|gfp.NoWarn); q != nil {
			t.Error("a closed allocator serves")
		}
	}
}
