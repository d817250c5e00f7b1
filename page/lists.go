package page

import (
	"runtime"
	"sync/atomic"

	"quiesce/internal/fault"
	"quiesce/internal/pages"
	"quiesce/internal/sys"
)

// The per-P page lists. All functions that touch the words that owner and taker
// race for are in this file; doc.go has the argument. Linux: per_cpu_pages.

const (
	listOrders = 4 // orders 0..3, the kernel's PAGE_ALLOC_COSTLY_ORDER
	maxBatch   = 32
	listMask   = 127
)

// Full size of the lists (untuned), and where each begins in pcp.pages.
var (
	listCap   = [listOrders]uint32{64, 16, 16, 8}
	listStart = [listOrders]uint32{0, 64, 80, 96}
)

// pcp is one P's slot. Its owner is the goroutine that is pinned to the P and
// has set busy, unless the slot is revoked: then it is the taker, once it has
// seen busy == 0.
//
//	unused ── owner registers ──→ open ⇄ revoked (taker)
type pcp struct {
	busy  uint32 // written by the P while pinned
	state uint32 // atomic

	n      [listOrders]uint32 // owner: blocks on each list
	allocs uint64             // owner: served from the lists
	frees  uint64             // owner: received on the lists

	pages [listMask + 1]uint32 // owner
	_     [88]byte             // 640 bytes: whole percpu.Lines
}

const (
	slotUnused = iota
	slotOpen
	slotRevoked
)

// sizeLists chooses the lists' sizes: full, unless all Ps' lists together
// could hold more than an eighth of the limit (untuned).
func (a *Allocator) sizeLists() {
	var perP int64 // pages
	for o, c := range listCap {
		perP += int64(c) << o
	}
	share := int64(1 << 16) // of 1<<16
	if a.limit > 0 {
		all := perP * Size * int64(runtime.GOMAXPROCS(0))
		if most := a.limit / 8; most < all {
			share = most >> 4 << 16 / (all >> 4)
		}
	}
	for o, c := range listCap {
		a.cap[o] = max(uint32(int64(c)*share>>16), 1)
		a.batch[o] = max(a.cap[o]/2, 1)
	}
}

// openSlot registers a P's slot. The high-water mark is raised before the slot
// opens, so that a taker finds every slot that ever held a page. If a taker was
// there first, the slot stays the taker's. The caller is pinned to P id.
//
//go:norace
func (a *Allocator) openSlot(id int, s *pcp) {
	a.slots.Register(id)
	atomic.CompareAndSwapUint32(&s.state, slotUnused, slotOpen) // ord:list-open
}

// popList takes a block from this P's list, or returns 0.
//
//go:norace
func (a *Allocator) popList(order int) (page uint32) {
	s := a.slots.At(sys.ProcPin())
	s.busy = 1 // ord:list-busy
	fault.Delay("list-busy")
	if atomic.LoadUint32(&s.state) == slotOpen { // after busy: a taker's membarrier falls between; ord:list-busy,list-open
		if n := s.n[order&3]; n != 0 {
			n--
			s.n[order&3] = n
			page = s.pages[(listStart[order&3]+n)&listMask]
			a.meta(page).Word = pages.BlockWord(pages.InUse, order) // ord:state
			s.allocs++
		}
	}
	fault.Delay("list-exit")
	s.busy = 0 // ord:list-exit
	sys.ProcUnpin()
	return page
}

// pushList puts a cached block on this P's list. A full list first moves its
// older half to the deferred stack: then wakeAfterFree is due. It returns ok false
// if the list is revoked.
//
//go:norace
func (a *Allocator) pushList(page uint32, order int) (ok, wake bool) {
	id := sys.ProcPin()
	s := a.slots.At(id)
	if atomic.LoadUint32(&s.state) == slotUnused { // ord:list-open
		a.openSlot(id, s)
	}
	var first, last uint32
	s.busy = 1 // ord:list-busy
	fault.Delay("list-busy")
	ok = atomic.LoadUint32(&s.state) == slotOpen // ord:list-busy,list-open
	if ok {
		if s.n[order&3] >= a.cap[order&3] {
			first, last = a.shed(s, order, a.batch[order&3])
		}
		n := s.n[order&3]
		s.pages[(listStart[order&3]+n)&listMask] = page
		s.n[order&3] = n + 1
		s.frees++
	}
	fault.Delay("list-exit")
	s.busy = 0 // ord:list-exit
	sys.ProcUnpin()
	if first != 0 {
		a.pushDeferredQuietly(first, last, int64(a.batch[order&3])<<order)
	}
	return ok, first != 0
}

// stock puts cached blocks on this P's list while there is room, and returns
// the others.
//
//go:norace
func (a *Allocator) stock(blocks []uint32, order int) []uint32 {
	id := sys.ProcPin()
	s := a.slots.At(id)
	if atomic.LoadUint32(&s.state) == slotUnused { // ord:list-open
		a.openSlot(id, s)
	}
	s.busy = 1 // ord:list-busy
	fault.Delay("list-busy")
	if atomic.LoadUint32(&s.state) == slotOpen { // ord:list-busy,list-open
		n := s.n[order&3]
		for ; n < a.cap[order&3] && len(blocks) > 0; n++ {
			// Low addresses are on top in the end and are handed out first.
			s.pages[(listStart[order&3]+n)&listMask] = blocks[len(blocks)-1]
			blocks = blocks[:len(blocks)-1]
		}
		s.n[order&3] = n
	}
	fault.Delay("list-exit")
	s.busy = 0 // ord:list-exit
	sys.ProcUnpin()
	return blocks
}

// shed removes the n oldest blocks of a list and links them into a chain. The
// caller owns the slot.
//
//go:norace
func (a *Allocator) shed(s *pcp, order int, n uint32) (first, last uint32) {
	start, have := listStart[order&3], s.n[order&3]
	last = s.pages[start&listMask]
	for i := range n {
		page := s.pages[(start+i)&listMask]
		a.meta(page).Link = first
		first = page
	}
	for i := n; i < have; i++ {
		s.pages[(start+i-n)&listMask] = s.pages[(start+i)&listMask]
	}
	s.n[order&3] = have - n
	return first, last
}

// flushLists takes the blocks on all Ps' lists and defers them: the next holder
// of the zone lock merges them. Owners are never blocked: one that finds its
// slot revoked takes the slow path. Context: task; not pinned.
func (a *Allocator) flushLists() {
	a.takers.Lock()
	defer a.takers.Unlock()
	if a.closed.Load() { // ord:gate
		return
	}
	a.revokeLocked()
	a.collectLocked()
	a.reopenLocked()
}

// revokeLocked makes all slots the caller's, until reopenLocked. The lock is
// takers, as in the next two functions.
//
//go:norace
func (a *Allocator) revokeLocked() {
	used := a.slots.Used()
	for id := range used {
		atomic.SwapUint32(&a.slots.At(id).state, slotRevoked) // ord:list-busy
	}
	// Every owner either set busy before this, and is waited for, or will see
	// that its slot is revoked.
	sys.Membarrier() // ord:list-busy
	fault.Delay("list-busy")
	for id := range used {
		s := a.slots.At(id)
		for i := 0; atomic.LoadUint32(&s.busy) != 0; i++ { // ord:list-busy,list-exit
			sys.RelaxUnpinned(i)
		}
	}
	if !sys.ExitIsRelease {
		sys.Membarrier() // what owners did before they cleared busy is visible now; ord:list-exit
	}
}

// collectLocked defers the blocks on revoked lists.
//
//go:norace
func (a *Allocator) collectLocked() {
	for id := range a.slots.Used() {
		s := a.slots.At(id)
		if atomic.LoadUint32(&s.state) != slotRevoked { // registered after revoke; ord:list-busy
			continue
		}
		for o := range listOrders {
			if n := s.n[o]; n != 0 {
				first, last := a.shed(s, o, n)
				a.pushDeferred(first, last, int64(n)<<o)
			}
		}
	}
}

// reopenLocked returns revoked slots to their owners.
//
//go:norace
func (a *Allocator) reopenLocked() {
	if !sys.ExitIsRelease {
		sys.Membarrier() // our accesses come before those of the next owners; ord:list-open
	}
	for id := range a.slots.Used() {
		atomic.CompareAndSwapUint32(&a.slots.At(id).state, slotRevoked, slotOpen) // ord:list-open
	}
}

// listed adds up the pages on the lists, and the blocks that went through them.
// The sums are exact only while no owner is at work.
//
//go:norace
func (a *Allocator) listed() (n int64, allocs, frees uint64) {
	for id := range a.slots.Used() {
		s := a.slots.At(id)
		for o := range listOrders {
			n += int64(s.n[o]) << o
		}
		allocs += s.allocs
		frees += s.frees
	}
	return n, allocs, frees
}
