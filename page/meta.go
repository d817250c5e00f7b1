package page

import "sync/atomic"

// Meta is what is known of one page: the kernel's struct page, out of line
// and dense. A block's state stands in the Meta of its first page.
//
//	tail ──── split, section added ───→ free (in the buddy)
//	free ──── zone lock ──────────────→ transit (being populated or discarded)
//	transit ─ its holder ─────────────→ inUse, cached, or free again
//	inUse ─── Free: compare-and-swap ─→ cached (on a P's list or deferred)
//	cached ── Alloc from the list ────→ inUse
//	cached ── zone lock ──────────────→ free
//
// The compare-and-swap in Free is what makes the second of two frees fail,
// whoever does it. All other changes are made by the block's only owner:
// the zone lock's holder, the goroutine that took the block out of the
// buddy, or the owner of the list that it is on. They are atomic stores
// because the zone lock's holder looks at the first pages of neighbours that
// it doesn't own: it finds them free (then they are its own) or not.
type Meta struct {
	word uint32 // state, order, flags; see below. Atomic
	next uint32 // zone lock: buddy list; deferred: the stack's link
	prev uint32 // zone lock: buddy list

	// These belong to whoever has the page. The allocator neither reads nor
	// writes them; they are zero when the page is handed out the first time.

	Owner   uint32 // number of the cache that the page belongs to
	InUse   uint32 // objects of the slab in use
	Next    uint32 // list of slabs
	Prev    uint32 // list of slabs
	Chained uint32 // fallback chain
}

// Layout of Meta.word: state in bits 0-2, order in 4-7, populated in 8, and
// of free and transit blocks the number of populated pages in 16-25.
const (
	tail     = iota // not the first page of a block, or not added yet
	free            // in the buddy
	transit         // out of the buddy, on its way to a user or back
	inUse           // handed out
	cached          // on a P's list or the deferred stack
	sentinel        // page 0

	stateMask  = 7
	orderShift = 4
	orderMask  = 15 << orderShift
	populated  = 1 << 8 // this page, not the block, has memory
	countShift = 16
)

// blockWord is the word of a block whose pages are all populated, in a state
// that needs no count.
func blockWord(state uint32, order int) uint32 {
	return state | uint32(order)<<orderShift | populated
}

func wordOrder(w uint32) int { return int(w&orderMask) >> orderShift }

func wordCount(w uint32) uint32 { return w >> countShift }

func (m *Meta) load() uint32 { return atomic.LoadUint32(&m.word) } // ord:state

// set changes everything but the page's populated flag. The caller owns the
// page.
func (m *Meta) set(state uint32, order int, count uint32) {
	w := m.load()&populated | state | uint32(order)<<orderShift | count<<countShift
	atomic.StoreUint32(&m.word, w) // ord:state
}
