package slab

import (
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// The layer between the faces of the package, Cache and Heap, and its core.
// Every operation of both goes through it, and it alone reports to the race
// detector and to lockdep what happens. In plain builds it is empty: its
// functions are inlined, and leave the call of the core.

// hooked says whether allocations are reported to anyone.
const hooked = race.Enabled || depcheck.Tagged

// allocHooked is an allocation in builds with hooks. asked is the size that
// the caller wants, 0 for an object of the cache's type.
func (c *cache) allocHooked(f gfp.Flags, asked uintptr) unsafe.Pointer {
	if depcheck.Tagged {
		c.mightAlloc(f)
	}
	if poisonOn && asked != 0 {
		return c.poison.alloc(f, asked)
	}
	if race.Enabled {
		return c.raceAlloc(f)
	}
	return allocPinned(c, f)
}

// allocObjects fills dst and returns the number of objects it got.
func (c *cache) allocObjects(f gfp.Flags, dst []unsafe.Pointer) int {
	if depcheck.Tagged {
		c.mightAlloc(f)
	}
	if race.Enabled {
		c.raceShuffle(len(dst))
	}
	n := c.allocBulk(f, dst)
	c.raceAllocBulk(dst[:n])
	return n
}

// freeObject frees an object at once.
func (c *cache) freeObject(p unsafe.Pointer) {
	if race.Enabled {
		c.raceFree(p)
	}
	if sys.Leaves {
		leafFree(c, p)
		return
	}
	c.free(p)
}

// freeObjects frees many objects at once.
func (c *cache) freeObjects(ps []unsafe.Pointer) {
	c.raceFreeBulk(ps)
	c.freeBulk(ps)
}

// freeRCUObject frees an object after a grace period.
func (c *cache) freeRCUObject(p unsafe.Pointer) {
	if race.Enabled {
		c.raceFreeRCU(p)
	}
	if sys.Leaves {
		leafFreeRCU(c, p)
		return
	}
	c.freeRCU(p)
}

// barrierChecked waits until everything that was given to freeRCU is
// reclaimed, in each of the caches.
func barrierChecked(caches ...*cache) {
	for _, c := range caches {
		c.mustBeOpen()
	}
	mightSleep("slab: Barrier")
	barrier(caches)
}

// shrinkChecked returns cached free memory of each cache to its allocator.
func shrinkChecked(caches ...*cache) {
	for _, c := range caches {
		c.mustBeOpen()
	}
	mightSleep("slab: Shrink")
	for _, c := range caches {
		c.drainRCU()
		c.shrink()
	}
}

// closeChecked closes the caches and returns the first error.
func closeChecked(caches ...*cache) (err error) {
	mightSleep("slab: Close")
	for _, c := range caches {
		if e := c.close(); e != nil && err == nil {
			err = e
		}
	}
	return err
}

// mightSleep reports, where lockdep is on, a caller that must not sleep,
// whether it has to wait this time or not.
func mightSleep(what string) {
	if depcheck.Enabled() {
		depcheck.MightSleep(0, what)
	}
}

// mightAlloc checks, in builds with -tags lockdep, what an allocation may do
// by its flags, whether it does it this time or not.
//
// Linux: might_alloc.
func (c *cache) mightAlloc(f gfp.Flags) {
	if depcheck.Enabled() {
		c.core.MightAlloc(uint32(f))
		if f.CanLock() {
			c.mu.MightLockIRQ()
		}
	}
}

// checkMaySleep refuses to wait in a raw atomic context. With lockdep on the
// request is reported and becomes one that does not wait; otherwise the caller
// panics.
func (c *cache) checkMaySleep(f gfp.Flags) gfp.Flags {
	if depcheck.Enabled() {
		depcheck.MightSleep(0, "slab: allocation with gfp.Kernel")
		c.core.MightReclaim()
	}
	if !preempt.Atomic() {
		return f
	}
	if !depcheck.Enabled() {
		panic("quiesce/slab: gfp.Kernel allocation in a raw atomic context, where nothing may sleep, cache " + c.name)
	}
	return f &^ gfp.Kernel
}
