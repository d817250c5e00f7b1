package slab

import (
	"fmt"
	"reflect"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/offheap"
)

// Cache allocates objects of type T outside the Go heap. The kernel's
// kmem_cache. Its methods may be called by any number of goroutines.
type Cache[T any] struct{ c cache }

// NewCache makes a cache named name, 1 to 100 bytes. T must hold no Go pointer
// (string, slice, map, interface, func, chan, *X): the garbage collector does
// not look into the objects; links between them are Pointer[X]. T is at most
// 2 MiB. Unpinned.
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

// Alloc returns an object, or nil when there is no memory. Its content is
// undefined without gfp.Zero. Contexts: as the flags say, see package gfp;
// with gfp.NoLocks any. It panics on a closed cache. The kernel's
// kmem_cache_alloc.
func (c *Cache[T]) Alloc(f gfp.Flags) (p *T) {
	if hooked {
		return (*T)(c.c.allocHooked(f, 0))
	}
	// The first round is the fast path. The second one looks further, and does
	// what flags ask for. A loop with one call and not two calls, which would
	// be too much for the inliner (cost 79 of 80).
	for round := range 2 {
		if p = (*T)(c.c.alloc(unsafe.Pointer(p), f, round)); p != nil && f < gfp.Zero {
			break
		}
	}
	return
}

// Free gives an object back at once: nobody may still use it. nil is allowed.
// Any context; takes no lock and never sleeps. It panics on a pointer that is
// no object of the allocator's range; double frees and other caches' objects
// are seen later, see the package comment. The kernel's kmem_cache_free.
func (c *Cache[T]) Free(p *T) {
	c.c.freeObject(unsafe.Pointer(p))
}

// FreeRCU gives an object back after a grace period. It must be unlinked
// already: no reader may find it any more. nil is allowed. Any context; takes
// no lock, never sleeps and never fails. It panics as Free does. The kernel's
// kfree_rcu.
func (c *Cache[T]) FreeRCU(p *T) {
	c.c.freeRCUObject(unsafe.Pointer(p))
}

// AllocBulk fills dst and returns the number of objects it got. Contexts: as
// Alloc. The kernel's kmem_cache_alloc_bulk.
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

// FreeBulk is Free for many objects; nils are passed over. The kernel's
// kmem_cache_free_bulk.
func (c *Cache[T]) FreeBulk(ps []*T) {
	c.c.freeObjects(pointers(ps))
}

// pointers is the slice with its pointers' type forgotten.
func pointers[T any](ps []*T) []unsafe.Pointer {
	return unsafe.Slice((*unsafe.Pointer)(unsafe.Pointer(unsafe.SliceData(ps))), len(ps))
}

// Barrier waits until every object given to FreeRCU before is reclaimed.
// Unpinned, outside of read-side sections. The kernel's kvfree_rcu_barrier.
func (c *Cache[T]) Barrier() { barrierChecked(&c.c) }

// Shrink gives cached free memory back to the page allocator: the sheaves of
// all Ps, the depot, empty slabs. It does not wait for grace periods.
// Unpinned. The kernel's kmem_cache_shrink.
func (c *Cache[T]) Shrink() { shrinkChecked(&c.c) }

// Stats returns the cache's figures. Unpinned.
func (c *Cache[T]) Stats() CacheStats { return c.c.readStats() }

// Close waits for what FreeRCU was given, gives all memory back, and reports
// objects that were never freed: such slabs stay, so that a late user does no
// harm. Nobody may use the cache meanwhile or later. Unpinned, outside of
// read-side sections. The kernel's kmem_cache_destroy.
func (c *Cache[T]) Close() error { return closeChecked(&c.c) }
