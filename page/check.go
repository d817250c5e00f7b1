package page

import (
	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/preempt"
)

// What the allocator tells lockdep besides its locks.

// mightAlloc checks, while lockdep is on, what an allocation may do by its
// flags, whether it does it this time or not: for Alloc in builds with -tags
// lockdep, and for packages whose allocations end here. Any context. The
// kernel's might_alloc.
func (a *Allocator) mightAlloc(f gfp.Flags) {
	if !depcheck.Enabled() {
		return
	}
	if f.CanSleep() {
		depcheck.MightSleep(0, "page: allocation with gfp.Kernel")
		a.mightReclaim()
	}
	if f.CanLock() {
		a.zone.lock.MightLockIRQ()
	}
}

// notSleeping reports a request that may wait, in a raw atomic context: lockdep
// does, and then the request is one that does not wait; without lockdep it is
// the end.
func (a *Allocator) notSleeping(f gfp.Flags) gfp.Flags {
	if depcheck.Enabled() {
		depcheck.MightSleep(0, "page: allocation with gfp.Kernel")
		a.mightReclaim()
	}
	if !preempt.Atomic() {
		return f
	}
	if !depcheck.Enabled() {
		panic("quiesce: allocator " + a.name + ": gfp.Kernel allocation in a raw atomic context, where nothing may sleep")
	}
	return f &^ gfp.Kernel
}

// reclaimType is the type of Allocator.reclaiming, which is no lock but takes
// part in orders like one. It is taken, exclusively, while Reclaimers run, and
// taken and released by whoever may have to call them, whether he does or not.
// So a lock that is held over a gfp.Kernel allocation comes before it, one that
// a Reclaimer takes comes behind it, and a lock that is both closes a circle: its
// holder would wait for itself once memory is short. A Reclaimer's own
// gfp.Kernel allocation is a recursion. The kernel's __fs_reclaim_map.
var reclaimType = depcheck.Type{Name: "page.reclaim"}

// reclaims begins what reclaiming stands for, and returns its end.
func (a *Allocator) reclaims() (end func()) {
	if !depcheck.Enabled() {
		return func() {}
	}
	a.reclaiming.Acquire(&reclaimType, depcheck.Exclusive)
	a.reclaiming.Acquired()
	return func() { a.reclaiming.Release(true) }
}

// mightReclaim is for packages that call Reclaim on an allocation's behalf: it
// says, while lockdep is on, that the caller may. The kernel's
// fs_reclaim_acquire and fs_reclaim_release.
func (a *Allocator) mightReclaim() {
	if depcheck.Enabled() {
		a.reclaiming.Might(&reclaimType, depcheck.Exclusive, false)
	}
}

// growing marks that the grow lock, which sleeps, is taken for a request that
// must not: under a lock.Spin, say. That happens only where the goroutine is
// not pinned, which with preempt_rt=0 means that no spin lock is held, and with
// preempt_rt=1 that it may park under one. lockdep sees the locks alone and
// can't know.
var growing struct {
	depcheck.Map
	ty depcheck.Type
}

func init() {
	growing.ty = depcheck.Type{Name: "page.growing", Inner: depcheck.WaitSleep, Kind: depcheck.WaitOverride}
	growing.Init("page.growing")
}

// mayGrow begins what growing marks, and returns its end.
func mayGrow() (end func()) {
	if !depcheck.Enabled() {
		return func() {}
	}
	return growing.Annotate(&growing.ty)
}
