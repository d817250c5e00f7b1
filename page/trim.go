package page

import (
	"math/bits"
	"unsafe"

	"quiesce/internal/pages"
	"quiesce/internal/race"
)

// Runs: the first pages of a block, whose others were freed. A run of n pages is
// blocks that lie side by side, one for each bit of n, the largest first:
//
//	13 of 16 pages   │ order 3         │ order 2 │ 0 │ 0, freed │ 1, freed │
//
// A block that is handed out is its owner's, and so are the words of its pages (see
// pages.Meta): it becomes these blocks by a store to the first word of each. Who has
// the zone lock reads such a word when the block's buddy is freed, and finds InUse or
// Tail, neither of which it merges with. A run's blocks are made before the others
// are freed, so that none of those merges with a part of it.

// trim keeps the first n pages of a block of the order, and frees the others. n is
// more than half of them. Context: any.
func (a *Allocator) trim(p unsafe.Pointer, order, n int) {
	page := a.core.PageOf(p)
	if n == 1<<order {
		return
	}
	if uint(order) > MaxOrder || n <= 1<<order/2 || n > 1<<order || a.meta(page).Read() != pages.BlockWord(pages.InUse, order) {
		panic("quiesce/page: Trim of what is no block of the order, or to less than half of it")
	}
	blocks := -1
	at := page
	for o := order - 1; o >= 0; o-- {
		if n&(1<<o) != 0 {
			a.meta(at).Set(pages.InUse, o, 0)
			at += 1 << o
			blocks++
		}
	}
	end := page + 1<<order
	blocks += bits.OnesCount32(end - at)
	race.Disable()
	a.count.allocs.Add(uint64(blocks)) // each is freed once; ord:stat
	race.Enable()
	for at < end {
		o := bits.TrailingZeros32(at - page)
		a.meta(at).Set(pages.InUse, o, 0)
		a.Free(a.addr(at), o)
		at += 1 << o
	}
}

// freeRunQuietly frees the n pages that trim kept, and reports whether wakeAfterFree
// is due. Context: any.
func (a *Allocator) freeRunQuietly(p unsafe.Pointer, n int) (wake bool) {
	for o := MaxOrder; o >= 0; o-- {
		if n&(1<<o) != 0 {
			wake = a.freeQuietly(p, o) || wake
			p = unsafe.Add(p, Size<<o)
		}
	}
	return wake
}
