//go:build !poison && !asan

// Poison builds have no depot.

package slab

import (
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/rcu"
)

// groupedCache returns a cache with four groups, whose service is held, and an object
// of it for each.
func groupedCache(t *testing.T, opts ...Option) (c *Cache[cell], of []*group, ps []unsafe.Pointer) {
	t.Helper()
	notSampled(t)
	c = newTest[cell](t, newPages(t, 0), opts...)
	slotOfAbsentP(&c.c, 3*groupPs)
	c.c.makeGroups()
	for g := &c.c.first; g != nil; g = c.c.after(g) {
		of = append(of, g)
		ps = append(ps, unsafe.Pointer(c.Alloc(gfp.Kernel)))
	}
	if len(of) != 4 || c.c.groups() != 4 {
		t.Fatalf("%d groups, walked over %d", c.c.groups(), len(of))
	}
	for i, g := range of {
		if c.c.groupOf(i*groupPs) != g || c.c.groupOf((i+1)*groupPs-1) != g {
			t.Fatalf("group %d is not that of its Ps", i)
		}
	}
	if c.c.groupOf(4*groupPs) != &c.c.first {
		t.Fatal("a P whose group is not made does not use the first")
	}
	c.c.shrink()
	holdService(&c.c)
	return c, of, ps
}

// Barrier finds what is pending in every group, and each sheaf comes back to its own.
func TestBarrierReclaimsEveryGroup(t *testing.T) {
	var r reclaimed
	c, of, ps := groupedCache(t, r.hook())
	for i, g := range of {
		c.c.closeSheaf(g, filledSheaf(t, &c.c, ps[i]), rcu.GetState())
	}
	if n := c.Stats().Pending; n != len(of) {
		t.Errorf("%d sheaves are pending, want %d", n, len(of))
	}
	c.Barrier()
	for i, g := range of {
		if !r.is(&c.c, ps[i]) {
			t.Errorf("group %d: not reclaimed by Barrier", i)
		}
		if g.pending.n.Load() != 0 || g.full.n.Load() != 1 || g.full.objects.Load() != 1 {
			t.Errorf("group %d: %d sheaves pending, %d in the depot with %d objects, want 0, 1, 1",
				i, g.pending.n.Load(), g.full.n.Load(), g.full.objects.Load())
		}
	}
	if s := c.Stats(); s.Pending != 0 || s.Depot != len(of) || s.Cached != len(of) || s.Live != 0 {
		t.Errorf("%d pending, %d in the depot, %d objects cached, %d live", s.Pending, s.Depot, s.Cached, s.Live)
	}
	letGo(&c.c)
	closeAll(t, c)
}

// Sheaves share a wait, which is the longest that any of them needs, of whatever group.
func TestASheafOfALaterGroupWaits(t *testing.T) {
	c, of, ps := groupedCache(t)
	early := rcu.GetState()
	c.c.closeSheaf(of[0], filledSheaf(t, &c.c, ps[0]), early)
	rcu.Synchronize()
	late := rcu.GetState()
	c.c.closeSheaf(of[3], filledSheaf(t, &c.c, ps[3]), late)
	c.c.reclaimMu.Lock()
	until := c.c.collectLocked()
	c.c.reclaimMu.Unlock()
	if early >= late || until != late {
		t.Errorf("collected until %d, want %d, the cookie of the last group's sheaf; the other's is %d", until, late, early)
	}
	for _, p := range []unsafe.Pointer{ps[1], ps[2]} {
		c.Free((*cell)(p))
	}
	letGo(&c.c)
	closeAll(t, c)
}

// When more Ps come, those that were there keep their groups.
func TestGroupsKeepTheirPlace(t *testing.T) {
	c, of, ps := groupedCache(t)
	for i, g := range of {
		g.pushFull(&c.c, filledSheaf(t, &c.c, ps[i]))
	}
	slotOfAbsentP(&c.c, 6*groupPs)
	c.c.makeGroups()
	if n := c.c.groups(); n != 7 {
		t.Errorf("%d groups of %d Ps", n, 6*groupPs+1)
	}
	for i, g := range of {
		if c.c.at(i) != g {
			t.Errorf("group %d is another one", i)
		}
	}
	letGo(&c.c)
	closeAll(t, c)
}

// The service sees work in any group, and does it.
func TestTheServiceReclaimsEveryGroup(t *testing.T) {
	var r reclaimed
	c, of, ps := groupedCache(t, r.hook())
	letGo(&c.c)
	for i, g := range of {
		c.c.closeSheaf(g, filledSheaf(t, &c.c, ps[i]), rcu.GetState())
		if !c.c.hasWork() && !r.is(&c.c, ps[i]) {
			t.Errorf("group %d: what is pending there is no work", i)
		}
		c.c.startReclaim()
		eventually(t, "reclaim", func() bool { return r.is(&c.c, ps[i]) })
	}
	closeAll(t, c)
}

// The drain makes a P's RCU sheaf pending in the P's group.
func TestTheDrainKnowsTheGroupOfASlot(t *testing.T) {
	c, of, ps := groupedCache(t)
	for i := range of {
		slotOfAbsentP(&c.c, i*groupPs+5).rcu = filledSheaf(t, &c.c, ps[i])
	}
	drain([]*cache{&c.c})
	for i, g := range of {
		if n := g.pending.n.Load(); n != 1 {
			t.Errorf("group %d: %d sheaves pending, want 1", i, n)
		}
	}
	letGo(&c.c)
	closeAll(t, c)
}

// Helpers take what is ripe in any group, and hand it over there.
func TestHelpersHandOverInEveryGroup(t *testing.T) {
	c, of, ps := groupedCache(t)
	for i, g := range of {
		c.c.closeSheaf(g, filledSheaf(t, &c.c, ps[i]), rcu.GetState())
	}
	if any, until := c.c.tryRipen(); any || until == 0 {
		t.Fatal("nothing was collected")
	}
	rcu.Synchronize()
	if any, _ := c.c.tryRipen(); !any {
		t.Fatal("no sheaf became ripe after a grace period")
	}
	if c.c.collected.youngest != 0 {
		t.Error("all became ripe, and the batch is not empty")
	}
	for range of {
		c.c.handOverSome()
	}
	for i, g := range of {
		if p, f := g.pending.n.Load(), g.full.n.Load(); p != 0 || f != 1 {
			t.Errorf("group %d: %d sheaves pending, %d in the depot, want 0, 1", i, p, f)
		}
	}
	letGo(&c.c)
	closeAll(t, c)
}

// A bounded number becomes ripe at a time, over all groups.
func TestRipeningIsBoundedOverAllGroups(t *testing.T) {
	c, of, ps := groupedCache(t)
	for i, g := range of {
		c.c.closeSheaf(g, filledSheaf(t, &c.c, ps[i]), rcu.GetState())
	}
	c.c.tryRipen()
	rcu.Synchronize()
	for want := int32(1); want <= int32(len(of)); want++ {
		c.c.reclaimMu.Lock()
		any := c.c.ripenLocked(1)
		c.c.reclaimMu.Unlock()
		if n := c.c.sheaves(ripeOf); !any || n != want {
			t.Errorf("%d sheaves are ripe, want %d", n, want)
		}
		if empty := c.c.collected.youngest == 0; empty != (want == int32(len(of))) {
			t.Errorf("%d of %d became ripe, the batch is empty: %v", want, len(of), empty)
		}
	}
	letGo(&c.c)
	closeAll(t, c)
}

// Shrink and Close leave nothing in any group.
func TestShrinkEmptiesEveryGroup(t *testing.T) {
	c, of, ps := groupedCache(t)
	had := c.c.sheafBytes.Load()
	for i, g := range of {
		g.pushFull(&c.c, filledSheaf(t, &c.c, ps[i]))
		for range 3 {
			g.pushEmpty(&c.c, filledSheaf(t, &c.c))
		}
	}
	if n := c.Stats().Cached; n != len(of) {
		t.Errorf("%d objects cached, want %d", n, len(of))
	}
	c.Shrink()
	for i, g := range of {
		if f, e := g.full.n.Load(), g.empty.n.Load(); f+e != 0 || !g.full.empty() || !g.empty.empty() {
			t.Errorf("group %d: %d full and %d empty sheaves after Shrink", i, f, e)
		}
	}
	if b := c.c.sheafBytes.Load(); b > had {
		t.Errorf("sheaves of %d bytes after Shrink, %d before", b, had)
	}
	if s := c.Stats(); s.Out != 0 {
		t.Errorf("%d objects are out of their slabs after Shrink", s.Out)
	}
	letGo(&c.c)
	closeAll(t, c)
}

// A P without objects, or arrays, takes those of other groups before it makes some.
func TestOtherGroupsHaveWhatOneLacks(t *testing.T) {
	c, of, ps := groupedCache(t)
	for i, g := range of {
		g.pushFull(&c.c, filledSheaf(t, &c.c, ps[i]))
	}
	before := c.c.stats.refusals.Load()
	got := map[unsafe.Pointer]bool{}
	for range ps {
		got[unsafe.Pointer(c.Alloc(gfp.NoLocks))] = true
		c.c.flushSheaves() // an array of the last one
	}
	for i, p := range ps {
		if !got[p] {
			t.Errorf("the object of group %d was not allocated", i)
		}
	}
	if n := c.c.stats.refusals.Load() - before; n != 0 {
		t.Errorf("%d refusals", n)
	}
	c.c.dropEmpties(0)
	for _, g := range of {
		g.pushEmpty(&c.c, filledSheaf(t, &c.c))
	}
	bytes := c.c.sheafBytes.Load()
	for range of {
		n := c.c.popOf(emptyOf)
		if n == 0 {
			t.Fatal("a group has an empty sheaf, and it was not found")
		}
		c.c.dropSheaf(n)
	}
	if c.c.sheafBytes.Load() >= bytes || c.c.anyOf(emptyOf) {
		t.Error("empty sheaves are left")
	}
	for p := range got {
		if p != nil {
			c.Free((*cell)(p))
		}
	}
	letGo(&c.c)
	closeAll(t, c)
}

// The bound is one for all groups: one may use what the others leave, and not more.
func TestGroupsShareTheDepotsBound(t *testing.T) {
	c, of, ps := groupedCache(t, WithSheaf(1), WithDepot(8*64))
	most := int(c.c.depot.bound())
	objects := make([]*cell, 2*most)
	if n := c.AllocBulk(gfp.Kernel, objects); n != len(objects) {
		t.Fatalf("%d of %d objects", n, len(objects))
	}
	c.c.shrink()
	last := of[3]
	for i, p := range objects {
		if i < most/2 {
			of[1].pushFull(&c.c, filledSheaf(t, &c.c, unsafe.Pointer(p)))
			continue
		}
		if got := c.c.admits(last); got != (i < most) {
			t.Fatalf("groups with %d sheaves admit another: %v", i, got)
		}
		last.pushFull(&c.c, filledSheaf(t, &c.c, unsafe.Pointer(p)))
	}
	if !c.c.overfull() {
		t.Error("a depot with twice its bound is not overfull")
	}
	c.c.trimDepot(false)
	if n := c.c.sheaves(fullOf); n != int32(most) {
		t.Errorf("%d sheaves after the depot was trimmed, want %d", n, most)
	}
	for _, p := range ps {
		c.Free((*cell)(p))
	}
	letGo(&c.c)
	closeAll(t, c)
}
