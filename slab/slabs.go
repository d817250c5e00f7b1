package slab

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"quiesce/internal/heapprof"
	"quiesce/internal/pages"
	"quiesce/internal/race"
	"quiesce/page"
)

// Slabs. A slab is a block of pages (shape.go has its order), named by its first
// page, its head. Its metadata is that of its head (pages.Meta: Owner, InUse,
// Next, Prev, Chained), found by address arithmetic because blocks are aligned
// to their size. An object's allocation bit is bit number "offset in units" of
// one bitmap over the whole range: set from the moment the object leaves its
// slab for a sheaf until kfree_bulk brings it back. All of it is protected by
// cache.mu.
//
//	inuse == sum of InUse over the cache's slabs == bits set in them
//	empty holds exactly the slabs with InUse == 0, empties of them
//	partial holds exactly those with 0 < InUse < perSlab

type slabs struct {
	partial uint32 // first of its list, linked by Next and Prev
	empty   uint32 // first of its list
	empties int    // slabs on empty
	count   int    // slabs
	objects int    // in slabs and out
	inuse   int    // objects out of their slabs
	wake    bool   // pages were freed since mu was locked: see unlockFreed
	walk    *walk  // Validate's, while there is one; see walk.go
}

// word returns the word of a bitmap that holds the bit of unit off.
func word(bitmap unsafe.Pointer, off uint32) *uint64 {
	return (*uint64)(unsafe.Add(bitmap, uintptr(off>>6)*8))
}

// words returns the part of a bitmap that belongs to the slab.
func (c *cache) words(bitmap unsafe.Pointer, head uint32) []uint64 {
	return unsafe.Slice(word(bitmap, firstUnit(head)), len(c.shapeOfSlab(c.core.Meta(head)).starts))
}

// takeObjectsLocked moves objects out of slabs into dst, partly used slabs
// first, so that empty ones can become pages. t, which may be nil, gets what left
// sampled slabs. mu is held, as for all functions of this file that end in Locked.
func (c *cache) takeObjectsLocked(dst []uint32, t *heapprof.Takes) int {
	n := 0
	for n < len(dst) {
		head := c.slabs.partial
		if head == 0 {
			head = c.slabs.empty
		}
		if head == 0 {
			break
		}
		m := c.core.Meta(head)
		c.unlinkLocked(head, m)
		had := n
		alloc, starts := c.words(c.allocBits, head), c.shapeOfSlab(m).starts
		for i, w := range alloc {
			free := starts[i] &^ w
			for free != 0 && n < len(dst) {
				b := bits.TrailingZeros64(free)
				free &= free - 1
				w |= 1 << b
				dst[n] = firstUnit(head) + uint32(i*64+b)
				n++
			}
			alloc[i] = w
			if n == len(dst) {
				break
			}
		}
		if m.Back != 0 {
			t.Took(heapprof.Take{ID: m.Back, Out: m.InUse, N: uint32(n - had)})
		}
		m.InUse += uint32(n - had)
		c.slabs.inuse += n - had
		c.linkLocked(head, m)
	}
	return n
}

// freeLocked returns how many free objects the slabs have.
func (c *cache) freeLocked() int64 {
	return int64(c.slabs.objects - c.slabs.inuse)
}

// addSlabLocked makes a slab of a block of pages. sample is its number if it is
// sampled, or 0.
func (c *cache) addSlabLocked(p unsafe.Pointer, sample uint32) {
	race.SlabMade(p)
	head := c.core.PageOf(p)
	s := c.shapeOfSlab(c.core.Meta(head))
	for i := range uint32(s.pages) {
		m := c.core.Meta(head + i)
		m.Owner, m.InUse, m.Next, m.Prev = c.id, 0, 0, 0
		atomic.StoreUint32(&m.Chained, 0) // ord:chain-slab
	}
	c.core.Meta(head).Back = sample
	c.linkLocked(head, c.core.Meta(head))
	c.slabs.count++
	c.slabs.objects += int(s.perSlab)
	c.slabBytes.Add(page.Size * int64(s.pages)) // ord:hint
	c.poison.slabMade(head)
}

// allocatedLocked reports whether an offset is that of an object of this cache
// that is out of its slab.
func (c *cache) allocatedLocked(off uint32) bool {
	head := c.head(off)
	return head < c.core.Opened() && c.core.Meta(head).Owner == c.id &&
		*word(c.allocBits, off)&(1<<(off&63)) != 0
}

// bulkFreeLocked is kfree_bulk: the objects return to their slabs. It returns how
// many did. It stops at the first offset that is no allocated object of this cache,
// with ok false, and when so many slabs became empty and were freed as one hold
// may free.
func (c *cache) bulkFreeLocked(offs []uint32) (n int, ok bool) {
	opened := c.core.Opened()
	mixed := c.slabs.objects != c.slabs.count*int(c.perSlab) // there are young slabs
	walked := c.slabs.walk != nil
	dropped := 0
	for i, off := range offs {
		// As in allocatedLocked, with the loads shared: this loop is what a cold
		// flood waits for.
		head, perSlab := pageAt(off, c.order), c.perSlab
		if head >= opened {
			return i, false
		}
		m := c.core.Meta(head)
		if m.Owner != c.id || mixed && !c.usual(m) {
			if head, m = c.youngHead(off); m == nil {
				return i, false
			}
			perSlab = c.young.perSlab
		}
		w, bit := word(c.allocBits, off), uint64(1)<<(off&63)
		if *w&bit == 0 {
			return i, false
		}
		*w &^= bit
		c.slabs.inuse--
		if m.InUse == perSlab || m.InUse == 1 || walked { // it changes lists, or its tally
			c.unlinkLocked(head, m)
			m.InUse--
			c.linkLocked(head, m)
			if c.shedSlabLocked(head, m) {
				if dropped++; dropped == slabsPerHold {
					return i + 1, true
				}
			}
		} else {
			m.InUse--
		}
	}
	return len(offs), true
}

// shedSlabLocked frees a slab's pages if it is empty, enough others are, and it
// is not on the fallback chain, and reports whether it did. A cache that has grown
// keeps no young one.
func (c *cache) shedSlabLocked(head uint32, m *pages.Meta) bool {
	enough := c.slabs.empties > c.keepEmpty || !c.isYoung() && c.shapeOfSlab(m) == &c.young
	if m.InUse == 0 && enough && atomic.LoadUint32(&m.Chained) == 0 { // ord:chain-slab
		c.dropSlabLocked(head, m)
		return true
	}
	return false
}

// dropSlabLocked frees an empty slab's pages, for which page takes no lock. Its
// caller releases mu by unlockFreed.
func (c *cache) dropSlabLocked(head uint32, m *pages.Meta) {
	c.poison.slabDropped(head)
	c.unlinkLocked(head, m)
	c.slabs.count--
	s := c.shapeOfSlab(m)
	c.slabs.objects -= int(s.perSlab)
	c.slabBytes.Add(-page.Size * int64(s.pages)) // ord:hint
	c.raceDropSlab(head, s.perSlab)
	for i := range uint32(s.pages) {
		c.core.Meta(head + i).Owner = 0
	}
	if c.core.FreeRunQuietly(c.pointer(firstUnit(head)), s.pages) {
		c.slabs.wake = true
	}
}

// unlockFreed releases mu where slabs may have been freed under it. Only then are
// goroutines started, and waiters woken, for their pages: that is a system call,
// of some ten microseconds, and who wakes may want mu.
func (c *cache) unlockFreed() {
	wake := c.slabs.wake
	c.slabs.wake = false
	c.mu.UnlockIRQ()
	if wake {
		c.core.WakeAfterFree()
	}
}

// One hold of mu frees at most so many objects, or slabs, or looks at so many
// pages' metadata, or slabs of a list: cold, an object is two cache misses, a slab
// about ten, and two pages are one, so that a hold stays below 50 µs. Others spin
// for mu with preempt_rt=0, and the collector waits for its holder. On a busy
// machine 32 slabs took 49 µs.
const (
	objectsPerHold = 128
	slabsPerHold   = 16
	pagesPerHold   = 512 // a multiple of every slab's
	slabsPerLook   = 128 // of a list, each looked at only
)

// dropEmptySlabs frees the pages of the slabs that are empty now.
func (c *cache) dropEmptySlabs() {
	for more := true; more; {
		c.mu.LockIRQ()
		more = c.dropEmptySlabsLocked(slabsPerHold)
		c.unlockFreed()
	}
}

// dropEmptySlabsLocked frees the pages of up to most empty slabs, and reports
// whether there may be more. Slabs on the fallback chain stay; their turn comes
// when they leave it.
func (c *cache) dropEmptySlabsLocked(most int) (more bool) {
	dropped := 0
	for head := c.slabs.empty; head != 0; {
		if dropped == most {
			return true
		}
		m := c.core.Meta(head)
		next := m.Next
		if atomic.LoadUint32(&m.Chained) == 0 { // ord:chain-slab
			c.dropSlabLocked(head, m)
			dropped++
		}
		head = next
	}
	return false
}

// listOf returns the list that a slab belongs on, or nil if it is full.
func (c *cache) listOf(m *pages.Meta) *uint32 {
	switch m.InUse {
	case 0:
		return &c.slabs.empty
	case c.shapeOfSlab(m).perSlab:
		return nil
	}
	return &c.slabs.partial
}

// linkLocked puts a slab on its list.
func (c *cache) linkLocked(head uint32, m *pages.Meta) {
	l := c.listOf(m)
	if l != nil {
		if l == &c.slabs.empty {
			c.slabs.empties++
		}
		m.Prev, m.Next = 0, *l
		if m.Next != 0 {
			c.core.Meta(m.Next).Prev = head
		}
		*l = head
	}
	if w := c.slabs.walk; w != nil {
		w.enteredLocked(head, m, l)
	}
}

// unlinkLocked takes a slab off its list, before InUse changes.
func (c *cache) unlinkLocked(head uint32, m *pages.Meta) {
	l := c.listOf(m)
	if w := c.slabs.walk; w != nil {
		w.leavesLocked(head, m, l)
	}
	if l == nil {
		return
	}
	if l == &c.slabs.empty {
		c.slabs.empties--
	}
	if m.Prev != 0 {
		c.core.Meta(m.Prev).Next = m.Next
	} else {
		*l = m.Next
	}
	if m.Next != 0 {
		c.core.Meta(m.Next).Prev = m.Prev
	}
	m.Next, m.Prev = 0, 0
}

// flush returns a sheaf's objects to their slabs, counts them, and puts the
// sheaf into the group's depot, empty. The caller owns the sheaf, is not pinned and
// holds no lock.
//
//go:norace
func (c *cache) flush(g *group, n num, count *atomic.Uint64) {
	s := c.sheaf(n)
	c.flushObjects(s.objects(), count)
	s.n = 0
	g.pushEmpty(c, n)
}

// flushObjects is kfree_bulk; it panics over misuse.
func (c *cache) flushObjects(offs []uint32, count *atomic.Uint64) {
	for left := offs; len(left) > 0; {
		c.mu.LockIRQ()
		n, ok := c.bulkFreeLocked(left[:min(len(left), objectsPerHold)])
		c.unlockFreed()
		if !ok {
			panic(c.misuse(left[n]))
		}
		left = left[n:]
	}
	count.Add(uint64(len(offs))) // ord:stat
}
