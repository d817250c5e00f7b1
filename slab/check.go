package slab

import (
	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/preempt"
)

// What the caches tell lockdep besides their locks.

// mightAlloc checks, in builds with -tags lockdep, what an allocation may do
// by its flags, whether it does it this time or not. The kernel's might_alloc.
func (c *cache) mightAlloc(f gfp.Flags) {
	if depcheck.Enabled() {
		c.pages.MightAlloc(f)
		if f.CanLock() {
			c.mu.MightLockIRQ()
		}
	}
}

// notSleeping reports a request that may wait, in a raw atomic context: lockdep
// does, and then the request is one that does not wait; without lockdep it is
// the end.
func (c *cache) notSleeping(f gfp.Flags) gfp.Flags {
	if depcheck.Enabled() {
		depcheck.MightSleep(0, "slab: allocation with gfp.Kernel")
		c.pages.MightReclaim()
	}
	if !preempt.Atomic() {
		return f
	}
	if !depcheck.Enabled() {
		panic("quiesce: slab: gfp.Kernel allocation in a raw atomic context, where nothing may sleep, cache " + c.name)
	}
	return f &^ gfp.Kernel
}

func mightWait(what string) {
	if depcheck.Enabled() {
		depcheck.MightSleep(0, what)
	}
}
