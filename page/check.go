package page

import (
	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/preempt"
)

// What the allocator reports to lockdep apart from its locks.

// mightAlloc checks, while lockdep is on, what an allocation with these flags
// may do, whether or not this one does it: for Alloc in builds with -tags
// lockdep, and for packages whose allocations end here. Context: any. Linux:
// might_alloc.
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

// checkMaySleep checks a request that may wait. In a raw atomic context it
// panics; with lockdep on it reports that instead, and returns the flags
// without the permission to wait.
func (a *Allocator) checkMaySleep(f gfp.Flags) gfp.Flags {
	if depcheck.Enabled() {
		depcheck.MightSleep(0, "page: allocation with gfp.Kernel")
		a.mightReclaim()
	}
	if !preempt.Atomic() {
		return f
	}
	if !depcheck.Enabled() {
		panic("quiesce/page: allocator " + a.name + ": gfp.Kernel allocation in a raw atomic context, where nothing may sleep")
	}
	return f &^ gfp.Kernel
}

// reclaimType is the type of Allocator.reclaiming, which is not a lock but
// takes part in lock orders. It is held, exclusively, while Reclaimers run, and
// every allocation that might have to call them takes and releases it, whether
// or not it does. So a lock that is held over a gfp.Kernel allocation comes
// before it, a lock that a Reclaimer takes comes after it, and a lock that is
// both closes a circle: its holder would wait for itself once memory is short.
// A Reclaimer's own gfp.Kernel allocation is a recursion. Linux:
// __fs_reclaim_map.
var reclaimType = depcheck.Type{Name: "page.reclaim"}

// beginReclaim records that Reclaimers run from here on; done records their
// end.
func (a *Allocator) beginReclaim() (done func()) {
	if !depcheck.Enabled() {
		return func() {}
	}
	a.reclaiming.Acquire(&reclaimType, depcheck.Exclusive)
	a.reclaiming.Acquired()
	return func() { a.reclaiming.Release(true) }
}

// mightReclaim records, while lockdep is on, that the caller may call
// Reclaimers on an allocation's behalf. Linux: fs_reclaim_acquire,
// fs_reclaim_release.
func (a *Allocator) mightReclaim() {
	if depcheck.Enabled() {
		a.reclaiming.Might(&reclaimType, depcheck.Exclusive, false)
	}
}

// growing marks that the grow lock, which sleeps, is taken for a request that
// must not sleep: under a lock.Spin, say. That happens only if the goroutine is
// not pinned, which means with preempt_rt=0 that it holds no spin lock, and
// with preempt_rt=1 that it may park under one. lockdep, which sees only the
// locks, can't know that.
var growing struct {
	depcheck.Map
	ty depcheck.Type
}

func init() {
	growing.ty = depcheck.Type{Name: "page.growing", Inner: depcheck.WaitSleep, Kind: depcheck.WaitOverride}
	growing.Init("page.growing")
}

// beginGrow begins what growing marks; done ends it.
func beginGrow() (done func()) {
	if !depcheck.Enabled() {
		return func() {}
	}
	return growing.Annotate(&growing.ty)
}
