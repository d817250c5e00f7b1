package slab

import (
	"fmt"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/preempt"
)

// newSmall makes a cache that is young for ever.
func newSmall(t *testing.T, a *page.Allocator, opts ...Option) *Cache[cell] {
	t.Helper()
	c := newTest[cell](t, a, opts...)
	c.c.youngMost, c.c.thriftyMost = 1<<30, 1<<30
	return c
}

// stockSmall allocates and frees n objects of a young cache, which puts small full
// sheaves into the depot.
func stockSmall(c *Cache[cell], n int) {
	ps := make([]*cell, n)
	c.AllocBulk(gfp.Kernel, ps)
	for _, p := range ps {
		c.Free(p)
	}
}

// depotHolds counts the objects in the depot.
//
//go:norace
func depotHolds(c *cache) (objects int) {
	var all []num
	for n := c.popFull(); n != 0; n = c.popFull() {
		objects += int(c.sheaf(n).n)
		all = append(all, n)
	}
	for i := range all {
		c.pushFull(all[len(all)-1-i])
	}
	return objects
}

// The depot of a young cache has small sheaves. Reserve counts their objects: n
// allocations with every lock taken find n.
func TestReserveOfAYoungCacheCountsObjects(t *testing.T) {
	if poisonOn {
		t.Skip("poison builds have no small sheaves")
	}
	testkit.Procs(t, 1) // nobody else stocks the cache
	const n = 60_000
	a := newPages(t, 0)
	c := newSmall(t, a)
	stockSmall(c, 3000)
	if small := c.c.first.full.n.Load(); small < n/int32(c.c.sheafCap) {
		t.Fatalf("%d small sheaves in the depot, which the test wants to look like %d objects", small, n)
	}
	if err := c.Reserve(n); err != nil {
		t.Fatal(err)
	}
	release := holdZone(a)
	ps := make([]*cell, 0, n)
	pin := preempt.Disable()
	for len(ps) < n {
		p := c.Alloc(gfp.NoLocks | gfp.NoWarn)
		if p == nil {
			break
		}
		ps = append(ps, p)
	}
	pin.Enable()
	release()
	if len(ps) != n {
		t.Errorf("%d of %d reserved objects", len(ps), n)
	}
	c.FreeBulk(ps)
	mustClose(t, c, a)
}

// What the service trims is never what Reserve put aside, however small the
// sheaves are that the depot had before.
func TestTheDepotKeepsWhatIsReserved(t *testing.T) {
	if poisonOn {
		t.Skip("poison builds have no small sheaves")
	}
	for _, depot := range []int64{1, depotBytes} {
		for _, small := range []int{0, 200, 3000} {
			t.Run(fmt.Sprintf("depot %d small %d", depot, small), func(t *testing.T) {
				testkit.Procs(t, 1)
				a := newPages(t, 0)
				c := newSmall(t, a, WithDepot(depot))
				for _, n := range []int{1, 100, 5000, 70_000} {
					stockSmall(c, small)
					if err := c.Reserve(n); err != nil {
						t.Fatal(err)
					}
					c.c.startReclaim()
					eventually(t, "the service is done with the cache", func() bool { return !c.c.reclaiming.Load() })
					if got := depotHolds(&c.c); got < n {
						t.Errorf("the depot has %d objects after Reserve(%d)", got, n)
					}
				}
				if c.Shrink(); depotHolds(&c.c) != 0 {
					t.Error("Shrink leaves sheaves in the depot")
				}
				mustClose(t, c, a)
			})
		}
	}
}

// A sheaf that is not full counts for what it holds.
func TestReserveCountsWhatASheafHolds(t *testing.T) {
	if poisonOn {
		t.Skip("poison builds have no depot")
	}
	a := newPages(t, page.Size*1024)
	c := newTest[cell](t, a)
	for range 5 {
		c.FreeRCU(c.Alloc(gfp.Kernel))
		c.Barrier() // a sheaf with an object or two
	}
	n := int(c.c.sheafCap) * 2
	if err := c.Reserve(n); err != nil {
		t.Fatal(err)
	}
	if got := depotHolds(&c.c); got < n {
		t.Errorf("the depot has %d objects after Reserve(%d)", got, n)
	}
	mustClose(t, c, a)
}
