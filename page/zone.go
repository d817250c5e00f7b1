package page

import (
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/lock"
)

// zone is the buddy. The atomic fields are written under the lock and read
// by anybody.
//
// Identities, at every release of the lock:
//
//	resident  = metadata + Size × populated pages
//	freePages = Σ pages of the blocks on lists
//	freePop   = Σ populated pages of the blocks on lists
//	resident ≤ limit, when there is one
type zone struct {
	lock  lock.Spin
	lists [kinds][MaxOrder + 1]uint32 // protected by lock: first block, or 0

	blocks    [MaxOrder + 1]atomic.Int64
	added     atomic.Uint32 // the frontier: pages below it have metadata
	resident  atomic.Int64  // bytes charged
	peak      atomic.Int64
	metadata  atomic.Int64 // bytes
	freePages atomic.Int64
	freePop   atomic.Int64
	transit   atomic.Int64 // pages being discarded
}

// Kinds of free blocks, by what has memory.
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

// insert puts a block on its list. Zone lock held.
func (a *Allocator) insert(page uint32, order int, count uint32) {
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

// remove takes a free block off its list; its pages are the caller's, in
// state tail. Zone lock held.
func (a *Allocator) remove(page uint32) (order int, count uint32) {
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

// put gives a block of which count pages are populated to the buddy, merged
// with its free buddies. Zone lock held.
func (a *Allocator) put(page uint32, order int, count uint32) {
	a.meta(page).Set(pages.Tail, 0, 0)
	for ; order < MaxOrder; order++ {
		// The buddy is the first page of a block or of an order below, never
		// the middle of one: then this block would be part of it as well.
		buddy := page ^ 1<<order
		if buddy+1<<order > a.core.Added.Load() { // ord:frontier
			break
		}
		w := a.meta(buddy).Read()
		if w&(pages.StateMask|pages.OrderMask) != pages.Free|uint32(order)<<pages.OrderShift {
			break
		}
		_, n := a.remove(buddy)
		count += n
		page = min(page, buddy)
	}
	a.insert(page, order, count)
}

// carve takes the block at target of order k out of the free block at page
// and puts the rest back. It returns how many of the target's pages are
// populated. Zone lock held.
func (a *Allocator) carve(page, target uint32, k int) uint32 {
	order, count := a.remove(page)
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
		a.insert(other, order, n)
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

// pick takes a block of order k that is in transit then, populated pages
// first, small blocks first. fullOnly: only a block that needs no populating.
// It returns 0 if there is none. Zone lock held.
func (a *Allocator) pick(k int, fullOnly bool) uint32 {
	z := &a.zone
	for o := k; o <= MaxOrder; o++ {
		if page := z.lists[full][o]; page != 0 {
			a.carve(page, page, k)
			return page
		}
	}
	for o := k; o <= MaxOrder; o++ {
		tries := 4 // untuned: bounds the time under the lock
		for page := z.lists[mixed][o]; page != 0 && tries > 0; page = a.meta(page).Link {
			target, n := a.best(page, o, k)
			if n == 1<<k || !fullOnly {
				a.carve(page, target, k)
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
			a.carve(page, page, k)
			return page
		}
	}
	return 0
}

// best finds the part of order k of a mixed block that has most pages
// populated. Zone lock held.
func (a *Allocator) best(page uint32, order, k int) (target, n uint32) {
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

// room reports whether bytes more may be put to use: the watermark check.
// Memory that is free but populated counts as there to be used. Zone lock
// held.
func (a *Allocator) room(bytes int64, f gfp.Flags) bool {
	if a.limit == 0 {
		return true
	}
	allowed := a.limit
	if !f.CanReserve() {
		allowed -= a.mark
	}
	return a.zone.resident.Load()-a.zone.freePop.Load()*Size+bytes <= allowed // ord:zone
}

// charge counts bytes that are going to be populated, or says how many bytes
// the limit lacks. It comes before the populating: the limit is a promise.
// Zone lock held.
func (a *Allocator) charge(bytes int64) (lack int64) {
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

// uncharge takes back bytes that have no memory any more. Zone lock held.
func (a *Allocator) uncharge(bytes int64) { a.zone.resident.Add(-bytes) } // ord:zone
