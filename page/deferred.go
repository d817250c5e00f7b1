package page

import (
	"quiesce/internal/fault"
	"quiesce/internal/pages"
	"quiesce/internal/race"
)

// Deferred frees: blocks that came back where the zone lock could not be
// taken. The stack's head and its length are in Allocator.

// drain moves the deferred frees into the buddy. Zone lock held.
func (a *Allocator) drain() {
	if a.deferred.Load() == 0 { // ord:defer
		return
	}
	var n int64
	for page := a.deferred.Swap(0); page != 0; { // ord:defer
		m := a.meta(page)
		next, order := m.Link, pages.Order(m.Read())
		a.put(page, order, 1<<order)
		n += 1 << order
		page = next
	}
	a.deferredPages.Add(-n) // ord:stat
}

// deferBound is the number of deferred pages above which a goroutine is
// started that drains them; below, the next allocation does. 4 MiB, untuned.
const deferBound = 1024

// pushDeferred pushes a chain of cached blocks, linked from first to last by
// Meta.next, on the stack of deferred frees. Any context: the loop repeats
// only when somebody else's push succeeded. Pushes and one take-all that
// empties the stack have no ABA problem: a push depends on nothing but the
// head's value, which it makes its link.
//
//go:norace
func (a *Allocator) pushDeferred(first, last uint32, pages int64) {
	race.Disable() // freeing pages orders nothing but their next owners
	for {
		head := a.deferred.Load() // ord:defer
		fault.Delay("defer")
		a.meta(last).Link = head
		if a.deferred.CompareAndSwap(head, first) { // ord:defer
			break
		}
	}
	start := a.deferredPages.Add(pages) > deferBound && a.draining.CompareAndSwap(false, true) // ord:wake-zone
	race.Enable()
	if start {
		go a.drainLoop()
	}
}

// drainLoop ends when the stack is short. There is one at most.
func (a *Allocator) drainLoop() {
	for {
		a.zone.lock.LockIRQ()
		a.drain()
		a.zone.lock.UnlockIRQ()
		a.draining.Store(false) // ord:wake-zone
		fault.Delay("wake-zone")
		if a.deferredPages.Load() <= deferBound || !a.draining.CompareAndSwap(false, true) { // ord:wake-zone
			return
		}
	}
}
