package page

import (
	"log/slog"
	"slices"
	"time"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// Reclaimer gives cached memory back when there is none left: the kernel's
// shrinker. Reclaim is called unpinned and without locks of this package held,
// by the goroutine that needs the memory, when a gfp.Kernel allocation finds
// none. It should hurry grace periods, free what it can towards need bytes and
// return; it must not allocate with gfp.Kernel from the same allocator, nor wait
// for a lock under which others do: lockdep reports both. It
// may be called by several goroutines at a time, and its time counts towards
// the ReclaimTimeout. Implementations are pointers.
type Reclaimer interface {
	Reclaim(need int64)
}

// AddReclaimer adds r to those that are asked for memory. Unpinned.
func (a *Allocator) AddReclaimer(r Reclaimer) {
	a.reclaimMu.Lock()
	defer a.reclaimMu.Unlock()
	rs := append(slices.Clone(a.reclaimersNow()), r)
	a.reclaimers.Store(&rs) // ord:publish
}

// RemoveReclaimer removes r; calls of it that have begun may still run.
// Unpinned.
func (a *Allocator) RemoveReclaimer(r Reclaimer) {
	a.reclaimMu.Lock()
	defer a.reclaimMu.Unlock()
	rs := slices.Clone(a.reclaimersNow())
	if i := slices.Index(rs, r); i >= 0 {
		rs = slices.Delete(rs, i, i+1)
	}
	a.reclaimers.Store(&rs) // ord:publish
}

func (a *Allocator) reclaimersNow() []Reclaimer {
	if rs := a.reclaimers.Load(); rs != nil { // ord:publish
		return *rs
	}
	return nil
}

// reclaimOnce asks all parties for memory once: the reclaimers, then the Ps'
// lists. Unpinned, no locks held.
func (a *Allocator) reclaimOnce(need int64) {
	a.count.reclaims.Add(1) // ord:stat
	a.askReclaimers(need)
	a.flushLists()
}

func (a *Allocator) askReclaimers(need int64) {
	defer a.reclaims()()
	for _, r := range a.reclaimersNow() {
		r.Reclaim(need)
	}
}

// allocSlow is Alloc without the lists.
func (a *Allocator) allocSlow(order int, f gfp.Flags) uint32 {
	if !f.CanLock() {
		race.Disable()
		a.count.refusals.Add(1) // ord:stat
		race.Enable()
		a.warn(order, f)
		return 0
	}
	if f.CanSleep() {
		f = a.notSleeping(f)
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
	n := a.take(order, want, f, &blocks)
	if n == 0 {
		return 0
	}
	a.meta(blocks[0]).Set(pages.InUse, order, 0)
	if n == 1 {
		return blocks[0]
	}
	for _, page := range blocks[1:n] {
		a.meta(page).Set(pages.Cached, order, 0)
	}
	for _, page := range a.stock(blocks[1:n], order) { // no room: we may be on another P by now
		a.pushDeferred(page, page, 1<<order)
	}
	return blocks[0]
}

// Pauses between two rounds of reclaim, in ns. Untuned.
const (
	firstPause = 50_000
	lastPause  = 1_000_000
)

// reclaim looks for memory until the timeout: on all Ps' lists, with the
// reclaimers, and by waiting for others to free some. Unpinned, no locks held.
func (a *Allocator) reclaim(order int, f gfp.Flags) uint32 {
	need := int64(Size) << order
	least := int64(sectionMeta+Size) << a.granule
	if a.limit > 0 && !f.CanReserve() && need > a.limit-a.mark-least || need > a.limit-least && a.limit > 0 {
		return 0 // no wait will help
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
			a.flushLists() // reclaimers free to this P's list
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

// warnEvery is the time between two warnings about failures, in ns.
const warnEvery = int64(10 * time.Second)

// warn logs a failure, from a goroutine of its own because the caller may be
// pinned. Any context.
func (a *Allocator) warn(order int, f gfp.Flags) {
	if !f.Warns() {
		return
	}
	now := sys.Nanotime()
	last := a.warned.Load()                                                       // ord:hint
	if last != 0 && now-last < warnEvery || !a.warned.CompareAndSwap(last, now) { // ord:hint
		return
	}
	go slog.Warn("quiesce: page allocation failure", "allocator", a.name, "order", order, "flags", f.String(),
		"resident", a.zone.resident.Load(), "limit", a.limit) // ord:stat
}
