package slab

import (
	"unsafe"

	"quiesce/internal/pages"
)

func init() {
	pages.WalkSlabs = func(heap any, from, to uint32, fn func(pages.Slab)) uint32 {
		return heap.(*Heap).walkSlabs(from, min(to, heap.(*Heap).core.Opened()), fn)
	}
	pages.ShrinkSparse = func(heap any) { heap.(*Heap).shrinkSparse() }
	pages.HeapBytes = func(heap any) int64 { return heap.(*Heap).bytes() }
}

func (h *Heap) bytes() (n int64) {
	for i := range h.class {
		if c := h.class[i].Load(); c != nil { // ord:publish
			n += c.bytes()
		}
	}
	return n
}

// walkSlabs shows the slabs that begin among the pages, and returns the page after
// the last. It takes no lock, so that what it shows may have changed by then.
//
//go:norace
func (h *Heap) walkSlabs(from, to uint32, fn func(pages.Slab)) uint32 {
	for from < to {
		m, step := h.core.Meta(from), uint32(1)
		if w := m.Read(); w&pages.StateMask == pages.InUse && m.Owner != 0 {
			if c := h.owner.find(m.Owner); c != nil {
				s := c.shapeOfSlab(m)
				if from&(1<<s.order-1) != 0 { // a block of a run, but the first
					from++
					continue
				}
				step = uint32(s.pages)
				if canDiscard { // else objects don't lie one after another
					fn(pages.Slab{First: unsafe.Add(h.core.Base, uintptr(from)<<pages.Shift), Pitch: c.size,
						Bytes: pages.Size * s.pages, Objects: int(s.perSlab), Out: int(m.InUse)})
				}
			}
		}
		from += step
	}
	return from
}

// shrinkSparse shrinks the caches of which most objects are free in slabs.
func (h *Heap) shrinkSparse() {
	for _, c := range h.caches() {
		c.mu.LockIRQ()
		slabs, free, objects := c.slabs.count, c.freeLocked(), int64(c.slabs.objects)
		c.mu.UnlockIRQ()
		if slabs > c.keepEmpty && free > objects/2 && c.begin() {
			c.shrink()
			c.release()
		}
	}
}
