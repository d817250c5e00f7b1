package slab

import (
	"math/bits"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/page"
)

// How slabs are cut, and which slab an object is in.
//
// A cache of few objects would waste most of a slab of the usual order, so it is
// young as long as its slabs have fewer than youngBytes: the next one is then of
// the smallest order that holds an object. The fast paths know nothing of slabs.
// Others look at the page where a slab of the usual order would begin. If that is
// the head of one, by its owner and by the order that the page allocator has
// for it, the slab covers the page asked for; otherwise the page belongs to a
// young slab. A caller without mu may ask for an object that is out of its slab,
// because that slab stays one: its own metadata doesn't change, and in its
// neighbour's no slab of this cache that would cover it can appear.
//
// Large objects of a Heap, above 128 KiB, or above 16 KiB with fine classes, lie
// alone in a run of pages: the block's pages beyond the object are others'
// (page.Trim). All slabs of such a cache, young or not, begin where a block may
// begin, have one object, and are found as young ones.

// A cache whose slabs have less is young. Untuned.
const youngBytes = 16 << 10

// geometry is how a cache cuts its slabs. Immutable.
type geometry struct {
	size     uintptr // of an object, a multiple of unit
	shape            // of the usual slabs
	young    shape   // of a young cache's
	sheafCap uint32
	run      bool // a slab is a run of pages, with one object
	direct   bool // which no sheaf keeps: see direct.go
}

// shape is how a slab is cut.
type shape struct {
	order   int      // of its pages
	pages   int      // that it has: less than the block's if it is a run
	perSlab uint32   // objects
	starts  []uint64 // by bitmap word: the bits where objects begin
}

// minSlab is the least size of a slab of small objects: 8 pages, the largest
// block that page keeps on per-P lists. Untuned.
const minSlab = 32 << 10

// cut chooses the slab order for objects of size bytes: the lowest order, from
// minSlab up, that wastes no more than an eighth, or else the one that wastes
// least.
func cut(size uintptr) geometry {
	_, pitch := slotOf(size)
	best, chosen, least := uintptr(1)<<62, 0, -1
	for order := range page.MaxOrder + 1 {
		b := uintptr(page.Size) << order
		n := b / pitch
		if n > 0 && least < 0 {
			least = order
		}
		if n == 0 || b < minSlab && order < page.MaxOrder {
			continue
		}
		waste := (b - n*pitch) << 10 / b // of 1024
		if waste < best {
			best, chosen = waste, order
		}
		if waste <= 128 {
			break
		}
	}
	if poisonOn { // whose accounts of objects are by slabs of one order
		least = chosen
	}
	return geometry{
		size:     size,
		shape:    shapeOf(size, chosen),
		young:    shapeOf(size, least),
		sheafCap: uint32(min(max(cacheBytes/size, 1), sheafMax)),
	}
}

// shapeOf cuts a slab of the order.
func shapeOf(size uintptr, order int) shape {
	lead, pitch := slotOf(size)
	b := uintptr(page.Size) << order
	s := shape{order: order, pages: 1 << order, perSlab: uint32(b / pitch), starts: make([]uint64, b/unit/64)}
	for i := range uintptr(s.perSlab) {
		u := (i*pitch + lead) / unit
		s.starts[u/64] |= 1 << (u % 64)
	}
	return s
}

// cutRun is cut for an object that has as many pages as it needs.
func cutRun(size uintptr) geometry {
	n := int(size+page.Size-1) >> page.Shift
	s := shape{order: bits.Len(uint(n - 1)), pages: n, perSlab: 1, starts: make([]uint64, n*(page.Size/unit/64))}
	s.starts[0] = 1
	return geometry{size: size, shape: s, young: s, sheafCap: uint32(min(max(cacheBytes/size, 1), sheafMax)), run: true}
}

// isYoung reports whether the cache has few objects. Without mu it is a hint.
func (c *cache) isYoung() bool { return c.slabBytes.Load() < c.youngMost } // ord:hint

// nextOrder is the order of the next slab.
func (c *cache) nextOrder() int {
	if c.isYoung() {
		return c.young.order
	}
	return c.order
}

// allocSlab returns the pages of a slab of the order, or nil.
func (c *cache) allocSlab(order int, f gfp.Flags) unsafe.Pointer {
	p := c.pages.Alloc(order, f)
	if p != nil {
		c.core.Trim(p, order, c.pagesOf(order))
	}
	return p
}

// freeSlab frees what allocSlab returned.
func (c *cache) freeSlab(p unsafe.Pointer, order int) {
	if c.core.FreeRunQuietly(p, c.pagesOf(order)) {
		c.core.WakeAfterFree()
	}
}

// pagesOf is how many pages a slab of the order has.
func (c *cache) pagesOf(order int) int {
	if order == c.order {
		return c.shape.pages
	}
	return c.young.pages
}

// shapeOfSlab returns how a slab is cut, by the order that the page allocator
// has for its head.
func (c *cache) shapeOfSlab(m *pages.Meta) *shape {
	if pages.Order(m.Read()) == c.order {
		return &c.shape
	}
	return &c.young
}

// usual reports whether m, of a page where a slab of the usual order would begin,
// is that of one of this cache's.
func (c *cache) usual(m *pages.Meta) bool {
	return m.Owner == c.id && pages.Order(m.Read()) == c.order
}

// youngHead returns the first page of the young slab that has the unit off,
// where there is no usual slab, and its metadata; nil: it is in no slab of this
// cache.
func (c *cache) youngHead(off uint32) (uint32, *pages.Meta) {
	head := pageAt(off, c.young.order)
	if head < c.core.Opened() {
		if m := c.core.Meta(head); m.Owner == c.id {
			return head, m
		}
	}
	return 0, nil
}

// pageAt returns the first page of the block of an order that has the unit off.
func pageAt(off uint32, order int) uint32 {
	return off >> (page.Shift - unitShift) &^ (1<<order - 1)
}

// head returns the first page of the slab that holds the unit off. Where this
// cache has no slab it is the page at which a young one would begin.
func (c *cache) head(off uint32) uint32 {
	head := pageAt(off, c.order)
	if head < c.core.Opened() && c.usual(c.core.Meta(head)) {
		return head
	}
	return pageAt(off, c.young.order)
}

// firstUnit returns where the slab that begins at page head starts, in units.
func firstUnit(head uint32) uint32 { return head << (page.Shift - unitShift) }
