package page

import (
	"log/slog"
	"time"

	"quiesce/gfp"
	"quiesce/internal/stall"
	"quiesce/internal/sys"
)

// A Reclaimer frees cached memory when an allocator has none left, or soon will
// have none.
//
// A gfp.Kernel allocation calls Reclaim, on its own goroutine, not pinned and
// with no lock of this package held: one that finds no memory, and from a Limit of
// 4 MiB up one that leaves little, so that the next ones need not wait.
// [FollowMemoryLimit] calls it too, when the limit falls. Reclaim
// should free about need bytes, by FreeRCU as well, and return; if several
// Reclaimers are registered each is asked for its share. It is asked for what is
// missing beyond what is cached or waits for a grace period, so what it frees
// may be what the program would rather keep. It must not allocate with gfp.Kernel from the
// same allocator, nor wait for a lock under which another goroutine does:
// lockdep reports both. One goroutine calls it at a time. Others that wait for
// memory keep their own time while it runs.
//
// Implementations must be comparable; use pointers. If a Reclaimer is also a
// [fmt.Stringer], errors name it.
//
// Linux: shrinker.
type Reclaimer interface {
	Reclaim(need int64)
}

// allocOrReclaim is Alloc past the lists: from the zone, and for gfp.Kernel with
// reclaim. Linux: __alloc_pages_slowpath.
func (a *Allocator) allocOrReclaim(order int, f gfp.Flags) uint32 {
	if !f.CanLock() {
		return a.allocTry(order, f)
	}
	if f.CanSleep() {
		f = a.checkMaySleep(f)
	}
	want := 1
	if order < listOrders {
		want = int(a.batch[order])
	}
	page := a.allocZone(order, want, f)
	a.ranLow(int64(want)*Size<<order, f.CanSleep())
	switch {
	case page != 0:
	case f.CanSleep():
		a.wait(nil, order, Size<<order, func() bool {
			page = a.allocZone(order, 1, f)
			return page != 0
		})
	case a.takeGone():
		page = a.allocZone(order, want, f)
	}
	if page == 0 {
		a.count.failures.Add(1) // ord:stat
		a.warn(order, f)
		return 0
	}
	a.count.allocs.Add(1) // ord:stat
	return page
}

// allocZone takes up to want blocks out of the buddy, returns the first and
// puts the others on this P's list. It takes the zone lock.
func (a *Allocator) allocZone(order, want int, f gfp.Flags) uint32 {
	var blocks [maxBatch]uint32
	n := a.allocBlocks(order, want, f, &blocks)
	if n == 0 {
		return 0
	}
	return a.handOut(blocks[:n], order)
}

// warnEvery is the least time between two warnings about failures, in ns.
const warnEvery = int64(10 * time.Second)

// warn logs a failure, on a goroutine of its own because the caller may be
// pinned. Context: any.
func (a *Allocator) warn(order int, f gfp.Flags) {
	if !f.Warns() {
		return
	}
	now := sys.Nanotime()
	last := a.warned.Load()                                                       // ord:hint
	if last != 0 && now-last < warnEvery || !a.warned.CompareAndSwap(last, now) { // ord:hint
		return
	}
	sys.Go(func() {
		slog.Warn("page: allocation failed", append([]any{"allocator", a.name, "order", order, "flags", f.String(),
			"resident", a.zone.resident.Load(), "limit", a.limitNow(), "range", a.core.Size}, // ord:stat
			stall.Attrs()...)...)
	})
}
