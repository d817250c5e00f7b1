package slab

import (
	"quiesce/internal/pages"
	"quiesce/internal/race"
)

// canDiscard says whether this build has pages.DiscardHeap. Builds that watch
// every object want each of them freed.
const canDiscard = !race.Enabled && !poisonOn

func init() {
	pages.Unguarded = func(heap any) { heap.(*Heap).never = true }
	pages.DiscardHeap = func(heap any) error { return heap.(*Heap).discard() }
}

// discard is Close for a caller that gives up every object at once: no reader has
// any, and their memory goes by slabs.
func (h *Heap) discard() error {
	if canDiscard {
		for _, c := range h.caches() {
			c.discarded = true
		}
	}
	return h.Close()
}

// discardObjects frees the slabs with all objects that are still out of them. The
// cache is closed, and nothing of it is pending or on a P.
func (c *cache) discardObjects() {
	opened := c.core.Opened()
	for pg := uint32(0); pg < opened; pg += pagesPerHold {
		n := 0
		c.mu.LockIRQ()
		for head := range c.headsOfLocked(pg, min(pg+pagesPerHold, opened)) {
			m := c.core.Meta(head)
			c.unlinkLocked(head, m)
			clear(c.words(c.allocBits, head))
			c.slabs.inuse -= int(m.InUse)
			m.InUse = 0
			c.linkLocked(head, m)
			c.dropSlabLocked(head, m)
			if n++; n%slabsPerHold == 0 {
				c.unlockFreed()
				c.mu.LockIRQ()
			}
		}
		c.unlockFreed()
	}
}
