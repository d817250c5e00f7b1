package page

import (
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/lock"
)

// The life of a page. Its state is that of its block, in the Meta of the
// block's first page; the words on the left are the states of pages.Meta.
//
//	            address space (nothing known of it)
//	              │ growTo: the frontier moves by a section, metadata populated
//	              ▼
//	Free        buddy: a block on zone.lists, full, mixed or empty of memory ◄─┐
//	              │ pickLocked, carveLocked: taken out, halves go back         │
//	              │ chargeLocked: counted against the limit                    │
//	              ▼                                                            │
//	Transit     on no list; the zone lock is released                          │
//	              │ populate: gets memory        ├─ no memory: discard ────────┤
//	              ▼                                                            │
//	InUse       handed out by Alloc ◄────────────┐                             │
//	              │ Free: compare-and-swap       │ popList                     │
//	              ▼                              │                             │
//	Cached      on a P's list ───────────────────┘                             │
//	              │ list full or revoked: shed, pushDeferred                   │
//	              ▼                                                            │
//	Cached      on the stack of deferred frees ── mergeDeferredLocked ─────────┤
//	                                                                           │
//	Free ─ scavenge: victimLocked ─► Transit ─ discard: memory to the system ──┘
//
// A batch out of the buddy leaves Transit at once for InUse (the first block)
// and Cached (the others, which stock puts on this P's list).

// zone is the buddy. The atomic fields are written under the lock and read
// without it.
//
// Identities, at every release of the lock:
//
//	resident  = metadata + Size × populated pages + charged
//	freePages = Σ pages of the blocks on lists
//	freePop   = Σ populated pages of the blocks on lists
//	resident ≤ limit, when there is one
type zone struct {
	lock  lock.Spin
	lists [kinds][MaxOrder + 1]uint32 // protected by lock: first block, or 0
	rest  uint32                      // protected by lock: deferred blocks, off their stack

	blocks    [MaxOrder + 1]atomic.Int64
	resident  atomic.Int64 // bytes charged
	peak      atomic.Int64
	metadata  atomic.Int64 // bytes
	charged   atomic.Int64 // bytes outside of the range: see charge.go
	freePages atomic.Int64
	freePop   atomic.Int64
	transit   atomic.Int64 // pages being discarded
}

// Kinds of free blocks, by how many of their pages have memory.
const (
	full  = iota // every page
	mixed        // some
	empty        // none
	kinds
)

func kindOf(order int, count uint32) int {
	switch count {
	case 1 << order:
		return full
	case 0:
		return empty
	}
	return mixed
}

// insertLocked puts a block on its list. The lock is the zone's, as in all
// functions of this file whose name ends so.
func (a *Allocator) insertLocked(page uint32, order int, count uint32) {
	z := &a.zone
	head := &z.lists[kindOf(order, count)][order]
	m := a.meta(page)
	m.Set(pages.Free, order, count)
	m.Back, m.Link = 0, *head
	if *head != 0 {
		a.meta(*head).Back = page
	}
	*head = page
	z.blocks[order].Add(1)      // ord:zone
	z.freePages.Add(1 << order) // ord:zone
	z.freePop.Add(int64(count)) // ord:zone
}

// removeLocked takes a free block off its list. Its pages are the caller's
// then, in state Tail.
func (a *Allocator) removeLocked(page uint32) (order int, count uint32) {
	z := &a.zone
	m := a.meta(page)
	order, count = pages.Order(m.Read()), pages.Count(m.Read())
	if m.Link != 0 {
		a.meta(m.Link).Back = m.Back
	}
	if m.Back != 0 {
		a.meta(m.Back).Link = m.Link
	} else {
		z.lists[kindOf(order, count)][order] = m.Link
	}
	m.Set(pages.Tail, 0, 0)
	z.blocks[order].Add(-1)      // ord:zone
	z.freePages.Add(-1 << order) // ord:zone
	z.freePop.Add(-int64(count)) // ord:zone
	return order, count
}

// freeBlockLocked returns a block, of which count pages are populated, to the
// buddy and merges it with its free buddies. Linux: __free_one_page.
func (a *Allocator) freeBlockLocked(page uint32, order int, count uint32) {
	a.meta(page).Set(pages.Tail, 0, 0)
	for ; order < MaxOrder; order++ {
		// The buddy is the first page of a block of this order or a lower one,
		// never the middle of one: this block would then be part of it too.
		buddy := page ^ 1<<order
		if buddy+1<<order > a.core.Added.Load() { // ord:frontier
			break
		}
		w := a.meta(buddy).Read()
		if w&(pages.StateMask|pages.OrderMask) != pages.Free|uint32(order)<<pages.OrderShift {
			break
		}
		_, n := a.removeLocked(buddy)
		count += n
		page = min(page, buddy)
	}
	a.insertLocked(page, order, count)
}

// carveLocked takes the block at target of order k out of the free block at
// page and puts the rest back. It returns how many of the target's pages are
// populated. Linux: expand.
func (a *Allocator) carveLocked(page, target uint32, k int) uint32 {
	order, count := a.removeLocked(page)
	for order > k {
		order--
		other := page + 1<<order
		if target >= other {
			page, other = other, page
		}
		var n uint32
		switch kindOf(order+1, count) {
		case full:
			n = 1 << order
		case mixed:
			n = a.countPopulated(other, order)
		}
		a.insertLocked(other, order, n)
		count -= n
	}
	a.meta(page).Set(pages.Transit, order, count)
	return count
}

// countPopulated counts the populated pages of a block. The caller owns it.
func (a *Allocator) countPopulated(page uint32, order int) (n uint32) {
	for i := range uint32(1) << order {
		n += a.meta(page+i).Read() & pages.Populated / pages.Populated
	}
	return n
}

// pickLocked takes a block of order k out of the buddy and leaves it in
// transit. It prefers populated pages, then small blocks. With fullOnly it
// takes only a block that needs no populating. It returns 0 if there is none.
func (a *Allocator) pickLocked(k int, fullOnly bool) uint32 {
	z := &a.zone
	for o := k; o <= MaxOrder; o++ {
		if page := z.lists[full][o]; page != 0 {
			a.carveLocked(page, page, k)
			return page
		}
	}
	for o := k; o <= MaxOrder; o++ {
		tries := 4 // untuned: bounds the time under the lock
		for page := z.lists[mixed][o]; page != 0 && tries > 0; page = a.meta(page).Link {
			target, n := a.bestLocked(page, o, k)
			if n == 1<<k || !fullOnly {
				a.carveLocked(page, target, k)
				return target
			}
			tries--
		}
	}
	if fullOnly {
		return 0
	}
	for o := k; o <= MaxOrder; o++ {
		if page := z.lists[empty][o]; page != 0 {
			a.carveLocked(page, page, k)
			return page
		}
	}
	return 0
}

// bestLocked finds the part of order k of a mixed block that has the most
// populated pages.
func (a *Allocator) bestLocked(page uint32, order, k int) (target, n uint32) {
	target = page
	for t := page; t < page+1<<order; t += 1 << k {
		if c := a.countPopulated(t, k); c > n {
			target, n = t, c
			if c == 1<<k {
				break
			}
		}
	}
	return target, n
}

// roomLocked reports whether bytes more may be put to use. It is the watermark
// check: memory that is free but populated counts as available. Linux:
// zone_watermark_ok.
func (a *Allocator) roomLocked(bytes int64, f gfp.Flags) bool {
	if a.limit == 0 {
		return true
	}
	allowed := a.limit
	if !f.CanReserve() {
		allowed -= a.watermark
	}
	return a.zone.resident.Load()-a.zone.freePop.Load()*Size+bytes <= allowed // ord:zone
}

// chargeLocked counts bytes that are about to be populated, or returns by how
// many bytes they exceed the limit. It comes before the populating: the limit
// is a promise.
func (a *Allocator) chargeLocked(bytes int64) (shortfall int64) {
	r := a.zone.resident.Load() + bytes // ord:zone
	if a.limit > 0 && r > a.limit {
		return r - a.limit
	}
	a.zone.resident.Store(r)    // ord:zone
	if r > a.zone.peak.Load() { // ord:zone
		a.zone.peak.Store(r) // ord:zone
	}
	return 0
}

// unchargeLocked uncounts bytes that have no memory any more.
func (a *Allocator) unchargeLocked(bytes int64) { a.zone.resident.Add(-bytes) } // ord:zone
