package slab

import (
	"runtime"
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/pages"
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
)

// topUps are the caches that want empty sheaves: topUpWanted is set. One
// goroutine makes them, and for a moment a second one: topUpFromWorker.
var topUps struct {
	queue
	running, runningForWorker atomic.Bool
}

// requestTopUp has empty sheaves made, because a slow path found few in the
// depot. With the sheaves that are left, or pages from this P's list, the slow
// paths may last until they are there, and the fallback chain stays empty.
//
// Context: any.
func (c *cache) requestTopUp() {
	if claim(&c.topUpWanted) { // ord:wake-topup
		c.hold()
		topUps.push(c)
	}
	startTopUp()
}

func startTopUp() {
	if claim(&topUps.running) { // ord:wake-topup
		sys.Go(func() { makeSheaves(&topUps.running) })
	}
}

// topUpFromWorker is called by the reclaimer between two sheaves. The goroutine
// of requestTopUp may have no P to run on while service and flooder have them,
// so the reclaimer yields its P to another one. It does not allocate itself:
// freeing must not wait for the allocator's locks.
func (c *cache) topUpFromWorker() {
	if c.topUpWanted.Load() && claim(&topUps.runningForWorker) { // ord:wake-topup
		sys.Go(func() { makeSheaves(&topUps.runningForWorker) })
		runtime.Gosched()
	}
}

// makeSheaves makes empty sheaves for the caches that want them, until none
// does.
func makeSheaves(running *atomic.Bool) {
	for {
		for cs := topUps.takeAll(nil); len(cs) > 0; cs = topUps.takeAll(cs[:0]) {
			for _, c := range cs {
				c.topUpWanted.Store(false) // ord:wake-topup
				if !c.closed.Load() {      // ord:closed
					c.topUp()
				}
				c.release()
			}
		}
		running.Store(false)                                        // ord:wake-topup
		if topUps.empty() || !running.CompareAndSwap(false, true) { // ord:wake-topup
			return
		}
	}
}

// topUp makes empty sheaves, more each time, until the cache's reclaim ends.
func (c *cache) topUp() {
	want := min(max(topUpFirst, c.topUpSize.Load()*4), topUpMost) // ord:hint
	c.topUpSize.Store(want)                                       // ord:hint
	for range want {
		n := c.newSheaf(c.pages.Alloc(0, gfp.NoWait|gfp.NoWarn|pages.Unseen))
		if n == 0 {
			return
		}
		c.empty.push(c, n)
	}
}

// endTopUp frees the empty sheaves that top-ups made, except emptyKeep: the
// cache has nothing more to reclaim.
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
