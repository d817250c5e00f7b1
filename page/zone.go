package page

import (
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/preempt"
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
	m := a.Meta(page)
	m.set(free, order, count)
	m.prev, m.next = 0, *head
	if *head != 0 {
		a.Meta(*head).prev = page
	}
	*head = page
	z.blocks[order].Add(1)
	z.freePages.Add(1 << order)
	z.freePop.Add(int64(count))
}

// remove takes a free block off its list; its pages are the caller's, in
// state tail. Zone lock held.
func (a *Allocator) remove(page uint32) (order int, count uint32) {
	z := &a.zone
	m := a.Meta(page)
	order, count = wordOrder(m.load()), wordCount(m.load())
	if m.next != 0 {
		a.Meta(m.next).prev = m.prev
	}
	if m.prev != 0 {
		a.Meta(m.prev).next = m.next
	} else {
		z.lists[kindOf(order, count)][order] = m.next
	}
	m.set(tail, 0, 0)
	z.blocks[order].Add(-1)
	z.freePages.Add(-1 << order)
	z.freePop.Add(-int64(count))
	return order, count
}

// put gives a block of which count pages are populated to the buddy, merged
// with its free buddies. Zone lock held.
func (a *Allocator) put(page uint32, order int, count uint32) {
	a.Meta(page).set(tail, 0, 0)
	for ; order < MaxOrder; order++ {
		// The buddy is the first page of a block or of an order below, never
		// the middle of one: then this block would be part of it as well.
		buddy := page ^ 1<<order
		if buddy+1<<order > a.zone.added.Load() {
			break
		}
		w := a.Meta(buddy).load()
		if w&(stateMask|orderMask) != free|uint32(order)<<orderShift {
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
	a.Meta(page).set(transit, order, count)
	return count
}

// countPopulated counts the populated pages of a block. The caller owns it.
func (a *Allocator) countPopulated(page uint32, order int) (n uint32) {
	for i := range uint32(1) << order {
		n += a.Meta(page+i).load() & populated / populated
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
		for page := z.lists[mixed][o]; page != 0 && tries > 0; page = a.Meta(page).next {
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
	return a.zone.resident.Load()-a.zone.freePop.Load()*Size+bytes <= allowed
}

// charge counts bytes that are going to be populated, or says how many bytes
// the limit lacks. It comes before the populating: the limit is a promise.
// Zone lock held.
func (a *Allocator) charge(bytes int64) (lack int64) {
	r := a.zone.resident.Load() + bytes
	if a.limit > 0 && r > a.limit {
		return r - a.limit
	}
	a.zone.resident.Store(r)
	if r > a.zone.peak.Load() {
		a.zone.peak.Store(r)
	}
	return 0
}

// uncharge takes back bytes that have no memory any more. Zone lock held.
func (a *Allocator) uncharge(bytes int64) { a.zone.resident.Add(-bytes) }

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
	z.lock.Lock()
	defer z.lock.Unlock()
	added = z.added.Load()
	if a.closed.Load() {
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
		w := a.Meta(page).load()
		count := wordCount(w)
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

// drain moves the deferred frees into the buddy. Zone lock held.
func (a *Allocator) drain() {
	if a.deferred.Load() == 0 {
		return
	}
	var pages int64
	for page := a.deferred.Swap(0); page != 0; {
		m := a.Meta(page)
		next, order := m.next, wordOrder(m.load())
		a.put(page, order, 1<<order)
		pages += 1 << order
		page = next
	}
	a.deferredPages.Add(-pages)
}

// deferBound is the number of deferred pages above which a goroutine is
// started that drains them; below, the next allocation does. 4 MiB, untuned.
const deferBound = 1024

// pushDeferred pushes a chain of cached blocks, linked from first to last by
// Meta.next, on the stack of deferred frees. Any context: the loop repeats
// only when somebody else's push succeeded. Pushes and one take-all that
// empties the stack have no ABA problem: a push depends on nothing but the
// head's value, which it makes its link.
func (a *Allocator) pushDeferred(first, last uint32, pages int64) {
	for {
		head := a.deferred.Load()
		a.Meta(last).next = head
		if a.deferred.CompareAndSwap(head, first) {
			break
		}
	}
	if a.deferredPages.Add(pages) > deferBound && a.draining.CompareAndSwap(false, true) {
		go a.drainLoop()
	}
}

// drainLoop ends when the stack is short. There is one at most.
func (a *Allocator) drainLoop() {
	for {
		a.zone.lock.Lock()
		a.drain()
		a.zone.lock.Unlock()
		a.draining.Store(false)
		if a.deferredPages.Load() <= deferBound || !a.draining.CompareAndSwap(false, true) {
			return
		}
	}
}

// populate gives memory to blocks that takeLocked took, adjacent ones in one
// call, and keeps those that got it at the front of out.
func (a *Allocator) populate(order int, out []uint32) (kept int) {
	for i := 0; i < len(out); {
		w := a.Meta(out[i]).load()
		j, end := i+1, out[i]+1<<wordOrder(w)
		ok := true
		if wordCount(w) != 1<<wordOrder(w) {
			for j < len(out) && out[j] == end {
				w := a.Meta(out[j]).load()
				if wordCount(w) == 1<<wordOrder(w) {
					break
				}
				end += 1 << wordOrder(w)
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
	w := a.Meta(page).load()
	have := wordOrder(w)
	if wordCount(w) != 1<<have {
		for i := range uint32(1) << have {
			atomic.OrUint32(&a.Meta(page+i).word, populated)
		}
	}
	if have > order {
		a.zone.lock.Lock()
		for have > order {
			have--
			a.put(page+1<<have, have, 1<<have)
		}
		a.zone.lock.Unlock()
	}
	a.Meta(page).set(transit, order, 1<<order)
}

// unpopulate gives blocks back that the system had no memory for.
func (a *Allocator) unpopulate(blocks []uint32) {
	for _, page := range blocks {
		a.discard(page, true)
	}
}

// discard takes the memory of a block in transit away, and puts the block
// into the buddy. charged: all its pages are charged, whatever the flags say.
// It returns the bytes uncharged.
func (a *Allocator) discard(page uint32, charged bool) (bytes int64) {
	w := a.Meta(page).load()
	order, count := wordOrder(w), wordCount(w)
	if charged {
		count = 1 << order
	}
	err := sys.Discard(a.addr(page), Size<<order)
	for i := range uint32(1) << order {
		if err == nil {
			atomic.AndUint32(&a.Meta(page+i).word, ^uint32(populated))
		} else if charged {
			atomic.OrUint32(&a.Meta(page+i).word, populated)
		}
	}
	if err == nil {
		bytes, count = int64(count)*Size, 0
	}
	a.zone.lock.Lock()
	a.uncharge(bytes)
	a.put(page, order, count)
	a.zone.lock.Unlock()
	return bytes
}
