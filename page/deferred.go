package page

import (
	"quiesce/internal/fault"
	"quiesce/internal/pages"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// Deferred frees: blocks that were freed where the zone lock could not be
// taken. The stack's head and its length are in Allocator.

// mergeBatch is how many deferred blocks one hold of the zone lock merges: at
// some 50 ns each a few microseconds.
const mergeBatch = 64

// mergeDeferredLocked moves up to mergeBatch deferred frees into the buddy, and
// reports whether there are more. What was taken off the stack and not merged
// yet is at zone.rest. The lock is the zone's.
func (a *Allocator) mergeDeferredLocked() (more bool) {
	z := &a.zone
	if z.rest == 0 {
		if a.deferred.Load() == 0 { // ord:defer
			return false
		}
		z.rest = a.deferred.Swap(0) // ord:defer
	}
	var n int64
	page := z.rest
	for range mergeBatch {
		if page == 0 {
			break
		}
		m := a.meta(page)
		next, order := m.Link, pages.Order(m.Read())
		a.freeBlockLocked(page, order, 1<<order)
		n += 1 << order
		page = next
	}
	z.rest = page
	a.deferredPages.Add(-n)                    // ord:stat
	return page != 0 || a.deferred.Load() != 0 // ord:defer
}

// lockMerged takes the zone lock, and merges in holds of one batch each what was
// deferred before the call.
func (a *Allocator) lockMerged() {
	left := a.deferredPages.Load() / mergeBatch // blocks are at least a page; ord:stat
	for {
		a.zone.lock.LockIRQ()
		if !a.mergeDeferredLocked() || left < 0 {
			return
		}
		left--
		a.zone.lock.UnlockIRQ()
	}
}

// deferBound is the number of deferred pages above which a goroutine starts
// that merges them; below it the next allocation does. 4 MiB, untuned.
const deferBound = 1024

// pushDeferred pushes a chain of n pages of cached blocks, linked from first to
// last by Meta.Link, on the stack of deferred frees, and wakes whom that concerns.
// Context: any.
func (a *Allocator) pushDeferred(first, last uint32, n int64) {
	a.pushDeferredQuietly(first, last, n)
	a.wakeAfterFree()
}

// pushDeferredQuietly is pushDeferred without wakeAfterFree. The loop repeats
// only if another push succeeded. Pushes, and one take-all that empties the
// stack, have no ABA problem: a push depends on nothing but the head's value,
// which becomes its link.
//
//go:norace
func (a *Allocator) pushDeferredQuietly(first, last uint32, n int64) {
	race.Disable() // freeing pages orders only their next owners
	for {
		head := a.deferred.Load() // ord:defer
		fault.Delay("defer")
		a.meta(last).Link = head
		if a.deferred.CompareAndSwap(head, first) { // ord:defer
			break
		}
	}
	a.deferredPages.Add(n) // ord:wake-zone
	race.Enable()
}

// wakeAfterFree follows pushDeferredQuietly, at once or after the release of a
// lock: it starts the goroutines that have something to do now, and has a waiter
// try again. Context: any. A start or a wake-up may be a system call.
//
//go:norace
func (a *Allocator) wakeAfterFree() {
	race.Disable()
	start := a.deferredPages.Load() > deferBound && a.merging.CompareAndSwap(false, true) // ord:wake-zone
	waiters := a.core.Waiters.Load() > 0                                                  // ord:wait
	scavenge := a.claimScavenger()
	race.Enable()
	if scavenge {
		sys.Go(a.scavengeLoop)
	}
	if start {
		sys.Go(a.mergeLoop)
	}
	if waiters {
		a.memoryCame(nil)
	}
}

// mergeLoop merges deferred frees until the stack is short. At most one runs.
func (a *Allocator) mergeLoop() {
	for {
		a.lockMerged()
		a.zone.lock.UnlockIRQ()
		if a.claimScavenger() {
			sys.Go(a.scavengeLoop)
		}
		a.merging.Store(false) // ord:wake-zone
		fault.Delay("wake-zone")
		if a.deferredPages.Load() <= deferBound || !a.merging.CompareAndSwap(false, true) { // ord:wake-zone
			return
		}
	}
}
