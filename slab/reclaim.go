package slab

import (
	"sync/atomic"

	"quiesce/internal/fault"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/rcu"
)

// Reclaim: what happens to pending sheaves and chained objects after their grace
// period. They are collected, and disposed of when the youngest cookie of them
// is done, under reclaimMu; the service waits in between without it. A caller
// that gets the mutex finds in collected what an earlier holder left, and knows
// that everything else that it took is done.

const (
	// checkEvery is the sampling interval: one handed-over sheaf in checkEvery
	// is checked against the bitmap.
	checkEvery = 32
	// emptyKeep bounds the empty sheaves that stay in the depot when a cache
	// has nothing more to reclaim.
	emptyKeep = 8
	// chainSlabs is how many slabs of the fallback chain share one grace
	// period; more take several.
	chainSlabs = 512
)

// batch is what waits for a grace period in a cache, taken off its queues. The
// sheaves are in group.batched.
type batch struct {
	slabs    int        // of the chain; they are in cache.batch
	youngest rcu.Cookie // of them all; 0: the batch is empty
}

// hasWork reports whether there is something to reclaim.
func (c *cache) hasWork() bool {
	return c.anyOf(pendingOf) || c.unfinished.Load() || c.chain.Load() != 0 || c.overfull() || c.poison.pending() || c.samplesWait() // ord:wake-reclaim
}

// reclaimOnce waits for the grace periods of all that is pending now, and
// disposes of it.
//
// Context: task; not pinned.
func (c *cache) reclaimOnce(expedited bool) {
	c.reclaimMu.Lock()
	defer c.reclaimMu.Unlock()
	for left := true; left; {
		// The service may have left a batch, or the rest of a chain: they come
		// first, and what is pending now needs passes of its own.
		left = c.collected.youngest != 0 || c.chainRest != 0
		for more := true; more; {
			more = c.passLocked(expedited)
		}
	}
	c.awaitHelpers()
	c.trimDepot(c.direct)
}

// passLocked is one grace period's worth of reclaimOnce. It returns whether the
// chain is longer. reclaimMu is held.
func (c *cache) passLocked(expedited bool) (more bool) {
	c.topUpFromWorker()
	c.unfinished.Store(false) // the service need not look: it can't lock reclaimMu; ord:wake-reclaim
	waitFor(c.collectLocked(), expedited)
	c.ripenAllLocked()
	c.disposeRipe()
	return c.finishLocked()
}

// waitFor waits for a grace period, which is 0 if nothing waits for one.
func waitFor(youngest rcu.Cookie, expedited bool) {
	switch {
	case youngest == 0:
	case expedited:
		rcu.CondSynchronizeExpedited(youngest)
	default:
		rcu.CondSynchronize(youngest)
	}
}

// collectLocked takes everything that waits for a grace period, unless something
// was taken before and is not disposed of yet. It returns the youngest cookie of
// what is collected, or 0 if there is nothing. reclaimMu is held.
//
//go:norace
func (c *cache) collectLocked() rcu.Cookie {
	b := &c.collected
	if b.youngest != 0 {
		return b.youngest
	}
	c.batchPendingLocked()
	b.slabs = c.takeChainLocked()
	for g := &c.first; g != nil; g = c.after(g) {
		for n := g.batched; n != 0; n = c.sheaf(n).link() { // ord:stack
			b.youngest = max(b.youngest, c.sheaf(n).cookie) // none is 0
		}
	}
	if b.slabs > 0 {
		fault.Delay("cookie")
		b.youngest = rcu.GetState() // after the bits were moved; ord:cookie
	}
	if c.poison.takePending() {
		b.youngest = max(b.youngest, rcu.GetState()) // ord:cookie
	}
	b.youngest = max(b.youngest, c.collectSamplesLocked())
	return b.youngest
}

// finishLocked frees what was collected of the chain, whose grace period is over,
// after the sheaves became ripe. It returns whether the chain is longer than what
// was taken. reclaimMu is held.
//
//go:norace
func (c *cache) finishLocked() (more bool) {
	slabs := c.collected.slabs
	c.collected = batch{}
	c.freeChainedLocked(slabs)
	c.poison.gracePeriodEnded()
	c.freeSamplesLocked()
	c.memoryCame()
	return c.chainRest != 0
}

// disposeRipe disposes of the sheaves whose grace period is over.
func (c *cache) disposeRipe() {
	for g, n := c.popRipe(); n != 0; g, n = c.popRipe() {
		c.uncount(g, c.sheaf(n))
		c.dispose(g, n)
		c.memoryCame()
		c.topUpFromWorker()
	}
}

// disposeShared is the service's disposeRipe and trimDepot, without reclaimMu, so
// that helpers can collect the next sheaves. It counts as a helper, a sheaf at a
// time. It is bounded by what is there now: helpers may add more all the while.
func (c *cache) disposeShared() {
	count := c.sheaves(ripeOf)
	for more := true; more && count > 0 && c.beginHelp(); count-- {
		g, n := c.popRipe()
		if more = n != 0; more {
			c.uncount(g, c.sheaf(n))
			c.dispose(g, n)
		}
		c.endHelp()
		c.memoryCame()
		c.topUpFromWorker()
	}
	if c.anyOf(ripeOf) {
		c.unfinished.Store(true) // ord:wake-reclaim
	}
	count = c.sheaves(fullOf)
	for more := true; more && count > 0 && c.beginHelp(); count-- {
		more = c.overfull() && c.flushOne()
		c.endHelp()
		c.topUpFromWorker()
	}
}

// uncount takes a sheaf off the counts of what is pending.
//
//go:norace
func (c *cache) uncount(g *group, s *sheaf) {
	race.Disable()
	g.pending.n.Add(-1) // ord:hint
	c.countPending(g, -int64(s.n))
	race.Enable()
}

// dispose hands a sheaf whose grace period is over to the next allocations,
// whole, or, if the depot has enough, frees its objects in bulk.
//
//go:norace
func (c *cache) dispose(g *group, n num) {
	s := c.sheaf(n)
	if race.Enabled {
		c.raceReclaimed(s.objects())
	}
	if c.onReclaim != nil {
		c.onReclaim(s.objects())
	}
	if poisonOn {
		c.stats.bulk.Add(uint64(s.n)) // ord:stat
		c.poison.reclaimed(s.objects())
		s.n = 0
		g.pushEmpty(c, n)
		return
	}
	// Under pressure pages are wanted, unless it is this cache's objects.
	wanted := c.waiters.Load() > 0 || !c.pressed() // ord:hint
	if s.n > 0 && wanted && c.admits(g) {
		g.counts.reused.Add(uint64(s.n))         // ord:stat
		if c.handedOver.Add(1)%checkEvery == 0 { // ord:hint
			c.checkSheaf(s)
		}
		g.pushFull(c, n)
		return
	}
	c.flush(g, n, &c.stats.bulk)
}

// pressed reports whether another user of the allocator asked for memory a
// moment ago.
func (c *cache) pressed() bool {
	t := c.lastReclaim.Load() // ord:hint
	return t != 0 && sys.Nanotime()-t < 10_000_000
}

// checkSheaf checks a sheaf against the bitmap: each object must be allocated,
// and none may be in it twice. It clears and sets the bits again under mu, so
// that the change is not visible. As all must be cleared at once, the hold can't
// be shared; so the cache misses come before it.
func (c *cache) checkSheaf(s *sheaf) {
	offs := s.objects()
	for _, off := range offs {
		if c.head(off) < c.core.Opened() {
			_ = atomic.LoadUint64(word(c.allocBits, off)) // ord:hint
		}
	}
	c.mu.LockIRQ()
	good := 0
	for good < len(offs) && c.allocatedLocked(offs[good]) {
		*word(c.allocBits, offs[good]) &^= 1 << (offs[good] & 63)
		good++
	}
	for _, off := range offs[:good] {
		*word(c.allocBits, off) |= 1 << (off & 63)
	}
	c.mu.UnlockIRQ()
	if good < len(offs) {
		panic(c.misuse(offs[good]))
	}
}

// checkDepot has the service trim the depot after a free filled it.
//
//go:norace
func (c *cache) checkDepot() {
	if c.here().full.n.Load() > c.depot.bound()/c.groups() && c.overfull() { // ord:hint
		c.startReclaim()
	}
}

// overfull reports whether the depot has more than it should keep, and any one
// sheaf more than is reserved.
//
//go:norace
func (c *cache) overfull() bool {
	if c.sheaves(fullOf) <= c.depot.bound() {
		return false
	}
	reserved := c.stock.reserved.Load()                                   // ord:hint
	return reserved == 0 || c.fullObjects()-int64(c.sheafCap) >= reserved // ord:hint
}

// trimDepot frees sheaves of the depot in bulk while it has more than it should
// keep, or all of them, bounded by what is there now.
func (c *cache) trimDepot(all bool) {
	for range c.sheaves(fullOf) {
		if !all && !c.overfull() || !c.flushOne() {
			return
		}
		c.topUpFromWorker()
	}
}

// flushOne frees a sheaf of the depot in bulk, and returns false if there is none.
func (c *cache) flushOne() bool {
	g := c.fullest()
	n := g.popFull(c)
	if n == 0 {
		g = c.here()
		n = c.popFull()
	}
	if n != 0 {
		c.flush(g, n, &c.stats.flushed)
	}
	return n != 0
}
