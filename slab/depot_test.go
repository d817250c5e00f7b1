//go:build !poison && !asan && !race

// Poison builds have no depot; race builds shuffle what comes back.

package slab

import (
	"testing"

	"quiesce/gfp"
	"quiesce/internal/testkit"
)

type quarterPage [1024]byte

// heldCache makes a cache on so many Ps, whose service is held.
func heldCache(t *testing.T, procs int, limit int64, opts ...Option) *Cache[quarterPage] {
	testkit.Procs(t, procs)
	c := newTest[quarterPage](t, newPages(t, limit), opts...)
	holdService(&c.c)
	countProcs()
	return c
}

// wave allocates n objects, frees them for good, and returns how many of them went
// back to their slabs one by one.
func wave(t *testing.T, c *Cache[quarterPage], n int) (bulk int) {
	t.Helper()
	stockEmpty(t, &c.c, n/int(c.c.sheafCap)+64-int(c.c.first.empty.n.Load())) // or they take the chain
	before := c.Stats()
	ps := make([]*quarterPage, n)
	if got := c.AllocBulk(gfp.Kernel, ps); got < n {
		t.Fatalf("%d of %d objects", got, n)
	}
	for _, p := range ps {
		c.FreeRCU(p)
	}
	c.Barrier()
	after := c.Stats()
	return int(after.Bulk + after.Flushed + after.FallbackFreed - before.Bulk - before.Flushed - before.FallbackFreed)
}

// With more Ps more comes back at once and is wanted again: the depot learns to
// hold it, and forgets when the cache is idle.
func TestTheDepotFollowsMissesAndPs(t *testing.T) {
	const objects = 3 * depotBytes / len(quarterPage{})
	for _, x := range []struct {
		what    string
		procs   int
		opts    []Option
		limit   int64
		follows bool
	}{
		{"8 Ps", 8, nil, 0, true},
		{"2 Ps: the depot has their share from the start", 2, nil, 0, false},
		{"8 Ps, a depot of the caller's choice", 8, []Option{WithDepot(depotBytes)}, 0, false},
		{"8 Ps, a limit of which the depot may have no more", 8, nil, 64 * depotBytes, false},
	} {
		t.Run(x.what, func(t *testing.T) {
			c := heldCache(t, x.procs, x.limit, x.opts...)
			for range 3 {
				wave(t, c, objects)
			}
			bulk := wave(t, c, objects)
			if x.follows && bulk > objects/10 {
				t.Errorf("%d of %d objects freed in bulk in the fourth wave", bulk, objects)
			}
			if !x.follows && bulk < objects/2 {
				t.Errorf("only %d of %d objects freed in bulk: more in the depot than it may have", bulk, objects)
			}
			if most := c.c.depot.max.Load() * 3; c.c.depot.bound() > most+8 {
				t.Errorf("room for %d sheaves in the depot, at most %d came back at once", c.c.depot.bound(), most)
			}
			letGo(&c.c)
			wave(t, c, 1) // it becomes idle afterwards
			eventually(t, "an idle cache's depot is as small as it was", func() bool {
				return c.c.first.full.n.Load() <= c.c.depot.max.Load()
			})
			mustClose(t, c)
		})
	}
}

// A flood that nobody allocates after comes back cold: in bulk, however many Ps.
func TestAFloodIsFreedInBulk(t *testing.T) {
	const objects = 4 * depotBytes / len(quarterPage{})
	c := heldCache(t, 8, 0)
	if bulk := wave(t, c, objects); bulk < objects/2 {
		t.Errorf("%d of %d objects were freed in bulk", bulk, objects)
	}
	letGo(&c.c)
	mustClose(t, c)
}

// Shrink takes the room that misses have added, too.
func TestShrinkForgetsMisses(t *testing.T) {
	const objects = 3 * depotBytes / len(quarterPage{})
	c := heldCache(t, 8, 0)
	for range 4 {
		wave(t, c, objects)
	}
	if c.c.depot.more.Load() == 0 {
		t.Error("four waves added no room")
	}
	c.Shrink()
	if b := c.c.depot.bound(); b != c.c.depot.max.Load() {
		t.Errorf("room for %d sheaves after Shrink, for %d at first", b, c.c.depot.max.Load())
	}
	letGo(&c.c)
	mustClose(t, c)
}

// When Ps are gone, so is their share.
func TestTheDepotFollowsFewerPs(t *testing.T) {
	const objects = 3 * depotBytes / len(quarterPage{})
	c := heldCache(t, 8, 0)
	for range 4 {
		wave(t, c, objects)
	}
	d := &c.c.depot
	grown, now := d.bound(), int64(0)
	d.settle(c.c.first.full.n.Load(), now)
	if b := d.bound(); b != grown {
		t.Errorf("room for %d sheaves, %d before, on the same Ps", b, grown)
	}
	testkit.Procs(t, 5)
	countProcs()
	d.settle(c.c.first.full.n.Load(), now)
	if b := d.bound(); b != 5*d.share || b >= grown {
		t.Errorf("room for %d sheaves on 5 Ps, %d on 8, %d to each", b, grown, d.share)
	}
	testkit.Procs(t, 2)
	countProcs()
	d.settle(c.c.first.full.n.Load(), now)
	if b := d.bound(); b != d.max.Load() {
		t.Errorf("room for %d sheaves on 2 Ps, for %d at first", b, d.max.Load())
	}
	letGo(&c.c)
	mustClose(t, c)
}

// A cache that is used, but less than it was, does not keep what it had.
func TestTheDepotSettles(t *testing.T) {
	const objects = 3 * depotBytes / len(quarterPage{})
	c := heldCache(t, 8, 0)
	for range 4 {
		wave(t, c, objects)
	}
	d := &c.c.depot
	grown, now := d.bound(), int64(settleEvery)
	settle := func() {
		d.settle(c.c.first.full.n.Load(), now)
		now += settleEvery
	}
	settle()
	for range 3 { // all of it is used
		wave(t, c, objects)
		settle()
	}
	if b := d.bound(); b < grown {
		t.Errorf("room for %d sheaves, %d before, and all were used", b, grown)
	}
	settle()
	for range 100 { // a tenth is
		wave(t, c, objects/10)
		settle()
		c.c.trimDepot(false)
	}
	if b := d.bound(); b != d.max.Load() {
		t.Errorf("room for %d sheaves in a depot that is hardly used, for %d at first", b, d.max.Load())
	}
	letGo(&c.c)
	mustClose(t, c)
}
