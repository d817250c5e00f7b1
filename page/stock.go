package page

import (
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/pages"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// Allocations with gfp.NoLocks past this P's list. Such a request may be
// pinned: it can try the zone lock, which others hold for some microseconds at
// a time, and take what has memory already; populating takes a system call. So
// a request that is refused, or leaves little that has memory, has a goroutine
// populate free blocks of its order, and the next requests find them. Linux:
// alloc_pages_nolock, and the work that refills what it takes.

// stocking is the state of that goroutine.
type stocking struct {
	running atomic.Bool
	wanted  atomic.Uint32 // orders that were refused, a bit each
	pages   atomic.Int64  // what the last round made; 0 before the first
}

// stockFirst and stockMost bound the pages that a round populates, twice as
// many each time. 256 KiB and 4 MiB, untuned: a round of 4 MiB takes about a
// millisecond, in which one P allocates and writes that much.
const (
	stockFirst = 64
	stockMost  = 1024
)

// allocTry serves a request that must not wait for a lock. Context: any.
func (a *Allocator) allocTry(order int, f gfp.Flags) uint32 {
	// Hidden code (package race) must not take a lock that others take visibly.
	if f&pages.ListOnly == 0 && (!race.Enabled || f&pages.Unseen == 0) {
		if page := a.tryZone(order, f); page != 0 {
			return page
		}
		a.requestStock(order)
	}
	race.Disable()
	a.count.refusals.Add(1) // ord:stat
	race.Enable()
	a.warn(order, f)
	return 0
}

// tryZone takes a batch of blocks that have memory if the zone lock is free,
// returns the first, and puts the others on this P's list. It makes no system
// call. Context: any.
func (a *Allocator) tryZone(order int, f gfp.Flags) uint32 {
	var blocks [maxBatch]uint32
	want := 1
	if order < listOrders {
		want = int(a.batch[order])
	}
	z := &a.zone
	if !z.lock.TryLockIRQ() {
		return 0
	}
	n := 0
	if !a.closed.Load() { // ord:gate
		a.mergeDeferredLocked()
		n, _ = a.takeBlocksLocked(order, want, f, true, &blocks)
	}
	left := z.freePop.Load() // ord:zone
	z.lock.UnlockIRQ()
	if n == 0 {
		return 0
	}
	if left < a.stocking.pages.Load()/2 { // ord:hint
		a.requestStock(order)
	}
	a.ranLow(int64(n)*Size<<order, false)
	a.count.allocs.Add(1) // ord:stat
	return a.handOut(blocks[:n], order)
}

// handOut marks blocks that have memory, returns the first, and puts the others
// on this P's list.
func (a *Allocator) handOut(blocks []uint32, order int) uint32 {
	a.meta(blocks[0]).Set(pages.InUse, order, 0)
	if len(blocks) == 1 {
		return blocks[0]
	}
	for _, page := range blocks[1:] {
		a.meta(page).Set(pages.Cached, order, 0)
	}
	for _, page := range a.stock(blocks[1:], order) { // no room: this may be another P by now
		a.pushDeferred(page, page, 1<<order)
	}
	return blocks[0]
}

// requestStock has blocks of the order populated. Context: any.
func (a *Allocator) requestStock(order int) {
	st := &a.stocking
	if st.wanted.Load()&(1<<order) == 0 { // ord:wake-stock
		st.wanted.Or(1 << order) // ord:wake-stock
	}
	if !st.running.Load() && st.running.CompareAndSwap(false, true) { // ord:wake-stock
		sys.Go(a.stockLoop)
	}
}

// stockLoop populates blocks until no order is wanted. At most one runs.
func (a *Allocator) stockLoop() {
	st := &a.stocking
	for {
		n := min(max(stockFirst, 2*st.pages.Load()), stockMost)                                      // ord:hint
		st.pages.Store(n)                                                                            // ord:hint
		for order, wanted := 0, st.wanted.Swap(0); wanted != 0; order, wanted = order+1, wanted>>1 { // ord:wake-stock
			if wanted&1 != 0 {
				a.populateFree(order, n)
			}
		}
		st.running.Store(false) // ord:wake-stock
		fault.Delay("wake-stock")
		if st.wanted.Load() == 0 || !st.running.CompareAndSwap(false, true) { // ord:wake-stock
			return
		}
	}
}

// busy reports whether a round is made, or will be. A goroutine that ends clears running,
// and begins again if a round is wanted, which it clears afterwards. So if none is wanted,
// and then nobody runs, no round is about to begin.
func (st *stocking) busy() bool { return st.wanted.Load() != 0 || st.running.Load() } // ord:wake-stock

// populateFree gives memory to free blocks of an order, n pages in all and at
// least one block, as far as the limit allows. It takes them and frees them
// again: all at the end, or it would take the same ones twice. Context: task;
// not pinned.
func (a *Allocator) populateFree(order int, n int64) {
	var chain, last uint32
	var got int64
	for got < n {
		var blocks [maxBatch]uint32
		k := a.allocBlocks(order, int(max((n-got)>>order, 1)), gfp.NoWait, &blocks)
		if k == 0 {
			break
		}
		for _, page := range blocks[:k] {
			m := a.meta(page)
			m.Set(pages.Cached, order, 0)
			if last == 0 {
				last = page
			}
			m.Link, chain = chain, page
		}
		got += int64(k) << order
	}
	if got > 0 {
		a.pushDeferred(chain, last, got)
	}
}
