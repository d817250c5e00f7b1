//go:build race

package race

import (
	"runtime"
	"sync"
	"unsafe"
)

// The clocks of memory, by distance from its first byte; see "The edges" in
// doc.go.
const (
	objectClock = 1
	slabClock   = 2
	pageClock   = 3 // of each page
)

// write counts as a write. The detector takes its caller, and not itself, for
// the writer: the compiler's wrapper of the assembly function stands for the
// innermost frame.
//
//go:noinline
func write(p unsafe.Pointer, size uintptr) { runtime.RaceWriteRange(p, int(size)) }

// SlabMade: pages that the caller has become a slab.
func SlabMade(slab unsafe.Pointer) { runtime.RaceReleaseMerge(unsafe.Add(slab, slabClock)) }

// Reallocated: an object of a slab is handed out.
func Reallocated(p unsafe.Pointer, size uintptr, slab unsafe.Pointer) {
	runtime.RaceAcquire(unsafe.Add(slab, slabClock))
	runtime.RaceAcquire(unsafe.Add(p, objectClock))
	write(p, size)
}

// Freed: an object comes back at once.
func Freed(p unsafe.Pointer, size uintptr) {
	write(p, size)
	runtime.RaceRelease(unsafe.Add(p, objectClock))
}

// Retired: an object is going to come back after a grace period.
func Retired(p unsafe.Pointer) { runtime.RaceReleaseMerge(unsafe.Add(p, objectClock)) }

// FreedAfterGracePeriod: that grace period is over, and the caller has
// learned of it.
func FreedAfterGracePeriod(p unsafe.Pointer, size uintptr) {
	runtime.RaceAcquire(unsafe.Add(p, objectClock))
	write(p, size)
	runtime.RaceRelease(unsafe.Add(p, objectClock))
}

// Collected orders the caller behind the freeing of an object.
func Collected(p unsafe.Pointer) { runtime.RaceAcquire(unsafe.Add(p, objectClock)) }

// PagesAllocated: size bytes of pages are handed out.
func PagesAllocated(p unsafe.Pointer, size, page uintptr) {
	for off := uintptr(0); off < size; off += page {
		runtime.RaceAcquire(unsafe.Add(p, off+pageClock))
	}
	write(p, size)
}

// PagesFreed: size bytes of pages come back.
func PagesFreed(p unsafe.Pointer, size, page uintptr) {
	write(p, size)
	for off := uintptr(0); off < size; off += page {
		runtime.RaceRelease(unsafe.Add(p, off+pageClock))
	}
}

// The memory of pages. The detector watches the Go heap and variables, and no
// memory that was mapped otherwise. A variable is what the first range is cut
// from, the default allocator's: it costs no memory until it is touched, and
// neither paces the garbage collector nor counts towards GOMEMLIMIT, both of
// which a live heap object of this size would upset. Later ranges come from
// the heap. Nothing of either is ever given up: allocators recycle ranges.

const (
	// MaxRange is the size of the largest address range. The detector's
	// shadow takes twice as much beside it, where it is touched.
	MaxRange = 256 << 20

	align = 2 << 20 // the largest block of pages
)

var room [MaxRange + align]byte

var ranges struct {
	sync.Mutex
	used uintptr  // bytes of room
	heap [][]byte // kept for ever
}

// Memory returns memory that the detector watches: size bytes, zero, aligned
// to 2 MiB, never given up.
func Memory(size uintptr) unsafe.Pointer {
	ranges.Lock()
	defer ranges.Unlock()
	base := unsafe.Pointer(&room)
	first := up(uintptr(base)) - uintptr(base)
	size = up(size)
	if first+ranges.used+size <= uintptr(len(room)) {
		p := unsafe.Add(base, first+ranges.used)
		ranges.used += size
		return p
	}
	b := make([]byte, size+align)
	ranges.heap = append(ranges.heap, b)
	base = unsafe.Pointer(unsafe.SliceData(b))
	return unsafe.Add(base, up(uintptr(base))-uintptr(base))
}

func up(n uintptr) uintptr { return (n + align - 1) &^ (align - 1) }
