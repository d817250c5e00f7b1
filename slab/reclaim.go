package slab

import (
	"runtime"
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/pages"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/rcu"
)

// The reclaim worker and everything that runs in its stead. reclaimOnce is
// the one place where pending sheaves and chained objects end their grace
// period; whoever holds reclaimMu runs it. When a caller gets the mutex,
// whatever was taken before by somebody else is done.

const (
	// paceNs is how long the worker lets sheaves gather before it starts a
	// grace period, unless memory is short. It bounds the worker's share of
	// a processor; at 8 ns to an object 25,000 of them gather. Untuned.
	paceNs = 200_000
	// checkEvery: of that many sheaves handed over one is held against the
	// bitmap.
	checkEvery = 32
	// emptyKeep bounds the empty sheaves that stay in the depot when the
	// worker ends.
	emptyKeep = 8
	// emptyFirst and emptyMost bound the empty sheaves that are made ahead for
	// a flood, four times as many each time. At 4 ns to an object 32 last for
	// 128 µs, in which a goroutine can be started and make more.
	emptyFirst = 32
	emptyMost  = 2048
	// chainBatch is how many slabs of the fallback chain share one grace
	// period; more take several.
	chainBatch = 512
)

// claim makes the caller the one who starts the goroutine that running stands
// for. Whoever starts one does so visibly: it is ordered behind its maker.
//
//go:norace
func claim(running *atomic.Bool) bool {
	if race.Enabled {
		race.Disable()
	}
	ok := !running.Load() && running.CompareAndSwap(false, true) // ord:wake-reclaim,wake-drain,wake-topup
	if race.Enabled {
		race.Enable()
	}
	return ok
}

func (c *cache) startReclaim() {
	if claim(&c.reclaiming) { // ord:wake-reclaim
		c.spawn(c.reclaimWorker)
	}
}

// spawn starts one of the cache's goroutines. Close waits for their very last
// step: a worker that said it ends still looks at the slots once.
func (c *cache) spawn(fn func()) {
	race.Disable()
	c.workers.Add(1) // ord:closed
	race.Enable()
	go func() {
		fn()
		c.workers.Add(-1) // ord:closed
	}()
}

func (c *cache) work() bool {
	return !c.pending.empty() || c.chain.Load() != 0 || c.full.n.Load() > c.depotMax || poisonOn && c.guardWork() // ord:wake-reclaim
}

func (c *cache) reclaimWorker() {
	for {
		for c.work() {
			hurry := c.waiters.Load() > 0 // ord:hint
			if !hurry {
				sys.Sleep(paceNs)
			}
			c.reclaimOnce(hurry)
		}
		c.trimEmpty()
		c.reclaiming.Store(false) // ord:wake-reclaim
		fault.Delay("wake-reclaim")
		if !c.work() || !c.reclaiming.CompareAndSwap(false, true) { // ord:wake-reclaim
			return
		}
	}
}

// reclaimOnce waits out the grace periods of all that is pending now, and
// disposes of it. Unpinned.
func (c *cache) reclaimOnce(expedited bool) {
	c.reclaimMu.Lock()
	defer c.reclaimMu.Unlock()
	for more := true; more; more = c.chainRest != 0 {
		c.pass(expedited)
	}
}

// pass is one grace period's worth of reclaimOnce.
//
//go:norace
func (c *cache) pass(expedited bool) {
	c.feed()
	first := c.pending.takeAll()
	chained := c.takeChain()

	var last rcu.Cookie                             // of them all; none is 0
	for n := first; n != 0; n = c.sheaf(n).link() { // ord:stack
		last = max(last, c.sheaf(n).cookie)
	}
	if chained > 0 {
		fault.Delay("cookie")
		last = rcu.GetState() // after the bits were moved; ord:cookie
	}
	if poisonOn && c.guardTake() {
		last = max(last, rcu.GetState()) // ord:cookie
	}
	switch {
	case last == 0:
	case expedited:
		rcu.CondSynchronizeExpedited(last)
	default:
		rcu.CondSynchronize(last)
	}
	for n := first; n != 0; {
		next := c.sheaf(n).link() // ord:stack
		c.pending.n.Add(-1)       // ord:hint
		c.dispose(n)
		c.feed()
		n = next
	}
	c.freeChained(chained)
	if poisonOn {
		c.guardEnded()
	}
	c.trimDepot(c.depotMax)
}

// dispose hands a sheaf whose grace period is over to the next allocations,
// whole, or, where the depot has enough, frees its objects in bulk.
//
//go:norace
func (c *cache) dispose(n num) {
	s := c.sheaf(n)
	if race.Enabled {
		c.raceReclaimed(s.objects())
	}
	if c.onReclaim != nil {
		c.onReclaim(s.objects())
	}
	if poisonOn {
		c.stats.bulk.Add(uint64(s.n)) // ord:stat
		c.poisonEnded(s.objects())
		s.n = 0
		c.empty.push(c, n)
		return
	}
	// Under pressure pages are wanted, unless it is this cache's objects.
	keep := c.full.n.Load() < c.depotMax && (c.waiters.Load() > 0 || !c.pressed()) // ord:hint
	if s.n > 0 && keep {
		c.stats.reused.Add(uint64(s.n)) // ord:stat
		if c.handed++; c.handed%checkEvery == 0 {
			c.check(s)
		}
		c.full.push(c, n)
		return
	}
	c.flush(n, &c.stats.bulk)
}

// pressed reports whether somebody else asked for memory a moment ago.
func (c *cache) pressed() bool {
	t := c.asked.Load() // ord:hint
	return t != 0 && sys.Nanotime()-t < 10_000_000
}

// check holds a sheaf against the bitmap: each object must be allocated, and
// none may be in it twice. It clears and sets the bits again under mu, which
// nobody can see.
func (c *cache) check(s *sheaf) {
	offs := s.objects()
	c.mu.LockIRQ()
	good := 0
	for good < len(offs) && c.allocated(offs[good]) {
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

// checkDepot has the worker trim the depot when a free filled it.
//
//go:norace
func (c *cache) checkDepot() {
	if c.full.n.Load() > c.depotMax { // ord:hint
		c.startReclaim()
	}
}

// trimDepot frees sheaves of the depot in bulk until most are left, bounded by
// what is there now.
func (c *cache) trimDepot(most int32) {
	for range c.full.n.Load() - most { // ord:hint
		n := c.full.pop(c)
		if n == 0 {
			return
		}
		c.flush(n, &c.stats.flushed)
		c.feed()
	}
}

// startTopUp has empty sheaves made ahead, because a slow path found few in
// the depot. With the sheaves that are left, or pages from this P's list, it
// may go on until help comes, and the fallback chain stays empty. Any context.
func (c *cache) startTopUp() {
	if race.Enabled {
		race.Disable()
	}
	c.hungry.Store(true) // ord:wake-topup
	if race.Enabled {
		race.Enable()
	}
	c.spawnTopUp(&c.topping)
}

// spawnTopUp starts a goroutine that tops up, unless the one that running
// stands for runs already.
func (c *cache) spawnTopUp(running *atomic.Bool) bool {
	if !claim(running) { // ord:wake-topup
		return false
	}
	c.spawn(func() {
		for c.topUp() {
		}
		running.Store(false) // ord:wake-topup
	})
	return true
}

// feed is what the reclaim worker does between two sheaves when empty ones are
// wanted: the goroutine of startTopUp may have no P to run on while worker and
// flooder have them, so it gives the worker's P to one of its own. It does not
// allocate itself: freeing must not wait for the allocator's locks.
func (c *cache) feed() {
	if c.hungry.Load() && c.spawnTopUp(&c.feeding) { // ord:wake-topup
		runtime.Gosched()
	}
}

// topUp makes empty sheaves if they are wanted, more each time, until the
// reclaim worker ends.
func (c *cache) topUp() bool {
	if !c.hungry.Load() || !c.hungry.Swap(false) { // ord:wake-topup
		return false
	}
	want := min(max(emptyFirst, c.wantEmpty.Load()*4), emptyMost) // ord:hint
	c.wantEmpty.Store(want)                                       // ord:hint
	for range want {
		n := c.newSheaf(c.pages.Alloc(0, gfp.NoWait|gfp.NoWarn|pages.Unseen))
		if n == 0 {
			return false
		}
		c.empty.push(c, n)
	}
	return true
}

// trimEmpty gives back empty sheaves beyond a few.
func (c *cache) trimEmpty() {
	c.wantEmpty.Store(0) // ord:hint
	c.dropEmptySheaves(emptyKeep)
}

// dropEmptySheaves is bounded by what is there now: others may add more all
// the while.
func (c *cache) dropEmptySheaves(keep int32) {
	for range c.empty.n.Load() - keep { // ord:hint
		n := c.empty.pop(c)
		if n == 0 {
			return
		}
		c.dropSheaf(n)
	}
}

// drainNs is how often partly filled RCU sheaves are taken. An object waits
// twice that at most, plus pace and grace period.
const drainNs = 5_000_000

func (c *cache) startDrain() {
	if claim(&c.draining) { // ord:wake-drain
		c.spawn(c.drainWorker)
	}
}

func (c *cache) drainWorker() {
	for {
		sys.Sleep(drainNs)
		if c.drainRCU() > 0 {
			continue
		}
		c.draining.Store(false) // ord:wake-drain
		fault.Delay("wake-drain")
		if !c.anyRCU() || !c.draining.CompareAndSwap(false, true) { // ord:wake-drain
			return
		}
	}
}

// anyRCU reports whether a slot has an RCU sheaf. It pairs with freeRCUSlow:
// the sheaf is installed before draining is looked at there, and draining is
// cleared before the slots are looked at here.
func (c *cache) anyRCU() bool {
	for id := range c.slots.Used() {
		if atomic.LoadUint32(&c.slots.At(id).rcu) != 0 { // ord:wake-drain
			return true
		}
	}
	return false
}

// drainRCU takes every P's RCU sheaf and makes it pending. It returns the
// number of sheaves taken. Unpinned.
//
//go:norace
func (c *cache) drainRCU() int {
	c.takeMu.Lock()
	defer c.takeMu.Unlock()
	c.take2(func(s *slot) { c.grab(&s.rcu) })
	n := len(c.taken)
	filled := false
	for _, t := range c.taken {
		if c.sheaf(t).n == 0 {
			c.empty.push(c, t)
			continue
		}
		c.closeSheaf(t)
		filled = true
	}
	if filled {
		c.startReclaim()
	}
	return n
}

// take2 is the taker's half of revoking: two rounds, so that sheaves that a
// slow path had in hand during the first are found by the second. The sheaves
// end up in c.taken. takeMu is held, and nobody reclaims address space.
func (c *cache) take2(grab func(*slot)) {
	c.taken = c.taken[:0]
	for range 2 {
		used := c.slots.Used()
		for id := range used {
			grab(c.slots.At(id))
		}
		fault.Delay("slot-busy")
		sys.Membarrier() // ord:slot-busy
		for id := range used {
			waitIdle(c.slots.At(id))
		}
	}
	if !sys.ExitIsRelease {
		sys.Membarrier() // ord:slot-exit
	}
}

func (c *cache) grab(field *uint32) {
	if n := atomic.SwapUint32(field, 0); n != 0 { // ord:slot-busy,slot
		c.taken = append(c.taken, n)
	}
}

// waitIdle returns once the slot's owner was seen outside of an operation. An
// operation is some tens of instructions; a slow path some hundreds. It can
// only last when the system takes the thread's processor away.
//
//go:norace
func waitIdle(s *slot) {
	for i := 0; atomic.LoadUint32(&s.busy) != 0; i++ { // ord:slot-busy,slot-exit
		switch {
		case i < 100:
			sys.Pause(10)
		case i < 200:
			sys.Yield()
		default:
			sys.Sleep(20_000)
		}
	}
}
