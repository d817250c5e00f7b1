package pages

import "sync/atomic"

// Meta is the metadata of one page, out of line and dense: the kernel's struct
// page. The state of a block is in the Meta of its first page.
//
//	Tail ──── split, section added ───→ Free (in the buddy)
//	Free ──── zone lock ──────────────→ Transit (being populated or discarded)
//	Transit ─ its holder ─────────────→ InUse, Cached, or Free again
//	InUse ─── Free: compare-and-swap ─→ Cached (on a P's list or deferred)
//	Cached ── Alloc from the list ────→ InUse
//	Cached ── zone lock ──────────────→ Free
//
// The compare-and-swap in Free makes the second of two frees fail, whichever
// it is. All other changes are made by the block's only owner: the zone lock's
// holder, the goroutine that took the block out of the buddy, or the owner of
// the list that the block is on. They are atomic stores because the zone
// lock's holder reads the first pages of neighbours that it doesn't own: it
// finds them Free, and then owns them itself, or not.
type Meta struct {
	Word uint32 // state, order, flags: see below. Atomic
	Link uint32 // zone lock: next in the buddy list; deferred: next on the stack
	Back uint32 // zone lock: previous in the buddy list. While the page is handed out its holder's

	// These belong to the page's holder, which is package slab. The allocator
	// neither reads nor writes them; they are zero when the page is first
	// handed out.

	Owner   uint32 // number of the cache that the page belongs to
	InUse   uint32 // objects of the slab in use
	Next    uint32 // list of slabs
	Prev    uint32 // list of slabs
	Chained uint32 // fallback chain
}

// Layout of Meta.Word: state in bits 0-2, order in 4-7, populated in 8, and
// for Free and Transit blocks the number of populated pages in 16-25.
const (
	Tail     = iota // not the first page of a block, or not added yet
	Free            // in the buddy
	Transit         // out of the buddy, on its way to a user or back
	InUse           // handed out
	Cached          // on a P's list or the deferred stack
	Sentinel        // page 0

	StateMask  = 7
	OrderShift = 4
	OrderMask  = 15 << OrderShift
	Populated  = 1 << 8 // this page, not the block, has memory
	countShift = 16
)

// BlockWord returns the word of a block whose pages are all populated, in a
// state that needs no count.
func BlockWord(state uint32, order int) uint32 {
	return state | uint32(order)<<OrderShift | Populated
}

// Order returns the order in a word.
func Order(w uint32) int { return int(w&OrderMask) >> OrderShift }

// Count returns the number of populated pages in a word.
func Count(w uint32) uint32 { return w >> countShift }

// Read loads the word.
func (m *Meta) Read() uint32 { return atomic.LoadUint32(&m.Word) } // ord:state

// Set changes everything but the page's populated flag. The caller owns the
// page.
func (m *Meta) Set(state uint32, order int, count uint32) {
	w := m.Read()&Populated | state | uint32(order)<<OrderShift | count<<countShift
	atomic.StoreUint32(&m.Word, w) // ord:state
}
