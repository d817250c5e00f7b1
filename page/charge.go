package page

import "quiesce/gfp"

// Memory outside of the range that counts against the limit: package slab's guard
// pages. It is in Stats.InUse, and Close reports it as pages in use.

// charge counts bytes that are about to be populated elsewhere. It returns false if
// there is no room below the limit for an allocation without gfp.Atomic, and waits
// for none. What is free and has memory gives way.
//
// Context: task; not pinned.
func (a *Allocator) charge(bytes int64) bool {
	a.findLimit()
	for last := false; ; last = true {
		a.lockMerged()
		if a.closed.Load() || !a.roomLocked(bytes, gfp.NoWait) { // ord:gate
			a.zone.lock.UnlockIRQ()
			return false
		}
		shortfall := a.chargeLocked(bytes)
		if shortfall == 0 {
			a.zone.charged.Add(bytes) // ord:zone
		}
		a.zone.lock.UnlockIRQ()
		if shortfall == 0 || last {
			return shortfall == 0
		}
		a.returnSome(shortfall)
	}
}

// uncharge uncounts bytes of charge's that have no memory any more.
//
// Context: task; not pinned.
func (a *Allocator) uncharge(bytes int64) {
	a.zone.lock.LockIRQ()
	a.zone.charged.Add(-bytes) // ord:zone
	a.unchargeLocked(bytes)
	a.zone.lock.UnlockIRQ()
	a.wakeAfterFree()
}
