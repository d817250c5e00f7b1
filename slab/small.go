package slab

import (
	"math/bits"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/race"
	"quiesce/lock"
	"quiesce/page"
)

// Small sheaves. A page for each sheaf would be most of what a young cache costs,
// so those of its sheaves that are new have 256 bytes. The caches of an allocator
// share the pages that they are in. The first 256 bytes of such a page are not
// used: a sheaf that begins with a page has it to itself.
//
// Of a Heap with fine classes whose allocator has a limit, all classes have small
// sheaves that are a small part of that: with sixty of them the free objects in large
// ones, and the arrays, would be a seventh of 64 MiB.
//
// A cache that has grown uses its small sheaves until they are empty, and then
// they lie apart (emptySmall) until someone who may take a lock frees them.
//
// The metadata of a shared page is that of no slab: Owner is 0. InUse has a bit
// for each place that is taken, and Next and Prev link the pages with free places.
// All of it is protected by mu, for which FreeRCU's and Free's slow paths don't
// wait: they take a page where others have it.

const (
	smallSize = 1 << sheafShift
	smallMax  = (smallSize - sheafHead) / 4 // objects
	places    = page.Size / smallSize
	allTaken  = 1<<places - 1
	noneTaken = 1 // but the first, which is not used
)

// smallPages are an allocator's pages of small sheaves.
type smallPages struct {
	mu    lock.Spin
	first uint32 // page with free places; 0: none
}

// smallPagesOf returns those of an allocator.
func smallPagesOf(core *pages.Core) *smallPages {
	if sp := core.SmallSheaves.Load(); sp != nil { // ord:publish
		return sp.(*smallPages)
	}
	sp := new(smallPages)
	sp.mu.Init("slab.small.mu")
	core.SmallSheaves.CompareAndSwap(nil, sp)     // ord:publish
	return core.SmallSheaves.Load().(*smallPages) // ord:publish
}

func isSmall(n num) bool { return n%places != 0 }

// makeSheaf makes an empty sheaf, a small one for a thrifty cache. It returns 0 if
// there is no memory.
//
// Context: any, if the flags say so.
//
//go:norace
func (c *cache) makeSheaf(f gfp.Flags) (n num) {
	small := c.isThrifty()
	if small {
		n, small = c.takePlace(0, f)
	}
	if n == 0 {
		p := c.pages.Alloc(0, f|pages.Unseen)
		if p != nil && small {
			n, _ = c.takePlace(c.core.PageOf(p), f)
		}
		if n == 0 {
			return c.newSheaf(p)
		}
	}
	c.initSheaf(n, smallMax, smallSize)
	return n
}

// takePlace takes a place in a shared page, or 0 if there is none. It adds a page
// before, if that is not 0. It returns false if it would have to wait for the lock.
//
//go:norace
func (c *cache) takePlace(add uint32, f gfp.Flags) (n num, ok bool) {
	race.Disable()
	defer race.Enable()
	sp := c.small
	if f.CanLock() {
		sp.mu.LockIRQ()
	} else if !sp.mu.TryLockIRQ() {
		return 0, false
	}
	if add != 0 {
		m := c.core.Meta(add)
		m.InUse = noneTaken
		c.linkSmallLocked(add, m)
	}
	if pg := sp.first; pg != 0 {
		m := c.core.Meta(pg)
		i := uint32(bits.TrailingZeros32(^m.InUse))
		m.InUse |= 1 << i
		if m.InUse == allTaken {
			c.unlinkSmallLocked(m)
		}
		n = pg*places + i
	}
	sp.mu.UnlockIRQ()
	return n, true
}

// dropSmall frees a small sheaf, and its page with the last one in it.
//
//go:norace
func (c *cache) dropSmall(n num) {
	race.Disable()
	pg := n / places
	m := c.core.Meta(pg)
	c.small.mu.LockIRQ()
	if m.InUse == allTaken {
		c.linkSmallLocked(pg, m)
	}
	m.InUse &^= 1 << (n % places)
	last := m.InUse == noneTaken
	if last {
		m.InUse = 0
		c.unlinkSmallLocked(m)
	}
	c.small.mu.UnlockIRQ()
	race.Enable()
	if last {
		c.core.FreeUnseen(unsafe.Pointer(c.sheaf(pg * places)))
	}
}

func (c *cache) linkSmallLocked(pg uint32, m *pages.Meta) {
	sp := c.small
	m.Prev, m.Next = 0, sp.first
	if sp.first != 0 {
		c.core.Meta(sp.first).Prev = pg
	}
	sp.first = pg
}

func (c *cache) unlinkSmallLocked(m *pages.Meta) {
	if m.Prev != 0 {
		c.core.Meta(m.Prev).Next = m.Next
	} else {
		c.small.first = m.Next
	}
	if m.Next != 0 {
		c.core.Meta(m.Next).Prev = m.Prev
	}
	m.Next, m.Prev = 0, 0
}

// isThrifty reports whether new sheaves are small. Without mu it is a hint.
func (c *cache) isThrifty() bool { return c.slabBytes.Load() < c.thriftyMost } // ord:hint

// popEmpty takes an empty sheaf out of the depot, a small one for a thrifty cache
// alone. It returns 0 if there is none.
func (c *cache) popEmpty() (n num) {
	if c.isThrifty() {
		n = c.popOf(emptySmallOf)
	}
	if n == 0 {
		n = c.popOf(emptyOf)
	}
	return n
}

// empties is how many empty sheaves popEmpty may find in a group.
func (c *cache) empties(g *group) int32 {
	n := g.empty.n.Load() // ord:hint
	if c.isThrifty() {
		n += g.emptySmall.n.Load() // ord:hint
	}
	return n
}

// fewEmpties reports whether there are fewer empty sheaves than a flood needs until a
// goroutine has made more. A group that has its part does not look at the others.
func (c *cache) fewEmpties() bool {
	few := c.topUpSize.Load() / 2 // ord:hint
	if c.empties(c.here()) > few/c.groups() {
		return false
	}
	n := int32(0)
	for g := &c.first; g != nil && n <= few; g = c.after(g) {
		n += c.empties(g)
	}
	return n <= few
}
