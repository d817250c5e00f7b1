package slab

import (
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/heapprof"
	"quiesce/internal/race"
)

// Large objects. An object of a Heap that has more than cacheBytes is a run of pages
// straight from the page allocator, and its cache keeps no free ones when it is idle:
// each would be much memory. The free pages serve every class and every cache. Linux:
// kmalloc_large.
//
// No P has a main or a spare sheaf, only the sentinel, which is empty and full: so
// each Alloc and Free takes its slow path. What is said of slots and slabs holds: a
// large object is the only one of its slab.
//
//	Alloc     a sheaf of the depot, if there is one; else pages, and mu for the slab
//	Free      into the depot while that has room; else mu, if that is free: the pages
//	          are too then. If another holds mu, into the depot all the same
//	FreeRCU   as everywhere, into an RCU sheaf, which holds up to directSheaf bytes
//
// The way to the page allocator and back takes three locks and some microseconds, so
// the depot keeps what is allocated again at once. When the service has drained the
// cache and found nothing, which is every 10 ms, it frees all that the depot has.
//
// Nothing is left in an idle depot: who puts a sheaf there, or puts the rest of one
// back, calls startDrain afterwards, or is the service or Barrier, which empty the depot
// when they are done. The service clears draining and then empties the depot, so one
// of the two sees the other (ord:wake-drain). If it lets go of the drain while it
// reclaims, it empties the depot when it lets go of that.
//
// In race builds Alloc and Free must not take mu each time: the detector would take
// it for an order among the users. They have the pages, and sheaves.

const (
	// directs says whether there are caches of large objects.
	directs = !race.Enabled && !poisonOn
	// directSheaf bounds what an RCU sheaf of large objects holds, which is half of
	// what is pending when helping begins. Untuned.
	directSheaf = 1 << 20
)

// fromPages makes a slab and takes its object. It returns what fromSlabs does.
func (c *cache) fromPages(f gfp.Flags) (p unsafe.Pointer, noted *heapprof.Takes) {
	f = f&(gfp.Atomic|gfp.NoLocks) | gfp.NoWarn // refill waits and warns
	p = c.allocSlab(c.order, f)
	if p == nil {
		return c.fromDepot(), nil
	}
	sample := c.sampleSlab(p, c.order, f)
	if !c.lockOrTry(f) {
		c.freeSlab(p, c.order)
		return c.fromDepot(), nil
	}
	var one [1]uint32
	var takes heapprof.Takes
	c.addSlabLocked(p, sample) // it is the first of its list now
	c.takeObjectsLocked(one[:], &takes)
	c.mu.UnlockIRQ()
	if takes.Any() && mayNote(f) {
		noted = takes.Copy()
	}
	return c.pointer(one[0]), noted
}

// freeDirect is freeSlow of a large object, after busy was cleared. The caller runs
// hidden from the race detector.
//
//go:norace
func (c *cache) freeDirect(off uint32) {
	short := c.core.Waiters.Load() > 0 || c.pressed() // ord:wait
	if (short || !c.admits(c.here())) && c.mu.TryLockIRQ() {
		one := [1]uint32{off}
		_, ok := c.bulkFreeLocked(one[:])
		c.unlockFreed()
		race.Enable()
		if !ok {
			panic(c.misuse(off))
		}
		return
	}
	n := c.getEmpty()
	if n == 0 {
		ok := c.chainObject(off)
		race.Enable()
		c.afterChaining(off, ok)
		return
	}
	s := c.sheaf(n)
	s.obj[0], s.n = off, 1
	race.Enable()
	c.pushFull(n)
	c.startDrain()
	c.memoryCame()
	c.checkDepot()
}

// emptyDepot frees what the depot of an idle cache has, if its objects are large.
// Context: the service.
func (c *cache) emptyDepot() {
	if c.direct {
		c.trimDepot(true)
	}
}

// takeDirect takes an object out of a sheaf of the depot, which is the caller's.
// startDrain is due.
func (c *cache) takeDirect(n num) (off uint32) {
	s := c.sheaf(n)
	s.n--
	off = s.obj[s.n]
	if s.n == 0 {
		c.pushEmpty(n)
	} else {
		c.pushFull(n)
	}
	return off
}

// stockPages is fillStock for large objects: the page allocator has pages with memory
// then, which an allocation with gfp.NoLocks may take.
func (c *cache) stockPages() {
	if p := c.allocSlab(c.order, gfp.NoWait|gfp.NoWarn); p != nil {
		c.freeSlab(p, c.order)
	}
}
