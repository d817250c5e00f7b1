package slab

import (
	"math/rand/v2"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/race"
)

// What we report to the race detector about objects: package race has the
// argument. All of it is const-false branches in other builds. It is around the
// fast paths and not in them: these are go:norace, and a report would lack the
// line of their caller. An object is reported before it enters a sheaf and
// after it leaves one.

// raceAlloc is Cache.Alloc in race builds.
func (c *cache) raceAlloc(f gfp.Flags) unsafe.Pointer {
	c.raceShuffle(1)
	p := c.alloc(nil, f, lookFast)
	if p == nil {
		p = c.alloc(nil, f, lookFurther)
	}
	if p != nil {
		c.raceAllocated(p)
		if f&gfp.Zero != 0 {
			clear(unsafe.Slice((*byte)(p), c.size))
		}
	}
	return p
}

// raceShuffle makes the next objects of this P's main sheaf random ones. An
// allocation is ordered after the last free of its object; if that were always
// the latest free on this P, goroutines that share the P would be ordered at
// every allocation, and their races would never be seen.
//
//go:norace
func (c *cache) raceShuffle(objects int) {
	s := c.enter()
	m := c.sheaf(s.main) // ord:slot-busy
	for n := m.n; n > 1 && objects > 0; objects-- {
		i := rand.Uint32N(n)
		n--
		m.obj[i], m.obj[n] = m.obj[n], m.obj[i]
	}
	s.exit()
}

func (c *cache) raceAllocated(p unsafe.Pointer) {
	slab := c.head(uint32(c.unitOf(p)))
	race.Reallocated(p, c.size, c.pointer(firstUnit(slab)))
}

func (c *cache) raceAllocBulk(ps []unsafe.Pointer) {
	if race.Enabled {
		for _, p := range ps {
			c.raceAllocated(p)
		}
	}
}

// raceOwns reports whether p is in the cache's range and the cache is open: a free of
// anything else panics in a moment, and the pages of a closed cache may be somebody else's.
//
//go:norace
func (c *cache) raceOwns(p unsafe.Pointer) bool {
	race.Disable()
	closed := c.closed.Load() // ord:closed
	race.Enable()
	return !closed && c.unitOf(p) < c.units
}

func (c *cache) raceFree(p unsafe.Pointer) {
	if race.Enabled && c.raceOwns(p) {
		race.Freed(p, c.size)
	}
}

func (c *cache) raceFreeBulk(ps []unsafe.Pointer) {
	if race.Enabled {
		for _, p := range ps {
			c.raceFree(p)
		}
	}
}

func (c *cache) raceFreeRCU(p unsafe.Pointer) {
	if race.Enabled && c.raceOwns(p) {
		race.Retired(p)
	}
}

// raceReclaimed reports that the grace period of these objects is over.
func (c *cache) raceReclaimed(offs []uint32) {
	if race.Enabled {
		for _, off := range offs {
			race.FreedAfterGracePeriod(c.pointer(off), c.size)
		}
	}
}

// raceDropSlab orders the caller, which frees the slab's pages, after those that
// freed its objects.
func (c *cache) raceDropSlab(head, perSlab uint32) {
	if race.Enabled {
		p := c.pointer(firstUnit(head))
		for i := range uintptr(perSlab) {
			race.Collected(unsafe.Add(p, i*c.size))
		}
	}
}

// copied returns a copy of the filled part, which instrumented functions may
// read.
//
//go:norace
func (s *sheaf) copied() []uint32 {
	offs := make([]uint32, s.n)
	for i := range offs {
		offs[i] = s.obj[i]
	}
	return offs
}

// fill sets the number of objects, after dst was filled with them: the
// sheaf's own array or, in race builds, a copy. Pops go from the end, so it
// reverses their order, for addresses that rise.
//
//go:norace
func (s *sheaf) fill(dst []uint32, n int) {
	for i, j := 0, n-1; i < j; i, j = i+1, j-1 {
		dst[i], dst[j] = dst[j], dst[i]
	}
	if race.Enabled {
		for i := range n { // copy() would show itself to the detector
			s.obj[i] = dst[i]
		}
	}
	s.n = uint32(n)
}
