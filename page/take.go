package page

import (
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// takeTries bounds how often a request goes round after growing or
// scavenging; others may take what it made. Untuned.
const takeTries = 16

// take fills out with up to want blocks of the order, populated and in
// transit, and returns how many. It takes the zone lock. In a raw atomic
// context it makes no system call, so only populated blocks will do.
func (a *Allocator) take(order, want int, f gfp.Flags, out *[maxBatch]uint32) int {
	pinned := preempt.Atomic()
	for range takeTries {
		n, lack, added := a.takeLocked(order, want, f, pinned, out)
		if n > 0 {
			return a.populate(order, out[:n])
		}
		if pinned {
			return 0
		}
		switch {
		case lack < 0: // below the watermark
			return 0
		case lack > 0:
			if a.scavenge(lack) == 0 {
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

// takeLocked takes blocks out of the buddy and charges what they lack. With
// none taken it says why: lack > 0 bytes must be scavenged, lack < 0 nothing
// will help but memory coming back, 0 no block of the order is free up to
// the frontier at added.
func (a *Allocator) takeLocked(order, want int, f gfp.Flags, pinned bool, out *[maxBatch]uint32) (n int, lack int64, added uint32) {
	z := &a.zone
	z.lock.LockIRQ()
	defer z.lock.UnlockIRQ()
	added = a.core.Added.Load() // ord:frontier
	if a.closed.Load() {        // ord:gate
		return 0, -1, added
	}
	a.drain()
	for n < min(want, maxBatch) {
		k := order
		var page uint32
		if pinned || a.granule > order {
			page = a.pick(order, true)
		}
		if page == 0 && !pinned {
			k = max(order, a.granule)
			page = a.pick(k, false)
		}
		if page == 0 {
			break
		}
		w := a.meta(page).Read()
		count := pages.Count(w)
		missing := int64(1<<k-count) * Size
		lack = -1
		if a.room(missing, f) { // the block itself is out of freePop already
			lack = a.charge(missing)
		}
		if lack != 0 {
			a.put(page, k, count)
			break
		}
		out[n] = page
		n++
	}
	return n, lack, added
}

// populate gives memory to blocks that takeLocked took, adjacent ones in one
// call, and keeps those that got it at the front of out.
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

// markPopulated marks the pages of a block in transit, and gives back what it is
// larger than asked for: systems with large pages populate more at a time.
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
			a.put(page+1<<have, have, 1<<have)
		}
		a.zone.lock.UnlockIRQ()
	}
	a.meta(page).Set(pages.Transit, order, 1<<order)
}

// unpopulate gives blocks back that the system had no memory for.
func (a *Allocator) unpopulate(blocks []uint32) {
	for _, page := range blocks {
		a.discard(page, true)
	}
}

// discard takes the memory of a block in transit away, and puts the block
// into the buddy. all: every page is charged and may have memory, whatever
// the flags say. It returns the bytes uncharged.
func (a *Allocator) discard(page uint32, all bool) (bytes int64) {
	order := pages.Order(a.meta(page).Read())
	end := page + 1<<order
	// Runs of populated pages, and not the block in one: some systems' call
	// gives memory to what has none.
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
	a.uncharge(bytes)
	a.put(page, order, kept)
	a.zone.lock.UnlockIRQ()
	return bytes
}
