package slab

import (
	"fmt"
	"reflect"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/offheap"
	"quiesce/internal/sys"
)

// Cache allocates objects of type T outside the Go heap. Its methods are safe
// for concurrent use, except Close.
//
// Linux: kmem_cache.
type Cache[T any] struct{ c cache }

// NewCache makes a cache. Its name has 1 to 100 bytes. T has at most 2 MiB and
// holds no Go pointer (string, slice, map, interface, func, chan, *X), because
// the garbage collector does not scan the objects; links between them are
// [Pointer] values.
//
// Context: task; not pinned.
//
// Linux: kmem_cache_create.
func NewCache[T any](name string, opts ...Option) (*Cache[T], error) {
	t := reflect.TypeFor[T]()
	if err := offheap.Check(t); err != nil {
		return nil, fmt.Errorf("slab: cache %s: %w", name, err)
	}
	c := new(Cache[T])
	if err := c.c.init(name, t.Size(), opts); err != nil {
		return nil, err
	}
	return c, nil
}

// Alloc returns an object, or nil if there is no memory. Without [gfp.Zero] its
// content is undefined. Alloc panics on a closed cache.
//
// Context: as the flags say, see package gfp; with [gfp.NoLocks] any.
//
// Linux: kmem_cache_alloc.
func (c *Cache[T]) Alloc(f gfp.Flags) (p *T) {
	if hooked {
		return (*T)(c.c.allocHooked(f, 0))
	}
	if sys.Leaves {
		return (*T)(leafAlloc(&c.c, f))
	}
	// lookFast and then, if need be, lookFurther, in a loop with one call: two
	// calls would be too much for the inliner (cost 79 of 80).
	for round := range lookFurther + 1 {
		if p = (*T)(c.c.alloc(unsafe.Pointer(p), f, round)); p != nil && f < gfp.Zero {
			break
		}
	}
	return
}

// Free frees an object at once: no goroutine may still use it. p may be nil.
// Free takes no lock and never sleeps. It panics if p is not in the allocator's
// range; a double free and another cache's object are detected later, as the
// package comment says.
//
// Context: any.
//
// Linux: kmem_cache_free.
func (c *Cache[T]) Free(p *T) {
	c.c.freeObject(unsafe.Pointer(p))
}

// FreeRCU frees an object after a grace period. The object must be unlinked
// already, so that no new reader finds it. p may be nil. FreeRCU waits for no lock,
// never sleeps and never fails. It panics as Free does. While more than 2 MiB of the
// cache's objects wait for a grace period, or 32 MiB of all caches', a call in some
// hundreds hands over those whose grace period is over; if there are none it lets
// other goroutines run for some 50 µs. Not in a raw atomic context.
//
// Context: any.
//
// Linux: kfree_rcu.
func (c *Cache[T]) FreeRCU(p *T) {
	c.c.freeRCUObject(unsafe.Pointer(p))
}

// AllocBulk allocates an object for each element of dst, in order, and returns
// how many it got before memory ran out.
//
// Context: as Alloc.
//
// Linux: kmem_cache_alloc_bulk.
func (c *Cache[T]) AllocBulk(f gfp.Flags, dst []*T) int {
	n := c.c.allocObjects(f, pointers(dst))
	if f&gfp.Zero != 0 {
		var zero T
		for _, p := range dst[:n] {
			*p = zero
		}
	}
	return n
}

// FreeBulk frees many objects as Free does, and skips nils.
//
// Context: any.
//
// Linux: kmem_cache_free_bulk.
func (c *Cache[T]) FreeBulk(ps []*T) {
	c.c.freeObjects(pointers(ps))
}

// pointers returns the slice without its pointers' type.
func pointers[T any](ps []*T) []unsafe.Pointer {
	return unsafe.Slice((*unsafe.Pointer)(unsafe.Pointer(unsafe.SliceData(ps))), len(ps))
}

// Barrier waits until every object that was given to FreeRCU before the call is
// free. It does not wait for what an open [Sheaf] holds.
//
// Context: task; not pinned, not in a read-side section.
//
// Linux: kvfree_rcu_barrier.
func (c *Cache[T]) Barrier() { barrierChecked(&c.c) }

// Shrink returns cached free memory to the page allocator: the sheaves of all
// Ps, the depot, empty slabs. It does not wait for grace periods.
//
// Context: task; not pinned.
//
// Linux: kmem_cache_shrink.
func (c *Cache[T]) Shrink() { shrinkChecked(&c.c) }

// Stats returns the cache's figures.
//
// Context: task; not pinned.
func (c *Cache[T]) Stats() CacheStats { return c.c.readStats() }

// Close waits until every object that was given to FreeRCU is free, and returns
// all memory to the page allocator. The caller must make sure that no other
// goroutine uses the cache, now or later: an operation on a closed cache panics,
// except Stats and Validate.
//
// The error is a [*LeakError] if there are objects that were not freed, or Sheaves
// that were not closed, which Close does not wait for; their slabs stay, so that a
// late user does no harm. It wraps [ErrClosed] if the
// cache is already closed.
//
// A cache that is dropped without Close is closed after a garbage collection. If
// objects were not freed, a line of slog's default logger says how many, and where
// they come from.
//
// Context: task; not pinned, not in a read-side section.
//
// Linux: kmem_cache_destroy.
func (c *Cache[T]) Close() error { return closeChecked(&c.c) }
