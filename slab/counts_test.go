//go:build !poison && !asan

// Poison builds have no depot.

package slab

import (
	"testing"

	"quiesce/internal/fault"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

// With several groups the sums learn of what is pending some sheaves at a time; the
// statistics know of all, and so do the sums after Barrier.
func TestTheSumsLearnOfAGroupsChangesInTime(t *testing.T) {
	c, of, ps := groupedCache(t)
	before, most := service.pending.Load(), untoldSheaves*int64(c.c.sheafCap)
	g := of[3]

	c.c.countPending(g, most-1)
	if n := c.c.pendingObjects.Load(); n != 0 {
		t.Errorf("%d objects are told, a group may keep them to itself", n)
	}
	if n := c.c.allPending(); n != most-1 {
		t.Errorf("%d objects are pending, want %d", n, most-1)
	}
	c.c.countPending(g, 1)
	if n, all := c.c.pendingObjects.Load(), service.pending.Load()-before; n != most || all != most*int64(c.c.size) {
		t.Errorf("%d objects are told, and %d bytes, want %d and %d", n, all, most, most*int64(c.c.size))
	}
	c.c.countPending(of[1], -most+1)
	if n := c.c.allPending(); n != 1 {
		t.Errorf("%d objects are pending, want 1", n)
	}
	c.c.countPending(g, -1)

	for i, g := range of {
		c.c.closeSheaf(g, filledSheaf(t, &c.c, ps[i]), rcu.GetState())
	}
	if n := c.Stats().Deferred; n != len(of) {
		t.Errorf("%d objects are deferred, want %d", n, len(of))
	}
	c.Barrier()
	if n, all := c.c.pendingObjects.Load(), service.pending.Load()-before; n != 0 || all != 0 {
		t.Errorf("after Barrier %d objects are pending in the cache's sum, %d bytes in that of all", n, all)
	}
	if s := c.Stats(); s.Deferred != 0 || s.RCUArrays != uint64(len(of)) || s.Reused != s.RCUArrays {
		t.Errorf("%d deferred, %d went into arrays, %d were reused; want 0, %d, %[4]d", s.Deferred, s.RCUArrays, s.Reused, len(of))
	}
	letGo(&c.c)
	closeAll(t, c)
}

// No change is lost or told twice, however many are made at a time.
func TestNoChangeOfWhatIsPendingIsLost(t *testing.T) {
	c, of, ps := groupedCache(t)
	for _, p := range ps {
		c.Free((*cell)(p))
	}
	before := service.pending.Load()
	each := 200_000
	if fault.Delays {
		each = 2000
	}
	<-testkit.AsyncN(4, func(i int) {
		for range each {
			c.c.countPending(of[1], int64(c.c.sheafCap)) // one of four is told
		}
		for range each - 1 {
			c.c.countPending(of[1], -int64(c.c.sheafCap))
		}
	})
	if n, want := c.c.allPending(), 4*int64(c.c.sheafCap); n != want {
		t.Errorf("%d objects are pending, want %d", n, want)
	}
	c.c.countPending(of[2], -4*int64(c.c.sheafCap))
	c.c.tellAll()
	if n, all := c.c.pendingObjects.Load(), service.pending.Load()-before; n != 0 || all != 0 {
		t.Errorf("%d objects are pending in the cache's sum, %d bytes in that of all", n, all)
	}
	letGo(&c.c)
	closeAll(t, c)
}
