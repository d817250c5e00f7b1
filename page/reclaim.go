package page

import (
	"log/slog"
	"time"

	"quiesce/gfp"
	"quiesce/internal/stall"
	"quiesce/internal/sys"
)

// A Reclaimer frees cached memory when an allocator has none left.
//
// A gfp.Kernel allocation that finds no memory calls Reclaim, on its own
// goroutine, not pinned and with no lock of this package held. Reclaim should
// expedite grace periods, free what it can towards need bytes, and return. It
// must not allocate with gfp.Kernel from the same allocator, nor wait for a
// lock under which another goroutine does: lockdep reports both. Several
// goroutines may call it at a time, and its time counts towards
// [Config].ReclaimTimeout.
//
// Implementations must be comparable; use pointers. If a Reclaimer is also a
// [fmt.Stringer], errors name it.
//
// Linux: shrinker.
type Reclaimer interface {
	Reclaim(need int64)
}

// reclaimOnce asks for memory once: the Reclaimers, then the Ps' lists. Context:
// task; not pinned, no locks held.
func (a *Allocator) reclaimOnce(need int64) {
	a.count.reclaims.Add(1) // ord:stat
	a.askReclaimers(need)
	a.flushLists()
}

func (a *Allocator) askReclaimers(need int64) {
	done := a.beginReclaim()
	defer done()
	for r := range a.registered() {
		r.Reclaim(need)
	}
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
	if page == 0 && f.CanSleep() {
		page = a.reclaim(order, f)
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

// Pauses between two rounds of reclaim, in ns. Untuned.
const (
	firstPause = 50_000
	lastPause  = 1_000_000
)

// reclaim tries to get memory until the timeout: from all Ps' lists, from the
// Reclaimers, and by waiting for other goroutines to free some. Context: task;
// not pinned, no locks held.
func (a *Allocator) reclaim(order int, f gfp.Flags) uint32 {
	need := int64(Size) << order
	least := int64(sectionMeta)<<a.group + Size<<a.granule
	if a.limit > 0 && !f.CanReserve() && need > a.limit-a.watermark-least || need > a.limit-least && a.limit > 0 {
		return 0 // waiting can't help
	}
	deadline := sys.Nanotime() + int64(a.core.Timeout)
	for pause := int64(firstPause); ; pause = min(2*pause, lastPause) {
		a.count.reclaims.Add(1) // ord:stat
		if n, _, _ := a.listed(); n > 0 {
			a.flushLists()
			if page := a.allocZone(order, 1, f); page != 0 {
				return page
			}
		}
		a.askReclaimers(need)
		if n, _, _ := a.listed(); n > 0 {
			a.flushLists() // Reclaimers free to this P's list
		}
		if page := a.allocZone(order, 1, f); page != 0 {
			return page
		}
		left := deadline - sys.Nanotime()
		if left <= 0 || a.closed.Load() { // ord:gate
			return 0
		}
		sys.Sleep(min(pause, left))
	}
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
	go func() {
		slog.Warn("page: allocation failed", append([]any{"allocator", a.name, "order", order, "flags", f.String(),
			"resident", a.zone.resident.Load(), "limit", a.limit, "range", a.core.Size}, // ord:stat
			stall.Attrs()...)...)
	}()
}
