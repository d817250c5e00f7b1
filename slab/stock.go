package slab

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/heapprof"
	"quiesce/internal/race"
)

// Allocations with gfp.NoLocks that find nothing cached. They may be pinned, so
// they try the cache's lock, which others hold for some microseconds at a
// time, and the page allocator, which does the same. One that is refused, or
// that leaves the depot half empty, has a goroutine put filled sheaves into the
// depot, twice as many each time. So a program that allocates in raw atomic
// contexts only is refused at first, and not from then on. Linux:
// kmalloc_nolock's trylock, and the refill of kfree_rcu's page cache from work.

// stock is what a cache wants of that goroutine, which is supply's.
type stock struct {
	wanted  atomic.Bool
	sheaves atomic.Int32 // what the depot is filled up to; 0 before the first

	reserving atomic.Int32 // calls of Reserve: what the depot has is not to be reclaimed
	reserved  atomic.Int64 // objects that the depot keeps; only Reserve changes it
}

const (
	// stockBytes bounds the objects that a round puts into the depot, which
	// may be bounded lower. Untuned.
	stockBytes = 4 << 20
	// tryBatch is how many objects a request that may be pinned takes out of
	// slabs at once, at some 5 ns each.
	tryBatch = 256
)

// ErrNoMemory is wrapped by the error of Reserve when there is not enough memory.
var ErrNoMemory = errors.New("no memory")

// lockOrTry takes mu, waiting for it if the flags allow that.
func (c *cache) lockOrTry(f gfp.Flags) bool {
	if !f.CanLock() {
		return c.mu.TryLockIRQ()
	}
	c.mu.LockIRQ()
	return true
}

// refillTry is refill for a request that must not wait for a lock.
func (c *cache) refillTry(f gfp.Flags) unsafe.Pointer {
	p := c.tryRefill(f)
	if p == nil {
		race.Disable()
		c.refused(f)
		race.Enable()
		c.requestStock()
	}
	return p
}

// lowStock reports whether the depot has less than half of what is in stock for
// requests without locks.
func (c *cache) lowStock() bool {
	sheaves := c.stock.sheaves.Load() // ord:hint
	return sheaves > 0 && c.fullObjects() < int64(sheaves)*int64(c.sheafCap)/2
}

// requestStock has the depot filled. Context: any.
func (c *cache) requestStock() { c.requestSupply(&c.stock.wanted) }

// fillStock fills the depot, with twice as many sheaves as the last time.
// Context: task; not pinned.
func (c *cache) fillStock() {
	if c.direct {
		c.stockPages()
		return
	}
	perSheaf := int64(c.sheafCap) * int64(c.size)
	most := min(max(int32(stockBytes/perSheaf), 1), c.depot.max.Load()) // ord:hint
	n := max(min(2*c.stock.sheaves.Load(), most), 1)                    // ord:hint
	c.stock.sheaves.Store(n)                                            // ord:hint
	c.fillDepot(int64(n) * int64(c.sheafCap))
}

// fillDepot adds filled sheaves until the depot has n objects, and reports whether
// it has. It counts objects and not sheaves: some are small, and some not full.
// Others may take some all the while. Context: task; not pinned.
func (c *cache) fillDepot(n int64) bool {
	for range n/int64(c.sheafCap) + 1 {
		if c.fullObjects() >= n || c.closed.Load() || !c.fillOne() { // ord:closed
			break
		}
	}
	return c.fullObjects() >= n
}

// fillOne adds a full sheaf to the depot. If it gets less than a sheaf of
// objects, it adds what it got and returns false.
func (c *cache) fillOne() bool {
	const f = gfp.NoWait | gfp.NoWarn
	e, dst := c.wholeSheaf(f)
	if e == 0 {
		return false
	}
	n := 0
	for n < len(dst) {
		var takes heapprof.Takes
		c.mu.LockIRQ()
		k := c.takeObjectsLocked(dst[n:min(n+tryBatch, len(dst))], &takes)
		c.mu.UnlockIRQ()
		if takes.Any() {
			c.note(nil, &takes, f)
		}
		if n += k; k > 0 {
			continue
		}
		order := c.nextOrder()
		p := c.allocSlab(order, f)
		if p == nil {
			break
		}
		sample := c.sampleSlab(p, order, f)
		c.mu.LockIRQ()
		c.addSlabLocked(p, sample)
		c.mu.UnlockIRQ()
	}
	if n == 0 {
		c.pushEmpty(e)
	} else {
		c.sheaf(e).fill(dst, n)
		c.pushFull(e)
	}
	return n == len(dst)
}

// Reserve puts free objects into the depot until there are n, and has the depot
// keep that many: the next n allocations find them in any context, those with
// [gfp.NoLocks] included. They serve every allocation; Shrink, and other users
// of the memory once it is short, may take them. The error wraps [ErrNoMemory].
//
// Context: task; not pinned. It may wait, as an allocation with [gfp.Kernel].
//
// Linux: mempool_create, kmem_cache_prefill_sheaf.
func (c *Cache[T]) Reserve(n int) error { return c.c.reserve(n) }

func (c *cache) reserve(n int) error {
	c.mustBeOpen()
	mightSleep("slab: Reserve")
	objects := int64(max(n, 0))
	if objects > int64(c.sheafCap)<<20 {
		return fmt.Errorf("slab: cache %s: Reserve(%d): %w", c.name, n, ErrNoMemory)
	}
	sheaves := int32((objects + int64(c.sheafCap) - 1) / int64(c.sheafCap))
	c.depot.reserve(sheaves)
	for old := c.stock.reserved.Load(); old < objects && !c.stock.reserved.CompareAndSwap(old, objects); { // ord:hint
		old = c.stock.reserved.Load() // ord:hint
	}
	c.stock.reserving.Add(1)        // ord:hint
	defer c.stock.reserving.Add(-1) // ord:hint
	if c.fillDepot(objects) ||
		c.core.Wait(c.source, c.nextOrder(), c.needed(), func() bool { return c.fillDepot(objects) }) {
		return nil
	}
	return fmt.Errorf("slab: cache %s: Reserve(%d): %w", c.name, n, ErrNoMemory)
}
