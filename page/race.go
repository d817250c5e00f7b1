package page

import (
	"runtime"
	"unsafe"

	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// In race builds the data lies in memory that the race detector watches, so
// that it sees the objects, and nothing else does: it makes no false report
// over metadata, which owner and taker access under membarrier. A page's
// populating, discarding and waiting on lists is invisible to it; what it is
// told is who had the page when (PagesAllocated, PagesFreed).

// raceReserve is the size of the range in a race build.
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

// raceMemory is what the data lies in.
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
		return nil // it is all the time
	}
	return sys.Open(at, size)
}
