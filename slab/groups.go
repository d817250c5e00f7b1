package slab

import (
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// Groups. The heads of a depot's stacks are words that all Ps change once or twice
// a sheaf. A processor can have such a line for itself some ten million times a
// second, so on many Ps they would wait for it. So from the 17th P on there is a
// group of stacks for each groupPs of them: what a P puts down lies with its
// neighbours, and who finds nothing there looks with all others, group by group,
// before it takes the slabs' lock.
//
// A sheaf that waits for a grace period stays in its group: it is pushed on the
// pending stack of the P that filled it, is collected, becomes ripe and goes into
// the depot there, whoever does that. So objects come back to the Ps that freed
// them, on their NUMA node.
//
// # When there are several
//
// A cache begins with the group of the first groupPs Ps, which is a part of it, and
// is all that a program with no more Ps ever has. The others are made when a P of
// theirs first comes to the cache's slow paths, by the supply goroutine: those
// paths may be pinned, and may not allocate. Until then these Ps use the first
// group. Groups are never taken away: when GOMAXPROCS falls nobody pushes to the
// last ones, and pops from elsewhere empty them.
//
// # The argument
//
// A sheaf is on one stack, or someone's alone: popping it is what makes it so. No
// stack's operation depends on another stack. The tag that keeps a pop from taking
// a sheaf that left and came back (ABA) belongs to the head, and counts all
// operations on it. A pop may read the link of a sheaf that has meanwhile gone to
// the stack of another group; its head's tag has changed by then, and the swap
// fails.
//
// Who has to find every sheaf (drain, reclaim, Barrier, Shrink, Close, the statistics)
// walks over the groups as there are: first, and then after, until that is nil.
// further only grows, and is published before anybody pushes to what it adds.
// So what was pushed before the walk, as the caller of Barrier or Close knows,
// is in a group of the walk. The same holds for the service, which clears reclaiming
// and then looks at the groups: a push to a group that it does not see came after
// the look, so its claim finds reclaiming clear and puts the cache on the list
// (ord:wake-reclaim).
//
// A walk is no snapshot. A sheaf that somebody takes from a group and puts into
// another may be missed by a pop, which takes the slabs' lock then for nothing, and
// be counted twice or not at all. What must be exact does not rest on the walk:
// Barrier waits for those that have a sheaf in hand (help.go), and a sheaf that waits
// for a grace period does not change its group.
//
// # The bound
//
// The depot's bound is one for all groups. A group that has no more than its part
// takes a sheaf without a look at the others; one that has more may use what they
// leave. So all of them have up to twice the bound for as long as the service
// needs to trim it.

// groupPs is how many Ps share a group: the processors of a last-level cache in many
// machines. Untuned.
const groupPs = 16

// group is the part of a cache's depot, and of what it has pending, of some Ps. All
// of it but batched is lock-free.
type group struct {
	full       stack // sheaves of allocatable objects
	empty      stack // empty sheaves, of a page each
	emptySmall stack // and small ones
	pending    stack // closed RCU sheaves
	ripe       stack // of them, those whose grace period is over; see help.go
	index      int32 // immutable
	batched    num   // what of pending was collected, linked; protected by reclaimMu
	counts     groupCounts
}

// groupOf returns the group of a P. Context: any.
//
//go:norace
func (c *cache) groupOf(id int) *group {
	if g := c.at(id / groupPs); g != nil {
		return g
	}
	return &c.first
}

// here returns the group of the P that the caller runs on. If it is not pinned, that
// may be another one by now: then the group is not the best, and as good as any.
//
//go:norace
func (c *cache) here() *group {
	if c.further.Load() == nil { // ord:groups
		return &c.first
	}
	id := sys.ProcPin()
	sys.ProcUnpin()
	return c.groupOf(id)
}

// at returns a group, or nil if there is none.
//
//go:norace
func (c *cache) at(i int) *group {
	if i == 0 {
		return &c.first
	}
	race.Disable()
	further := c.further.Load() // ord:groups
	race.Enable()
	if further == nil || i > len(*further) {
		return nil
	}
	return (*further)[i-1]
}

// after returns the group that follows g, and nil after the last one.
//
//go:norace
func (c *cache) after(g *group) *group { return c.at(int(g.index) + 1) }

// around is after, with the first one after the last: a walk that begins with the
// caller's own group ends where it comes there again.
func (c *cache) around(g *group) *group {
	if g = c.after(g); g == nil {
		return &c.first
	}
	return g
}

// groups is how many there are.
//
//go:norace
func (c *cache) groups() int32 {
	race.Disable()
	further := c.further.Load() // ord:groups
	race.Enable()
	if further == nil {
		return 1
	}
	return int32(len(*further)) + 1
}

// wantsGroup has the group of a P made, which comes to the cache for the first time.
// Its slot is registered. Context: any.
func (c *cache) wantsGroup(id int) {
	if c.at(id/groupPs) == nil {
		c.requestSupply(nil)
	}
}

// makeGroups makes the groups of all Ps that have used the cache.
//
//go:norace
func (c *cache) makeGroups() {
	race.Disable()
	defer race.Enable()
	for {
		old := c.further.Load() // ord:groups
		have, want := 0, (c.slots.Used()-1)/groupPs
		if old != nil {
			have = len(*old)
		}
		if have >= want {
			return
		}
		further := make([]*group, want)
		if old != nil {
			copy(further, *old)
		}
		for i := have; i < want; i++ {
			further[i] = &group{index: int32(i) + 1}
		}
		if c.further.CompareAndSwap(old, &further) { // ord:groups
			return
		}
	}
}

// sheaves returns how many sheaves are on a stack of all groups. It is a hint, as
// the next one is.
//
//go:norace
func (c *cache) sheaves(of func(*group) *stack) (n int32) {
	race.Disable()
	for g := &c.first; g != nil; g = c.after(g) {
		n += of(g).n.Load() // ord:hint
	}
	race.Enable()
	return n
}

// fullObjects is how many objects the depot has.
//
//go:norace
func (c *cache) fullObjects() (n int64) {
	race.Disable()
	for g := &c.first; g != nil; g = c.after(g) {
		n += g.full.objects.Load() // ord:hint
	}
	race.Enable()
	return n
}

func fullOf(g *group) *stack       { return &g.full }
func emptyOf(g *group) *stack      { return &g.empty }
func emptySmallOf(g *group) *stack { return &g.emptySmall }
func pendingOf(g *group) *stack    { return &g.pending }
func ripeOf(g *group) *stack       { return &g.ripe }

// popOf takes a sheaf off the stack of the caller's own group or, if there is none, of
// the others. It returns 0 if there is none at all.
func (c *cache) popOf(of func(*group) *stack) (n num) {
	own := c.here()
	for g := own; ; {
		if n = of(g).pop(c); n != 0 {
			return n
		}
		if g = c.around(g); g == own {
			return 0
		}
	}
}

// anyOf reports whether there is a sheaf on a stack of any group.
func (c *cache) anyOf(of func(*group) *stack) bool {
	for g := &c.first; g != nil; g = c.after(g) {
		if !of(g).empty() {
			return true
		}
	}
	return false
}

// pushFull puts a sheaf of allocatable objects into the depot.
//
//go:norace
func (g *group) pushFull(c *cache, n num) {
	race.Disable()
	objects := int64(c.sheaf(n).n)
	g.full.push(c, n)
	g.full.objects.Add(objects) // ord:hint
	race.Enable()
}

// popFull takes such a sheaf out of the group's depot. It returns 0 if there is none.
//
//go:norace
func (g *group) popFull(c *cache) (n num) {
	race.Disable()
	if n = g.full.pop(c); n != 0 {
		g.full.objects.Add(-int64(c.sheaf(n).n)) // ord:hint
	}
	race.Enable()
	return n
}

func (c *cache) pushFull(n num) { c.here().pushFull(c, n) }

// popFull takes a full sheaf out of the depot, from the caller's own group first. It
// returns 0 if there is none.
func (c *cache) popFull() (n num) {
	own := c.here()
	for g := own; ; {
		if n = g.popFull(c); n != 0 {
			return n
		}
		if g = c.around(g); g == own {
			return 0
		}
	}
}

// takeFull is popFull for an allocation: it matters how many are left.
//
//go:norace
func (c *cache) takeFull() (n num) {
	race.Disable()
	if n = c.popFull(); n == 0 {
		c.depot.missed()
	}
	c.took()
	race.Enable()
	return n
}

// took notes what an allocation left in the depot, if misses added any. The caller
// runs hidden from the race detector.
//
//go:norace
func (c *cache) took() {
	d := &c.depot
	if d.more.Load() == 0 { // ord:hint
		return
	}
	if low := d.low.Load(); c.here().full.n.Load() < low { // ord:hint
		if n := c.sheaves(fullOf); n < low {
			d.low.Store(n) // ord:hint
		}
	}
}

// admits reports whether the depot has room for a sheaf that comes back to the group
// after a grace period.
func (c *cache) admits(g *group) bool {
	n := g.full.n.Load() // ord:hint
	if part := c.depot.bound() / c.groups(); n >= part {
		n = c.sheaves(fullOf)
	}
	return c.depot.admits(n)
}

// pushEmpty puts an empty sheaf into the group's depot.
func (g *group) pushEmpty(c *cache, n num) {
	if isSmall(n) {
		g.emptySmall.push(c, n)
	} else {
		g.empty.push(c, n)
	}
}

func (c *cache) pushEmpty(n num) { c.here().pushEmpty(c, n) }

// fullest returns the group with the most full sheaves.
func (c *cache) fullest() *group {
	most := &c.first
	for g := &c.first; g != nil; g = c.after(g) {
		if g.full.n.Load() > most.full.n.Load() { // ord:hint
			most = g
		}
	}
	return most
}
