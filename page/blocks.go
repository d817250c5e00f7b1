package page

import (
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// blockTries bounds how often a request tries again after growing or
// scavenging: other goroutines may take what it made. Untuned.
const blockTries = 16

// allocBlocks fills out with up to want blocks of the order, populated and in
// transit, and returns how many. It takes the zone lock. In a raw atomic
// context it makes no system call, so only populated blocks will do. Linux:
// rmqueue_bulk.
func (a *Allocator) allocBlocks(order, want int, f gfp.Flags, out *[maxBatch]uint32) int {
	pinned := preempt.Atomic()
	if !pinned {
		a.findLimit()
	}
	for range blockTries {
		n, shortfall, added := a.allocCharged(order, want, f, pinned, out)
		if n > 0 {
			return a.populate(order, out[:n])
		}
		if pinned {
			return 0
		}
		if shortfall != 0 && f.CanSleep() && a.findLimitAgain() {
			continue
		}
		switch {
		case shortfall < 0: // below the watermark
			return 0
		case shortfall > 0:
			if a.scavenge(shortfall) == 0 {
				return 0
			}
		default:
			if !a.growTo(order, f, added) {
				return 0
			}
		}
	}
	return 0
}

// allocCharged takes blocks out of the buddy and charges the memory that they
// need. If it takes none it says why: with shortfall > 0 so many bytes must be
// scavenged; with shortfall < 0 only memory that is freed will help; with 0 no
// block of the order is free up to the frontier at added. It takes the zone
// lock.
func (a *Allocator) allocCharged(order, want int, f gfp.Flags, pinned bool, out *[maxBatch]uint32) (n int, shortfall int64, added uint32) {
	z := &a.zone
	a.lockMerged()
	defer z.lock.UnlockIRQ()
	added = a.core.Added.Load() // ord:frontier
	if a.closed.Load() {        // ord:gate
		return 0, -1, added
	}
	n, shortfall = a.takeBlocksLocked(order, want, f, pinned, out)
	return n, shortfall, added
}

// takeBlocksLocked is allocCharged under the zone lock. With populated it takes
// only blocks that have memory, and charges nothing.
func (a *Allocator) takeBlocksLocked(order, want int, f gfp.Flags, populated bool, out *[maxBatch]uint32) (n int, shortfall int64) {
	for n < min(want, maxBatch) {
		k := order
		var page uint32
		if populated || a.granule > order {
			page = a.pickLocked(order, true)
		}
		if page == 0 && !populated {
			k = max(order, a.granule)
			page = a.pickLocked(k, false)
		}
		if page == 0 {
			break
		}
		w := a.meta(page).Read()
		count := pages.Count(w)
		missing := int64(1<<k-count) * Size
		shortfall = -1
		if a.roomLocked(missing, f) { // the block itself is out of freePop already
			shortfall = a.chargeLocked(missing)
		}
		if shortfall != 0 {
			a.freeBlockLocked(page, k, count)
			break
		}
		out[n] = page
		n++
		if k > order {
			break // what is beyond the order serves the next request
		}
	}
	return n, shortfall
}

// populate gives memory to blocks from allocCharged, adjacent ones in one call,
// and keeps those that got it at the front of out.
func (a *Allocator) populate(order int, out []uint32) (kept int) {
	for i := 0; i < len(out); {
		w := a.meta(out[i]).Read()
		j, end := i+1, out[i]+1<<pages.Order(w)
		ok := true
		if pages.Count(w) != 1<<pages.Order(w) {
			for j < len(out) && out[j] == end {
				w := a.meta(out[j]).Read()
				if pages.Count(w) == 1<<pages.Order(w) {
					break
				}
				end += 1 << pages.Order(w)
				j++
			}
			ok = sys.Populate(a.addr(out[i]), uintptr(end-out[i])<<Shift) == nil
			if !ok {
				a.unpopulate(out[i:j])
			}
		}
		if ok {
			for _, page := range out[i:j] {
				a.markPopulated(page, order)
				out[kept] = page
				kept++
			}
		}
		i = j
	}
	return kept
}

// markPopulated marks the pages of a block in transit, and frees the part of it
// beyond the order: systems with large pages populate more at a time.
func (a *Allocator) markPopulated(page uint32, order int) {
	w := a.meta(page).Read()
	have := pages.Order(w)
	if pages.Count(w) != 1<<have {
		for i := range uint32(1) << have {
			atomic.OrUint32(&a.meta(page+i).Word, pages.Populated) // ord:state
		}
	}
	if have > order {
		a.zone.lock.LockIRQ()
		for have > order {
			have--
			a.freeBlockLocked(page+1<<have, have, 1<<have)
		}
		a.zone.lock.UnlockIRQ()
	}
	a.meta(page).Set(pages.Transit, order, 1<<order)
}

// unpopulate frees blocks that the system had no memory for.
func (a *Allocator) unpopulate(blocks []uint32) {
	for _, page := range blocks {
		a.discard(page, true)
	}
}

// discard returns the memory of a block in transit to the system, and the block
// to the buddy. With all, every page is charged and may have memory, whatever
// the flags say. It returns the number of bytes uncharged.
func (a *Allocator) discard(page uint32, all bool) (bytes int64) {
	order := pages.Order(a.meta(page).Read())
	end := page + 1<<order
	// Runs of populated pages, not the block in one call: on some systems that
	// call gives memory to pages that have none.
	var kept uint32
	for from := page; from < end; {
		to := from
		for to < end && (all || a.meta(to).Read()&pages.Populated != 0) {
			to++
		}
		if to == from {
			from++
			continue
		}
		err := sys.Discard(a.addr(from), uintptr(to-from)<<Shift)
		for ; from < to; from++ {
			if err == nil {
				atomic.AndUint32(&a.meta(from).Word, ^uint32(pages.Populated)) // ord:state
				bytes += Size
			} else {
				atomic.OrUint32(&a.meta(from).Word, pages.Populated) // ord:state
				kept++
			}
		}
	}
	a.zone.lock.LockIRQ()
	a.unchargeLocked(bytes)
	a.freeBlockLocked(page, order, kept)
	a.zone.lock.UnlockIRQ()
	return bytes
}
