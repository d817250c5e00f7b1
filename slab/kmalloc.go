package slab

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/sizeclass"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/page"
)

// Heap allocates objects of any size up to 2 MiB from one page allocator. It
// has a cache for each size class, made when it is first needed. The functions
// of the package use a Heap over [page.Default]. Its methods are safe for
// concurrent use, except Close.
type Heap struct {
	pages *page.Allocator
	core  *pages.Core // of pages
	mu    lock.Mutex  // making a class, and closing
	fine  bool
	never bool                                                 // no object is guarded: see pages.Unguarded
	name  string                                               // in statistics
	class [max(classes, sizeclass.Count)]atomic.Pointer[cache] // by size class
	small [smallSizes]atomic.Pointer[cache]                    // the same up to 1 KiB, by the size in units, less one
	asked [sizeclass.Count / 64]atomic.Uint64                  // size classes that are being made for a gfp.NoLocks request, a bit each
	owner owners                                               // for frees; changes under mu

	closed atomic.Bool // changes under mu; no class is made from then on
}

// HeapOption is a setting of NewHeap.
type HeapOption func(*Heap)

// FineClasses makes the size classes of a Heap multiples of 16 up to 512 bytes, in
// place of 160, 192, 224, 256, 320 and so on, eight to a doubling up to 4 KiB, and
// four up to 16 KiB, of which a slab has no rest. Objects above 16 KiB have whole
// pages, in eight steps to a doubling. So objects of any size lie dense, for up to
// twice as many classes.
func FineClasses() HeapOption { return func(h *Heap) { h.fine = true } }

// HeapName names a Heap in statistics, where a size class of 64 bytes is called
// name-64. Without it the name is "heap".
func HeapName(name string) HeapOption { return func(h *Heap) { h.name = name } }

// NewHeap makes a Heap that takes its pages from a.
func NewHeap(a *page.Allocator, opts ...HeapOption) *Heap {
	h := &Heap{pages: a, core: pages.CoreOf(a), name: "heap"}
	for _, o := range opts {
		o(h)
	}
	h.mu.Init("slab.heap.mu")
	return h
}

// classFor returns the size class for size bytes, 1 to maxSize.
func (h *Heap) classFor(size uintptr) int {
	if !h.fine {
		return class(size)
	}
	return sizeclass.Of(size)
}

// sizeOfClass returns the object size of class i.
func (h *Heap) sizeOfClass(i int) uintptr {
	if !h.fine {
		return classSize(i)
	}
	return sizeclass.Size(i)
}

// cacheFor returns the cache of a class and makes it if need be. It returns nil
// if there is none and f does not allow to make it, or it can't be made.
func (h *Heap) cacheFor(i int, f gfp.Flags) *cache {
	if c := h.class[i].Load(); c != nil { // ord:publish
		return c
	}
	h.mustBeOpen()
	if !f.CanLock() {
		h.requestClass(i)
		return nil
	}
	c, _ := h.makeClass(i)
	return c
}

// makeClass makes the cache of a class, unless there is one or the Heap is
// closed.
//
// Context: task; not pinned.
func (h *Heap) makeClass(i int) (*cache, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed.Load() { // ord:closed
		return nil, fmt.Errorf("slab: Heap: %w", ErrClosed)
	}
	if c := h.class[i].Load(); c != nil { // ord:publish
		return c, nil
	}
	size := h.sizeOfClass(i)
	c := &cache{owner: h.name}
	if err := c.init(fmt.Sprintf("kmalloc-%d", size), size, []Option{WithAllocator(h.pages), func(c *config) { c.fine, c.unguarded, c.direct = h.fine, h.never, size > cacheBytes }}); err != nil {
		return nil, err
	}
	h.owner.add(c)
	h.class[i].Store(c) // ord:publish
	for s := range h.small {
		if h.classFor(uintptr(s+1)*unit) == i {
			h.small[s].Store(c) // ord:publish
		}
	}
	return c, nil
}

// requestClass has a size class made and stocked. Context: any.
func (h *Heap) requestClass(i int) {
	asked, bit := &h.asked[i/64], uint64(1)<<(i%64)
	if asked.Load()&bit != 0 || asked.Or(bit)&bit != 0 { // ord:publish
		return
	}
	sys.Go(func() {
		if c, err := h.makeClass(i); err == nil { // closed by now: nobody's call to panic over
			c.requestStock()
		}
		asked.And(^bit) // ord:publish
	})
}

// Prepare makes the size classes for objects of these sizes, so that the first
// allocation of such a size may come from a raw atomic context.
//
// Context: task; not pinned.
func (h *Heap) Prepare(sizes ...int) error {
	h.mustBeOpen()
	for _, s := range sizes {
		if s < 1 || s > maxSize {
			return fmt.Errorf("slab: no size class for %d bytes", s)
		}
		i := h.classFor(uintptr(s))
		if h.class[i].Load() != nil { // ord:publish
			continue
		}
		if _, err := h.makeClass(i); err != nil {
			return err
		}
	}
	return nil
}

// Kmalloc returns size bytes, aligned to 16. It returns nil if there is no
// memory, or if size is less than 1 or more than 2 MiB. The first allocation of
// a size class makes its cache, which takes a lock: with [gfp.NoLocks] it
// returns nil and has the cache made, so call Prepare first if that one must
// not fail.
//
// Context: as the flags say, see package gfp; with [gfp.NoLocks] any.
//
// Linux: kmalloc.
func (h *Heap) Kmalloc(size int, f gfp.Flags) unsafe.Pointer {
	var c *cache
	if i := uint(size-1) / unit; i < smallSizes {
		c = h.small[i].Load() // ord:publish
	}
	if c == nil {
		if uint(size-1) >= maxSize {
			return nil
		}
		if c = h.cacheFor(h.classFor(uintptr(size)), f); c == nil {
			return nil
		}
	}
	if hooked || poisonOn {
		return c.allocHooked(f, uintptr(size))
	}
	if sys.Leaves {
		return leafAlloc(c, f)
	}
	return allocPinned(c, f)
}

// cacheNear is cacheOf where the cache is found at the first place. It is inlined,
// and returns nil for the rest.
func (h *Heap) cacheNear(p unsafe.Pointer) (c *cache) {
	if pg := (uintptr(p) - uintptr(h.core.Base)) >> pages.Shift; !poisonOn && pg < uintptr(h.core.Opened()) {
		id := h.core.Meta(uint32(pg)).Owner
		if c = h.owner.at(id).Load(); c != nil && c.id == id { // ord:publish
			return c
		}
	}
	return nil
}

// cacheOf finds the cache of an object by its page's metadata.
func (h *Heap) cacheOf(p unsafe.Pointer, op string) *cache {
	if poisonOn {
		if c := poisonOwner(p); c != nil && h.owns(c) {
			return c
		}
	}
	if h.core.Contains(p) {
		if pg := h.core.PageOf(p); pg < h.core.Opened() {
			if c := h.owner.find(h.core.Meta(pg).Owner); c != nil {
				return c
			}
		}
	}
	return h.foreign(p, op)
}

// foreign refuses a pointer that is not an object of a cache of the Heap. It returns
// the cache of one that lies outside of the range because it is guarded.
//
//go:noinline
func (h *Heap) foreign(p unsafe.Pointer, op string) *cache {
	h.mustBeOpen()
	if c := sampledOwner(p); c != nil && h.owns(c) {
		return c
	}
	if poisonOn {
		poisonForeign(p, op)
	}
	panic(fmt.Sprintf("quiesce/slab: %s of foreign pointer %p: not from this Heap's Kmalloc", op, p))
}

func (h *Heap) owns(c *cache) bool {
	return h.owner.find(c.id) != nil
}

// Kfree frees an object of Kmalloc's at once. p may be nil.
//
// Context: any.
//
// Linux: kfree.
func (h *Heap) Kfree(p unsafe.Pointer) {
	if p == nil {
		return
	}
	c := h.cacheNear(p)
	if c == nil {
		c = h.cacheOf(p, "Kfree")
	}
	c.freeObject(p)
}

// KfreeBulk frees many objects, of any sizes, and skips nils.
//
// Context: any.
//
// Linux: kfree_bulk.
func (h *Heap) KfreeBulk(ps []unsafe.Pointer) {
	for i := 0; i < len(ps); {
		if ps[i] == nil {
			i++
			continue
		}
		c := h.cacheOf(ps[i], "KfreeBulk")
		j := i + 1
		for j < len(ps) && ps[j] != nil && h.cacheOf(ps[j], "KfreeBulk") == c {
			j++
		}
		c.freeObjects(ps[i:j])
		i = j
	}
}

// KfreeRCU frees an object of Kmalloc's after a grace period. The object must be
// unlinked already. p may be nil. KfreeRCU never sleeps and never fails.
//
// Context: any.
//
// Linux: kvfree_rcu.
func (h *Heap) KfreeRCU(p unsafe.Pointer) {
	if p == nil {
		return
	}
	c := h.cacheNear(p)
	if c == nil {
		c = h.cacheOf(p, "KfreeRCU")
	}
	c.freeRCUObject(p)
}

// KfreeRCUSized is KfreeRCU for a caller that knows the size it passed to
// Kmalloc, which saves the look-up of the object's class by its page.
//
// Context: any.
func (h *Heap) KfreeRCUSized(p unsafe.Pointer, size int) {
	if p == nil {
		return
	}
	if uint(size-1) < maxSize {
		if c := h.class[h.classFor(uintptr(size))].Load(); c != nil { // ord:publish
			c.freeRCUObject(p)
			return
		}
	}
	h.mustBeOpen()
	panic(fmt.Sprintf("quiesce/slab: KfreeRCUSized of %p: no object of %d bytes was ever allocated", p, size))
}

// Krealloc returns size bytes with the content of p, as far as it fits. p must
// not be used any more, unless it is what was returned. Krealloc returns nil
// and leaves p as it was if there is no memory, or if Kmalloc would refuse the
// size. p may be nil. With [gfp.Zero] the bytes beyond p's size are zero, if p
// was allocated with gfp.Zero and every Krealloc of it had that flag.
//
// Context: as Kmalloc.
//
// Linux: krealloc.
func (h *Heap) Krealloc(p unsafe.Pointer, size int, f gfp.Flags) unsafe.Pointer {
	if p == nil {
		return h.Kmalloc(size, f)
	}
	if uint(size-1) >= maxSize {
		return nil
	}
	c := h.cacheOf(p, "Krealloc")
	have := c.size
	if poisonOn {
		have = c.poison.sizeOf(p)
	}
	if !poisonOn && uintptr(size) <= have {
		if f&gfp.Zero != 0 { // for the next one, which may want more of it
			clear(unsafe.Slice((*byte)(p), have)[size:])
		}
		return p
	}
	if poisonOn && c.poison.resized(p, uintptr(size), f&gfp.Zero != 0) {
		return p
	}
	q := h.Kmalloc(size, f)
	if q != nil {
		n := min(have, uintptr(size))
		copy(unsafe.Slice((*byte)(q), n), unsafe.Slice((*byte)(p), n))
		c.freeObject(p)
	}
	return q
}

// caches returns the cache of every class made so far, by size.
func (h *Heap) caches() (all []*cache) {
	for i := range h.class {
		if c := h.class[i].Load(); c != nil { // ord:publish
			all = append(all, c)
		}
	}
	return all
}

// Barrier waits until every object that was given to KfreeRCU before the call
// is free.
//
// Context: task; not pinned, not in a read-side section.
//
// Linux: kvfree_rcu_barrier.
func (h *Heap) Barrier() {
	h.mustBeOpen()
	barrierChecked(h.caches()...)
}

// Shrink returns cached free memory of every class to the page allocator.
//
// Context: task; not pinned.
func (h *Heap) Shrink() {
	h.mustBeOpen()
	shrinkChecked(h.caches()...)
}

// Stats returns the figures of every class that was used, by size.
//
// Context: task; not pinned.
func (h *Heap) Stats() (all []CacheStats) {
	for _, c := range h.caches() {
		all = append(all, c.readStats())
	}
	return all
}

// Close closes the cache of every class, as Cache.Close does, and returns the
// first error, or one that wraps [ErrClosed] if the Heap is already closed. The
// caller must make sure that no other goroutine uses the Heap, now or later: an
// operation on a closed Heap panics, except Stats and Validate. The caches of a Heap
// that is dropped without are closed as [Cache.Close] says.
//
// Context: task; not pinned, not in a read-side section.
func (h *Heap) Close() error {
	h.mu.Lock()
	again := h.closed.Swap(true) // ord:closed
	h.mu.Unlock()
	if again {
		return fmt.Errorf("slab: Heap: %w", ErrClosed)
	}
	return closeChecked(h.caches()...)
}

// std is made at start, so that its first user may be in a raw atomic context.
var std = NewHeap(page.Default(), HeapName("kmalloc"))

// Kmalloc is [Heap.Kmalloc] of the default page allocator.
func Kmalloc(size int, f gfp.Flags) unsafe.Pointer { return std.Kmalloc(size, f) }

// Krealloc is [Heap.Krealloc] of the default page allocator.
func Krealloc(p unsafe.Pointer, size int, f gfp.Flags) unsafe.Pointer {
	return std.Krealloc(p, size, f)
}

// Kfree is [Heap.Kfree] of the default page allocator.
func Kfree(p unsafe.Pointer) { std.Kfree(p) }

// KfreeBulk is [Heap.KfreeBulk] of the default page allocator.
func KfreeBulk(ps []unsafe.Pointer) { std.KfreeBulk(ps) }

// KfreeRCU is [Heap.KfreeRCU] of the default page allocator.
func KfreeRCU(p unsafe.Pointer) { std.KfreeRCU(p) }

// KfreeRCUBarrier waits until every object that was given to the package's
// KfreeRCU before the call is free.
//
// Context: task; not pinned, not in a read-side section.
//
// Linux: kvfree_rcu_barrier.
func KfreeRCUBarrier() { std.Barrier() }

// KmallocStats returns the figures of the default Heap's size classes.
func KmallocStats() []CacheStats { return std.Stats() }
