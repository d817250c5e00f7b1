package slab

import (
	"math"
	"runtime"

	"quiesce/internal/fault"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/preempt"
	"quiesce/rcu"
)

// Helping: those who free and allocate keep objects on their way, and pending frees
// bounded without a memory limit. One goroutine disposes of what every P frees; on
// many Ps it can't do as much as they add, and where all are busy it hardly runs.
// What is pending then no longer fits the processors' caches, and most of it goes by
// kfree_bulk, because the depot has no room for so much at once. So once helpOwn of
// one cache are pending, or helpBytes of all, a call of FreeRCU that closes a sheaf
// hands over up to helpSheaves others of its cache, whose grace period is over, and
// otherwise asks for the next grace period, and lets other goroutines run. What is
// pending is then bounded by that and by what is freed while a grace period lasts.
// The cache of somebody who frees little is left alone, whatever others do.
//
// A helper waits for nothing: it tries reclaimMu, pops from a lock-free stack, and
// has a goroutine drive the grace period. While that lasts, who comes sees by loads alone
// that nothing is ripe (inVain). But with all Ps busy with floods that
// goroutine would run when one of them is preempted, 10 ms later or several times
// that. So a helper that finds nothing ripe yields its P until the grace period is
// over, for yieldFor at most. It can't do more: sections are counted by P, so nobody
// knows whether the caller of FreeRCU is in one, and if it is, the grace period
// waits for the caller. Then, and if another reader is in the way, yields are in
// vain, and the next one comes when a quarter more is pending: a flood in one long
// section is hardly slowed. A yield is what preemption may do to the
// caller at any time, so it is allowed in every context but a raw atomic one, under
// locks that may sleep and in sections too; it is no wait for a grace period for
// lockdep, which would say that the caller's section waits for itself. A helper is
// not counted in helping while it yields, and holds nothing.
//
// A helper hands sheaves over whole, beyond what the depot should keep, and leaves
// it to the service to trim that: kfree_bulk would have all Ps contend for mu,
// which the allocations of the same objects need. It touches a few words of each
// sheaf, and so is done within some microseconds, but for the yield. It does
// nothing in a raw atomic context.
//
//	pending       collected              ripe                   depot
//	FreeRCU ────► the holder of ───────► the holder of ───────► the service, Barrier
//	              reclaimMu takes all    reclaimMu, when the    or a helper pops one
//	                                     grace period is over
//
// Nothing is disposed of early: only ripenLocked makes sheaves ripe, and its
// callers saw the end of the batch's grace period. The batch's cookie is the
// youngest of its sheaves', or was made after they were taken off pending, and so
// after the cookies of them all.
//
// Nothing is disposed of twice, or lost: a sheaf is in one of the four places, or
// in the hands of the goroutine that took it from there.
//
// Barrier misses nothing: a sheaf that someone has in hand is in none of the places
// where Barrier looks. So helpers count themselves in helping before they pop one,
// and so does the service, which needs no reclaimMu then; Barrier empties ripe, and
// waits until none is counted (awaitHelpers). Nothing becomes ripe until then,
// because Barrier holds reclaimMu. It waits for a few sheaves: those who are
// counted don't wait but for mu.
//
// Nothing is left lying: what a helper collected or made ripe is on no queue that
// hasWork sees. Before the helper unlocks reclaimMu it sets unfinished, which
// hasWork reads, and it offers the cache to the service afterwards. The service
// clears reclaiming and then calls hasWork; so one sees the other
// (ord:wake-reclaim). A holder of reclaimMu who is about to dispose of it all clears
// unfinished. The service leaves a batch in collected while it waits for its grace
// period. If it finds the mutex taken afterwards, the holder is Barrier, which
// disposes of the batch, or a helper, which offers the cache again.
//
// Race and poison builds don't help: what is recorded about an object that is
// reclaimed would order the helper's caller after the object's earlier users.

const (
	// helpOwn of a cache's objects in closed sheaves are where helping begins: half
	// of what the depot has room for (depotBytes), on however many Ps. With 64 bytes
	// to an object a grace period costs as much as some hundred of the 32 Ki
	// objects. Four times more, or a quarter, was slower.
	helpOwn = 2 << 20
	// helpBytes of all caches are where helping begins for every cache: little for
	// a process that frees this fast. It is no part of the memory that the process
	// may use: an allocator with a small limit never has so much pending, and
	// page.AutoLimit reads files, which FreeRCU may not. Untuned.
	helpBytes = 32 << 20
	// helpSheaves is how many sheaves a helper hands over at most. It adds one;
	// others may be partly filled.
	helpSheaves = 4
	// yieldFor is how long a helper yields, in ns. Untuned.
	yieldFor = 50_000
	// ripeMost is how many sheaves become ripe at a time: each link to the next one
	// may be a cache miss.
	ripeMost = 64

	helps = !race.Enabled && !poisonOn

	// noHelpers keeps helpers out: helping is negative with it, however many come.
	noHelpers = -1 << 30
)

// muchPending reports whether FreeRCU helps.
//
//go:norace
func (c *cache) muchPending() bool {
	return c.pendingObjects.Load()*int64(c.size) >= helpOwn || service.pending.Load() >= helpBytes // ord:hint
}

// help hands over sheaves whose grace period is over. The caller closed one and
// holds nothing.
//
// Context: any. It does nothing in a raw atomic context.
func (c *cache) help() {
	if preempt.Atomic() {
		return
	}
	any, until := c.handOverSome()
	if !any && until != 0 && yieldUntil(until) {
		any, _ = c.handOverSome()
	}
	if any {
		c.memoryCame()
		c.checkDepot()
	}
}

// handOverSome hands over up to helpSheaves sheaves. If there were none it returns
// the grace period that the next ones wait for, or 0 if Barrier has them.
func (c *cache) handOverSome() (any bool, until rcu.Cookie) {
	if until = c.inVain(); until != 0 {
		return false, until
	}
	if !c.beginHelp() {
		return false, 0
	}
	defer c.endHelp()
	c.here().counts.helps.Add(1) // ord:stat
	for range helpSheaves {
		g, n := c.popRipe()
		if n == 0 {
			ripened := false
			if ripened, until = c.tryRipen(); ripened {
				g, n = c.popRipe()
			}
		}
		if n == 0 {
			break
		}
		fault.Delay("help")
		any = true
		c.handOver(g, n)
	}
	return any, until
}

// inVain returns the grace period that the next sheaves wait for, if it is known not to
// be over and no sheaf is ripe, and else 0. It only loads: on many Ps a grace period
// lasts longer than it takes to fill a sheaf, and then most calls come in vain.
//
//go:norace
func (c *cache) inVain() (until rcu.Cookie) {
	race.Disable()
	until = rcu.Cookie(c.ripensAt.Load()) // ord:hint
	if until != 0 && (rcu.Poll(until) || c.anyOf(ripeOf)) {
		until = 0
	}
	race.Enable()
	return until
}

// yieldUntil lets other goroutines run until the grace period of until is over,
// which it reports, or for yieldFor. Where that was in vain a moment ago, it does
// nothing until a quarter more is pending.
func yieldUntil(until rcu.Cookie) bool {
	pending := service.pending.Load()                                          // ord:hint
	if vain := service.vain.Load(); vain <= pending && pending < vain+vain/4 { // ord:hint
		return false
	}
	for begin := sys.Nanotime(); ; {
		runtime.Gosched()
		if rcu.Poll(until) {
			service.vain.Store(0) // ord:hint
			return true
		}
		if sys.Nanotime()-begin >= yieldFor {
			break
		}
	}
	service.vain.Store(pending) // ord:hint
	return false
}

// beginHelp counts the caller as one that takes sheaves off ripe or out of the
// depot, until endHelp. It returns false if Barrier waits for those to end.
//
//go:norace
func (c *cache) beginHelp() (ok bool) {
	race.Disable()
	if ok = c.helping.Load() >= 0; ok { // ord:help
		if ok = c.helping.Add(1) > 0; !ok { // ord:help
			c.helping.Add(-1) // ord:help
		}
	}
	race.Enable()
	return ok
}

//go:norace
func (c *cache) endHelp() {
	race.Disable()
	c.helping.Add(-1) // ord:help
	race.Enable()
}

// popRipe takes a sheaf whose grace period is over, with its group, from the caller's
// group if there is one. It returns 0 if there is none.
func (c *cache) popRipe() (g *group, n num) {
	own := c.here()
	for g = own; ; {
		if n = g.ripe.pop(c); n != 0 {
			return g, n
		}
		if g = c.around(g); g == own {
			return g, 0
		}
	}
}

// handOver puts a sheaf of the group whose grace period is over into the depot.
//
//go:norace
func (c *cache) handOver(g *group, n num) {
	s := c.sheaf(n)
	c.uncount(g, s)
	if c.onReclaim != nil {
		c.onReclaim(s.objects())
	}
	g.counts.reused.Add(uint64(s.n)) // ord:stat
	g.counts.helped.Add(uint64(s.n)) // ord:stat
	c.admits(g)                      // or it is trimmed afterwards
	g.pushFull(c, n)
}

// tryRipen makes sheaves ripe, and reports whether it made any. Where the grace
// period is not over, or nothing was collected yet, it asks for the next one, and
// returns the one that they wait for.
func (c *cache) tryRipen() (any bool, until rcu.Cookie) {
	if !c.reclaimMu.TryLock() {
		return false, rcu.StartPoll() // its holder may be waiting for an earlier one
	}
	b := &c.collected
	switch {
	case b.youngest == 0:
		if c.batchPendingLocked() {
			fault.Delay("cookie")
			b.youngest = rcu.StartPoll()         // after the cookies of them all; ord:cookie
			c.ripensAt.Store(uint64(b.youngest)) // ord:hint
		}
	case rcu.Poll(b.youngest):
		any = c.ripenLocked(ripeMost)
	default:
		rcu.StartPoll()                      // the goroutine that collected may not be waiting yet
		c.ripensAt.Store(uint64(b.youngest)) // ord:hint
	}
	until = b.youngest
	if any || until != 0 {
		c.unfinished.Store(true) // ord:wake-reclaim
	}
	fault.Delay("wake-reclaim")
	c.reclaimMu.Unlock()
	return any, until
}

// ripenLocked puts up to most of the collected sheaves, whose grace period is
// over, where helpers find them. It returns false if there were none. reclaimMu
// is held.
func (c *cache) ripenLocked(most int32) (any bool) {
	left := false
	own := c.here()
	for g := own; ; {
		n := c.ripenGroupLocked(g, most)
		most -= n
		any = any || n > 0
		left = left || g.batched != 0
		if g = c.around(g); g == own {
			break
		}
	}
	if any && !left && c.collected.slabs == 0 {
		c.collected = batch{}
	}
	return any
}

// ripenGroupLocked is ripenLocked for the sheaves of a group, and returns how many
// became ripe.
func (c *cache) ripenGroupLocked(g *group, most int32) (count int32) {
	first := g.batched
	if first == 0 || most == 0 {
		return 0
	}
	last, count := first, int32(1)
	next := c.sheaf(last).link() // ord:stack
	for ; next != 0 && count < most; count++ {
		last, next = next, c.sheaf(next).link() // ord:stack
	}
	g.batched = next
	g.ripe.pushList(c, first, last, count)
	return count
}

// batchPendingLocked moves what is pending to the batch, and reports whether there
// was any. reclaimMu is held.
func (c *cache) batchPendingLocked() (any bool) {
	for g := &c.first; g != nil; g = c.after(g) {
		if g.batched = g.pending.takeAll(); g.batched != 0 {
			any = true
		}
	}
	return any
}

// ripenAllLocked makes all ripe that was collected, for a caller that disposes of
// it. reclaimMu is held.
func (c *cache) ripenAllLocked() {
	c.unfinished.Store(false) // ord:wake-reclaim
	c.ripenLocked(math.MaxInt32)
}

// awaitHelpers returns when no helper has a sheaf in hand that it popped before.
// reclaimMu is held, so there is one caller at a time, and nothing becomes ripe.
func (c *cache) awaitHelpers() {
	c.helping.Add(noHelpers)                         // ord:help
	for i := 0; c.helping.Load() != noHelpers; i++ { // ord:help
		sys.RelaxUnpinned(i)
	}
	c.helping.Add(-noHelpers) // ord:help
}
