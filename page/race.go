package page

import (
	"runtime"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// In race builds only the data lies in memory that the race detector watches,
// so that it sees the objects. It does not see the metadata, which owner and
// taker access under membarrier, and so makes no false report over it. That a
// page is populated, discarded or waits on a list is invisible to it; what we
// report is who held the page when (PagesAllocated, PagesFreed).

// raceReserve returns the size of the range in a race build.
func raceReserve(c Config) int64 {
	switch {
	case c.Reserve > maxReserve || c.Reserve < 0:
		return c.Reserve // an error
	case c.Reserve > 0:
		return min(c.Reserve, race.MaxRange)
	case c.Limit > 0 && c.Limit < race.MaxRange/4:
		return max(4*c.Limit, 16<<20)
	}
	return race.MaxRange
}

// raceMemory returns the memory that the data lies in.
func raceMemory(size uintptr) unsafe.Pointer {
	m := race.Memory(size)
	if runtime.GOOS == "linux" { // others would write to it
		_ = sys.Discard(m, size) // zeroing by the Go heap populated it
	}
	return m
}

// access makes a range of a part accessible.
func (r *region) access(p part, at unsafe.Pointer, size uintptr) error {
	if race.Enabled && p.base == &r.data {
		return nil // it always is
	}
	return sys.Open(at, size)
}

func (a *Allocator) raceAllocated(p unsafe.Pointer, order int, f gfp.Flags) {
	if f&pages.Unseen == 0 {
		race.PagesAllocated(p, Size<<order, Size)
	}
}

// freeUnseen is Free of a page that was allocated with pages.Unseen. Outside of
// race builds it is Free.
func (a *Allocator) freeUnseen(p unsafe.Pointer) {
	if !race.Enabled {
		a.Free(p, 0)
		return
	}
	page := a.core.PageOf(p)
	if !atomic.CompareAndSwapUint32(&a.meta(page).Word, pages.BlockWord(pages.InUse, 0), pages.BlockWord(pages.Cached, 0)) { // ord:state
		a.badFree(p, 0)
	}
	ok, wake := a.pushList(page, 0)
	if !ok {
		a.count.frees.Add(1) // ord:stat
		a.pushDeferredQuietly(page, page, 1)
	}
	if wake || !ok {
		a.wakeAfterFree()
	}
}
