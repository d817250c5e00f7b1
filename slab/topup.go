package slab

import (
	"runtime"
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/race"
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
)

// requestTopUp has empty sheaves made, because a slow path found few in the
// depot. With the sheaves that are left, or pages from this P's list, the slow
// paths may last until they are there, and the fallback chain stays empty.
//
// Context: any.
func (c *cache) requestTopUp() {
	race.Disable()
	c.topUpWanted.Store(true) // ord:wake-topup
	race.Enable()
	c.startTopUp(&c.toppingUp)
}

// startTopUp starts a goroutine that tops up, unless the one that running
// guards is under way.
func (c *cache) startTopUp(running *atomic.Bool) bool {
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

// topUpFromWorker is called by the reclaim worker between two sheaves. The
// goroutine of requestTopUp may have no P to run on while worker and flooder
// have them, so the worker yields its P to one of its own. It does not allocate
// itself: freeing must not wait for the allocator's locks.
func (c *cache) topUpFromWorker() {
	if c.topUpWanted.Load() && c.startTopUp(&c.toppingUpForWorker) { // ord:wake-topup
		runtime.Gosched()
	}
}

// topUp makes empty sheaves if they are wanted, more each time, until the
// reclaim worker ends.
func (c *cache) topUp() bool {
	if !c.topUpWanted.Load() || !c.topUpWanted.Swap(false) { // ord:wake-topup
		return false
	}
	want := min(max(topUpFirst, c.topUpSize.Load()*4), topUpMost) // ord:hint
	c.topUpSize.Store(want)                                       // ord:hint
	for range want {
		n := c.newSheaf(c.pages.Alloc(0, gfp.NoWait|gfp.NoWarn|pages.Unseen))
		if n == 0 {
			return false
		}
		c.empty.push(c, n)
	}
	return true
}

// endTopUp frees the empty sheaves that top-ups made, except emptyKeep: the
// reclaim worker ends.
func (c *cache) endTopUp() {
	c.topUpSize.Store(0) // ord:hint
	c.dropEmptySheaves(emptyKeep)
}

// dropEmptySheaves frees the depot's empty sheaves beyond keep. It is bounded
// by what is there now: others may add more all the while.
func (c *cache) dropEmptySheaves(keep int32) {
	for range c.empty.n.Load() - keep { // ord:hint
		n := c.empty.pop(c)
		if n == 0 {
			return
		}
		c.dropSheaf(n)
	}
}
