//go:build !poison && !asan

// Poison builds keep an account of every object, which these tests bypass.

package slab

import (
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/rcu"
)

// reclaimed collects what a cache reclaims.
type reclaimed struct{ at [1 << 16]atomic.Bool } // by offset, from the first MiB

func (r *reclaimed) hook() Option {
	return withHook(func(offs []uint32) {
		for _, off := range offs {
			r.at[off].Store(true)
		}
	})
}

func (r *reclaimed) is(c *cache, p unsafe.Pointer) bool { return r.at[c.unitOf(p)].Load() }

// checkWaits checks that p waits for the section, that Barrier reclaims p and
// others after it, and closes the cache.
func (r *reclaimed) checkWaits(t *testing.T, c *Cache[cell], section rcu.Guard, p unsafe.Pointer, early string, others ...unsafe.Pointer) {
	t.Helper()
	letReclaim()
	if r.is(&c.c, p) {
		t.Error(early)
	}
	section.Unlock()
	c.Barrier()
	for _, p := range append(others, p) {
		if !r.is(&c.c, p) {
			t.Error("not reclaimed by Barrier")
		}
	}
	closeAll(t, c)
}

// slotOfAbsentP returns the slot of a P that does not exist: the test owns it.
func slotOfAbsentP(c *cache, id int) *slot {
	c.slots.Register(id)
	return c.slots.At(id)
}

// holdService keeps the service from a cache, as if it never got to it. Barrier
// and Close do without.
func holdService(c *cache) {
	c.draining.Store(true)
	c.reclaiming.Store(true)
}

func busy(s *slot, is uint32) { atomic.StoreUint32(&s.busy, is) }

// filledSheaf returns a sheaf with objects, which the caller owns.
func filledSheaf(t *testing.T, c *cache, ps ...unsafe.Pointer) num {
	t.Helper()
	n := c.newSheaf(c.pages.Alloc(0, gfp.Kernel))
	if n == 0 {
		t.Fatal("no page for a sheaf")
	}
	for i, p := range ps {
		c.sheaf(n).obj[i] = uint32(c.unitOf(p))
		c.sheaf(n).n++
	}
	return n
}

func closeAll[T any](t *testing.T, c *Cache[T]) {
	t.Helper()
	mustClose(t, c, c.c.pages)
}

// soon polls for 200 ms, or until ok returns true.
func soon(ok func() bool) {
	for i := 0; i < 200 && !ok(); i++ {
		time.Sleep(time.Millisecond)
	}
}

// allReclaimed checks that all of ps were, as they are after a Barrier.
func allReclaimed[T any](t *testing.T, r *reclaimed, c *Cache[T], ps []*T) {
	t.Helper()
	for _, p := range ps {
		if !r.is(&c.c, unsafe.Pointer(p)) {
			t.Fatal("not reclaimed by Barrier")
		}
	}
}
