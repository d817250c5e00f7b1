package metamorphic

import (
	"fmt"
	"unsafe"

	"quiesce/gfp"
	"quiesce/page"
	"quiesce/slab"
)

// memory is one kind of it.
type memory interface {
	size() int
	alloc(f gfp.Flags) unsafe.Pointer
	free(p unsafe.Pointer)
	freeBulk(ps []unsafe.Pointer)
	freeRCU(p unsafe.Pointer)
	shrink()
	barrier()
	identities() string // "" if the figures fit together
}

// kind is memory with the threads' slots. Objects of a shared kind are found
// by other threads, so they are freed after a grace period only, and written
// only while they are new.
type kind struct {
	memory
	shared bool
	slots  [threads][]unsafe.Pointer // atomic
}

var (
	cacheNames = []string{"cache16", "cache64", "cache272", "cache5000"}
	kindNames  = append([]string{"kmalloc24", "kmalloc700", "kmalloc20000", "page", "pages8"}, cacheNames...)
	sharedKind = map[string]bool{"cache64": true, "cache272": true, "kmalloc700": true}
)

// slotBytes bounds what a thread can have of a kind.
const slotBytes = 32 << 10

// cache is a slab.Cache that can be closed and made again.
type cache[T any] struct {
	*slab.Cache[T]
	make func() *slab.Cache[T]
}

// closer is what the kinds with a Close have in addition.
type closer interface {
	close() error
	reopen()
}

func newCache[T any](name string, opts []slab.Option) *cache[T] {
	c := &cache[T]{make: func() *slab.Cache[T] {
		c, err := slab.NewCache[T](name, opts...)
		if err != nil {
			panic(err)
		}
		return c
	}}
	c.reopen()
	return c
}

func (c *cache[T]) size() int { return int(unsafe.Sizeof(*new(T))) }

func (c *cache[T]) alloc(f gfp.Flags) unsafe.Pointer { return unsafe.Pointer(c.Alloc(f)) }

func (c *cache[T]) free(p unsafe.Pointer) { c.Free((*T)(p)) }

func (c *cache[T]) freeRCU(p unsafe.Pointer) { c.FreeRCU((*T)(p)) }

func (c *cache[T]) freeBulk(ps []unsafe.Pointer) {
	ts := make([]*T, len(ps))
	for i, p := range ps {
		ts[i] = (*T)(p)
	}
	c.FreeBulk(ts)
}

func (c *cache[T]) shrink() { c.Shrink() }

func (c *cache[T]) barrier() { c.Barrier() }

func (c *cache[T]) close() error { return c.Close() }

func (c *cache[T]) reopen() { c.Cache = c.make() }

func (c *cache[T]) identities() string { return identities(c.Stats()) }

// identities checks figures after a barrier.
func identities(s slab.CacheStats) string {
	if s.RCUArrays != s.Reused+s.Bulk || s.Fallback != s.FallbackFreed || s.Pending != 0 {
		return fmt.Sprintf("figures after Barrier: %+v", s)
	}
	return ""
}

// kmalloc is one size of a Heap's.
type kmalloc struct {
	h     *slab.Heap
	bytes int
}

func (k kmalloc) size() int { return k.bytes }

func (k kmalloc) alloc(f gfp.Flags) unsafe.Pointer { return k.h.Kmalloc(k.bytes, f) }

func (k kmalloc) free(p unsafe.Pointer) { k.h.Kfree(p) }

func (k kmalloc) freeBulk(ps []unsafe.Pointer) { k.h.KfreeBulk(ps) }

func (k kmalloc) freeRCU(p unsafe.Pointer) {
	if uintptr(p)>>4&1 == 0 {
		k.h.KfreeRCU(p)
	} else {
		k.h.KfreeRCUSized(p, k.bytes)
	}
}

func (k kmalloc) shrink() { k.h.Shrink() }

func (k kmalloc) barrier() { k.h.Barrier() }

func (k kmalloc) identities() string {
	for _, s := range k.h.Stats() {
		if what := identities(s); what != "" {
			return what
		}
	}
	return ""
}

// pages are blocks of one order. They have no FreeRCU.
type pages struct {
	a     *page.Allocator
	order int
}

func (k pages) size() int { return page.Size << k.order }

func (k pages) alloc(f gfp.Flags) unsafe.Pointer { return k.a.Alloc(k.order, f) }

func (k pages) free(p unsafe.Pointer) {
	if p != nil {
		k.a.Free(p, k.order)
	}
}

func (k pages) freeBulk(ps []unsafe.Pointer) {
	for _, p := range ps {
		k.free(p)
	}
}

func (k pages) freeRCU(p unsafe.Pointer) { k.free(p) }

func (k pages) shrink() { k.a.Shrink() }

func (k pages) barrier() {}

func (k pages) identities() string { return "" }

// stamp fills memory with what follows from n.
func stamp(p unsafe.Pointer, size int, n uint64) {
	w := unsafe.Slice((*uint64)(p), size/8)
	for i := range w {
		w[i] = n * uint64(2*i+1)
	}
}

// stamped returns n, and whether the memory is what stamp made of it.
func stamped(p unsafe.Pointer, size int) (n uint64, whole bool) {
	w := unsafe.Slice((*uint64)(p), size/8)
	for i := range w {
		if w[i] != w[0]*uint64(2*i+1) {
			return w[0], false
		}
	}
	return w[0], true
}

func zeroed(p unsafe.Pointer, size int) bool {
	for _, w := range unsafe.Slice((*uint64)(p), size/8) {
		if w != 0 {
			return false
		}
	}
	return true
}
