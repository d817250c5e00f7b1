package slab

import (
	"sync/atomic"

	"quiesce/internal/fault"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
)

// Counts of a group. Every closed sheaf is counted, and every one that is handed over.
// Words that all Ps change for each would be waited for on many Ps, as the heads of the
// stacks would (groups.go), so each group has its own, and who wants a sum adds them up.
//
// How much is pending is looked at each time a sheaf is closed. Where there are several
// groups, the sums that are looked at learn of a group's changes some sheaves at a time:
// Linux's percpu_counter. So they may be off by that much for each group.

// groupCounts are a group's, on a line of their own.
type groupCounts struct {
	_ [percpu.Line]byte

	untold atomic.Int64  // pending objects that the sums don't know of
	arrays atomic.Uint64 // objects that went into RCU sheaves that were closed
	reused atomic.Uint64 // objects that came back by hand-over of their sheaf
	helped atomic.Uint64 // of reused, by FreeRCU's slow path
	helps  atomic.Uint64 // attempts of FreeRCU's slow path to help

	_ [percpu.Line - 5*8]byte
}

func arraysOf(g *group) *atomic.Uint64 { return &g.counts.arrays }
func reusedOf(g *group) *atomic.Uint64 { return &g.counts.reused }
func helpedOf(g *group) *atomic.Uint64 { return &g.counts.helped }
func helpsOf(g *group) *atomic.Uint64  { return &g.counts.helps }

// sum adds up a count of all groups. None is missed, but they are not of one moment.
func (c *cache) sum(of func(*group) *atomic.Uint64) (n uint64) {
	for g := &c.first; g != nil; g = c.after(g) {
		n += of(g).Load() // ord:stat
	}
	return n
}

// untoldSheaves is how many sheaves a group's untold may come to. Untuned.
const untoldSheaves = 4

// countPending adds objects to what is pending in a group, or takes them off. The
// caller runs hidden from the race detector.
//
//go:norace
func (c *cache) countPending(g *group, objects int64) {
	if c.further.Load() == nil { // ord:groups
		c.tellPending(objects)
		return
	}
	n, most := g.counts.untold.Add(objects), untoldSheaves*int64(c.sheafCap) // ord:hint
	fault.Delay("hint")
	// If it changed meanwhile, who changed it looks at the sum of both.
	if (n >= most || n <= -most) && g.counts.untold.CompareAndSwap(n, 0) { // ord:hint
		c.tellPending(n)
	}
}

// tellPending adds objects to the sums.
//
//go:norace
func (c *cache) tellPending(objects int64) {
	c.pendingObjects.Add(objects)                // ord:hint
	service.pending.Add(objects * int64(c.size)) // ord:hint
}

// tellAll has the sums exact for what was counted before.
//
//go:norace
func (c *cache) tellAll() {
	race.Disable()
	for g := &c.first; g != nil; g = c.after(g) {
		if g.counts.untold.Load() != 0 { // ord:hint
			c.tellPending(g.counts.untold.Swap(0)) // ord:hint
		}
	}
	race.Enable()
}

// allPending is how many objects are pending: exact while nobody uses the cache.
//
//go:norace
func (c *cache) allPending() int64 {
	race.Disable()
	n := c.pendingObjects.Load() // ord:hint
	for g := &c.first; g != nil; g = c.after(g) {
		n += g.counts.untold.Load() // ord:hint
	}
	race.Enable()
	return max(n, 0)
}
