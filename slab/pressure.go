package slab

import (
	"runtime"
	"slices"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/sys"
	"quiesce/page"
	"quiesce/preempt"
)

// What a cache does when memory is short: for its own allocations, which wait in
// the page allocator's queue, and as a Source of that queue for all others.

// wait waits for memory for an object. It returns nil if there was no progress
// for too long.
func (c *cache) wait(f gfp.Flags) (p unsafe.Pointer) {
	c.waiters.Add(1)        // ord:hint
	defer c.waiters.Add(-1) // ord:hint
	c.core.Wait(c.source, c.nextOrder(), c.needed(), func() bool {
		if p = c.alloc(nil, f, lookFast); p == nil { // a waiter before may have filled this P's sheaf
			p = c.tryRefill(f &^ gfp.Kernel)
		}
		return p != nil
	})
	return p
}

// needed is how much the program's Reclaimers are asked for first. A slab's worth
// would be much of a small limit, and more than one object's comes with it.
func (c *cache) needed() int64 {
	slab := int64(page.Size) << c.nextOrder()
	if c.core.Limit == 0 {
		return slab
	}
	return min(slab, max(c.core.Limit/1024, int64(c.size), page.Size))
}

// memoryCame has a waiter for one of this cache's objects try again.
func (c *cache) memoryCame() {
	if c.core.Waiters.Load() > 0 { // ord:wait
		c.core.MemoryCame(c.source)
	}
}

// hurry is source.Hurry.
func (c *cache) hurry() (pending bool) {
	if !c.begin() {
		return false
	}
	defer c.release()
	c.poison.memoryShort()
	if c.anyRCU() {
		c.nudgeSheaves()
		c.drainRCU()
	}
	if c.hasWork() {
		c.startReclaim()
	}
	return c.reclaiming.Load() // ord:wake-reclaim
}

// stocked is source.Stock.
func (c *cache) stocked() (s pages.Stock) {
	if !c.begin() {
		return s
	}
	defer c.release()
	c.mu.LockIRQ()
	n := c.freeLocked()
	c.mu.UnlockIRQ()
	n += c.fullObjects()
	if t := c.ranLowAt.Load(); t != 0 && sys.Nanotime()-t < lowFor { // ord:hint
		s.Lack = max(int64(c.sheafCap)-n, 0) * int64(c.size)
	}
	s.Free = n * int64(c.size)
	s.Pending = c.allPending() * int64(c.size)
	return s
}

// lowFor is for how long a cache that ran low counts as such, in ns: one that
// nobody allocates from any more lacks nothing. Untuned.
const lowFor = 10_000_000

// checkDepotStock is checkStock after an allocation that took a sheaf of the depot.
func (c *cache) checkDepotStock(took int64, f gfp.Flags) {
	if c.core.Limited {
		c.checkStock(took, c.fullObjects(), f)
	}
}

// checkStock follows an allocation that took objects from the depot or the slabs:
// if it left less than half a sheaf, and there is little room below the limit,
// memory is reclaimed before the next ones need it. Context: as f says.
func (c *cache) checkStock(took, left int64, f gfp.Flags) {
	if c.core.Limited && left < int64(c.sheafCap+1)/2 {
		c.ranLowAt.Store(sys.Nanotime()) // ord:hint
		c.core.RanLow(took*int64(c.size), f.CanSleep())
	}
}

// giveUp is source.Release.
func (c *cache) giveUp(stage pages.Stage, need int64) int64 {
	if !c.begin() {
		return 0
	}
	defer c.release()
	before := c.held()
	keep := int32(0)
	switch stage {
	case pages.Empties:
		keep = emptyKeep // or the next try would make one anew
	case pages.Depots:
		if c.stock.reserving.Load() > 0 { // ord:hint
			return 0
		}
		c.lastReclaim.Store(sys.Nanotime()) // ord:hint
		c.depot.forget()
		for before-c.held() < need {
			if !c.flushOne() {
				break
			}
			c.dropEmpties(0)
		}
	case pages.Sheaves:
		c.flushSheaves()
	}
	c.dropEmpties(keep)
	return before - c.held()
}

// begin keeps the cache from being closed until release. It returns false if it is:
// close sets closed and then waits for workers, so it either waits for this call
// or this call sees it.
func (c *cache) begin() bool {
	c.hold()
	if c.closed.Load() { // ord:closed
		c.release()
		return false
	}
	return true
}

// held returns the bytes of the cache's slabs and sheaves.
func (c *cache) held() int64 {
	return c.slabBytes.Load() + c.sheafBytes.Load() // ord:stat
}

// dropEmpties frees the pages of empty slabs, and of the depot's empty sheaves
// beyond keep.
func (c *cache) dropEmpties(keep int32) {
	c.dropEmptySheaves(keep)
	c.dropEmptySlabs()
}

// flushSheaves takes the main, spare and reserve sheaves of all Ps, and returns
// their objects to the slabs.
func (c *cache) flushSheaves() {
	taken := c.takeFree()
	for _, n := range taken { // may panic over a double free, so without locks
		c.flush(c.here(), n, &c.stats.flushed)
	}
	if len(taken) > 0 {
		c.memoryCame()
	}
}

// takeGone returns to the slabs what Ps that are gone had cached, for a request
// that can't wait, and reports whether there was any. In a raw atomic context,
// which must not make a system call, it does nothing.
func (c *cache) takeGone() bool {
	procs := runtime.GOMAXPROCS(0)
	if c.slots.Used() <= procs || preempt.Atomic() {
		return false
	}
	var gone []*slot
	for id := procs; id < c.slots.Used(); id++ {
		if s := c.slots.At(id); s.hasSheaf() {
			gone = append(gone, s)
		}
	}
	if len(gone) == 0 || !takers.mu.TryLock() {
		return false
	}
	taken := c.takeFreeLocked(func(c *cache, id int, s *slot) {
		if slices.Contains(gone, s) {
			grabFree(c, id, s)
		}
	})
	takers.mu.Unlock()
	for _, n := range taken {
		c.flush(c.here(), n, &c.stats.flushed)
	}
	return len(taken) > 0
}

func (s *slot) hasSheaf() bool {
	return atomic.LoadUint32(&s.main) != 0 || atomic.LoadUint32(&s.spare) != 0 || atomic.LoadUint32(&s.reserve) != 0 // ord:slot
}

// shrink returns to the page allocator all that no grace period holds.
func (c *cache) shrink() {
	c.poison.memoryShort()
	c.flushSheaves()
	c.depot.forget()
	c.trimDepot(true)
	c.dropEmpties(0)
}
