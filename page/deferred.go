package page

import (
	"quiesce/internal/fault"
	"quiesce/internal/pages"
	"quiesce/internal/race"
)

// Deferred frees: blocks that were freed where the zone lock could not be
// taken. The stack's head and its length are in Allocator.

// mergeDeferredLocked moves the deferred frees into the buddy. The lock is the
// zone's.
func (a *Allocator) mergeDeferredLocked() {
	if a.deferred.Load() == 0 { // ord:defer
		return
	}
	var n int64
	for page := a.deferred.Swap(0); page != 0; { // ord:defer
		m := a.meta(page)
		next, order := m.Link, pages.Order(m.Read())
		a.freeBlockLocked(page, order, 1<<order)
		n += 1 << order
		page = next
	}
	a.deferredPages.Add(-n) // ord:stat
}

// deferBound is the number of deferred pages above which a goroutine starts
// that merges them; below it the next allocation does. 4 MiB, untuned.
const deferBound = 1024

// pushDeferred pushes a chain of cached blocks, linked from first to last by
// Meta.Link, on the stack of deferred frees. Context: any. The loop repeats
// only if another push succeeded. Pushes, and one take-all that empties the
// stack, have no ABA problem: a push depends on nothing but the head's value,
// which becomes its link.
//
//go:norace
func (a *Allocator) pushDeferred(first, last uint32, n int64) {
	race.Disable() // freeing pages orders only their next owners
	for {
		head := a.deferred.Load() // ord:defer
		fault.Delay("defer")
		a.meta(last).Link = head
		if a.deferred.CompareAndSwap(head, first) { // ord:defer
			break
		}
	}
	start := a.deferredPages.Add(n) > deferBound && a.merging.CompareAndSwap(false, true) // ord:wake-zone
	race.Enable()
	if start {
		go a.mergeLoop()
	}
}

// mergeLoop merges deferred frees until the stack is short. At most one runs.
func (a *Allocator) mergeLoop() {
	for {
		a.zone.lock.LockIRQ()
		a.mergeDeferredLocked()
		a.zone.lock.UnlockIRQ()
		a.merging.Store(false) // ord:wake-zone
		fault.Delay("wake-zone")
		if a.deferredPages.Load() <= deferBound || !a.merging.CompareAndSwap(false, true) { // ord:wake-zone
			return
		}
	}
}
