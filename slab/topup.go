package slab

import (
	"runtime"
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// Topping up: empty sheaves are made before a flood of FreeRCU needs them.
// The slow paths, which may run pinned, cannot make them and request it; a
// goroutine does it.

// topUpFirst and topUpMost bound the empty sheaves that one top-up makes, four
// times as many each time. At 4 ns to an object 32 last for 128 µs, in which a
// goroutine can be started and make more.
const (
	topUpFirst = 32
	topUpMost  = 2048
	topUpSpare = 2
)

// couldFill is how many sheaves the objects of the cache's slabs could fill.
func (c *cache) couldFill() int32 {
	return int32(min(c.slabBytes.Load()/(int64(c.sheafCap)*int64(c.size)), 1<<20)) // ord:hint
}

// keptEmpty is how many empty sheaves stay in the depot of an idle cache.
func (c *cache) keptEmpty() int32 { return min(c.couldFill(), emptyKeep) }

// supplies are the caches that want sheaves, empty ones or full ones (stock.go):
// supplying is set. One goroutine makes them for all caches, and for a moment a
// second one: topUpFromWorker.
var supplies struct {
	queue
	running, runningForWorker atomic.Bool
}

// requestTopUp has empty sheaves made, because a slow path found few in the
// depot. With the sheaves that are left, or pages from this P's list, the slow
// paths may last until they are there, and the fallback chain stays empty.
//
// Context: any.
func (c *cache) requestTopUp() { c.requestSupply(&c.topUpWanted) }

// requestSupply sets the flag of what is wanted, which is nil for groups, and has it
// made.
//
//go:norace
func (c *cache) requestSupply(wanted *atomic.Bool) {
	race.Disable()
	if wanted != nil && !wanted.Load() { // ord:wake-supply
		wanted.Store(true) // ord:wake-supply
	}
	race.Enable()
	if claim(&c.supplying) { // ord:wake-supply
		c.hold()
		supplies.push(c)
	}
	startSupply()
}

func startSupply() {
	if claim(&supplies.running) { // ord:wake-supply
		sys.Go(func() { supply(&supplies.running) })
	}
}

// topUpFromWorker is called by the reclaimer between two sheaves. The goroutine
// of requestTopUp may have no P to run on while service and flooder have them,
// so the reclaimer yields its P to another one. It does not allocate itself:
// freeing must not wait for the allocator's locks.
func (c *cache) topUpFromWorker() {
	if c.topUpWanted.Load() && claim(&supplies.runningForWorker) { // ord:wake-supply
		sys.Go(func() { supply(&supplies.runningForWorker) })
		runtime.Gosched()
	}
}

// supply makes sheaves for the caches that want them, until none does.
func supply(running *atomic.Bool) {
	for {
		for cs := supplies.takeAll(nil); len(cs) > 0; cs = supplies.takeAll(cs[:0]) {
			for _, c := range cs {
				c.supplying.Store(false) // ord:wake-supply
				fault.Delay("wake-supply")
				if !c.closed.Load() { // ord:closed
					c.makeGroups()
					if c.topUpWanted.Swap(false) { // ord:wake-supply
						c.topUp()
					}
					if c.stock.wanted.Swap(false) { // ord:wake-supply
						c.fillStock()
					}
				}
				c.release()
			}
		}
		running.Store(false) // ord:wake-supply
		fault.Delay("wake-supply")
		if supplies.empty() || !running.CompareAndSwap(false, true) { // ord:wake-supply
			return
		}
	}
}

// topUp makes empty sheaves, more each time, until the cache's reclaim ends, but
// no more than the objects of its slabs could fill, and topUpSpare for what is
// allocated meanwhile.
func (c *cache) topUp() {
	want := min(max(topUpFirst, c.topUpSize.Load()*4), topUpMost) // ord:hint
	want = min(want, c.couldFill()+topUpSpare)
	c.topUpSize.Store(want) // ord:hint
	for g := &c.first; want > 0; g, want = c.around(g), want-1 {
		n := c.makeSheaf(gfp.NoWait | gfp.NoWarn)
		if n == 0 {
			return
		}
		g.pushEmpty(c, n)
	}
}

// endTopUp frees the empty sheaves that top-ups made, except emptyKeep: the
// cache has nothing more to reclaim.
func (c *cache) endTopUp() {
	c.topUpSize.Store(0) // ord:hint
	c.dropEmptySheaves(emptyKeep)
}

// dropEmptySheaves frees the depot's empty sheaves beyond keep, and all small ones
// of a cache that has grown. It is bounded by what is there now: others may add
// more all the while.
func (c *cache) dropEmptySheaves(keep int32) {
	c.dropEmptyOf(emptyOf, keep)
	if !c.isThrifty() {
		keep = 0
	}
	c.dropEmptyOf(emptySmallOf, keep)
}

func (c *cache) dropEmptyOf(of func(*group) *stack, keep int32) {
	for range c.sheaves(of) - keep {
		n := c.popOf(of)
		if n == 0 {
			return
		}
		c.dropSheaf(n)
	}
}
