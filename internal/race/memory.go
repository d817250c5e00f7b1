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

// write counts as a write. The detector reports its caller, not write itself, as
// the writer: the innermost frame is the compiler's wrapper of the assembly
// function.
//
//go:noinline
func write(p unsafe.Pointer, size uintptr) { runtime.RaceWriteRange(p, int(size)) }

// SlabMade records that the caller's pages became a slab.
func SlabMade(slab unsafe.Pointer) { runtime.RaceReleaseMerge(unsafe.Add(slab, slabClock)) }

// Reallocated records that an object of a slab is handed out.
func Reallocated(p unsafe.Pointer, size uintptr, slab unsafe.Pointer) {
	runtime.RaceAcquire(unsafe.Add(slab, slabClock))
	runtime.RaceAcquire(unsafe.Add(p, objectClock))
	write(p, size)
}

// Freed records that an object was freed, for reuse at once.
func Freed(p unsafe.Pointer, size uintptr) {
	write(p, size)
	runtime.RaceRelease(unsafe.Add(p, objectClock))
}

// Retired records that an object was freed, for reuse after a grace period.
func Retired(p unsafe.Pointer) { runtime.RaceReleaseMerge(unsafe.Add(p, objectClock)) }

// FreedAfterGracePeriod records that this grace period has ended and that the
// caller has seen it end.
func FreedAfterGracePeriod(p unsafe.Pointer, size uintptr) {
	runtime.RaceAcquire(unsafe.Add(p, objectClock))
	write(p, size)
	runtime.RaceRelease(unsafe.Add(p, objectClock))
}

// Collected orders the caller after the freeing of an object.
func Collected(p unsafe.Pointer) { runtime.RaceAcquire(unsafe.Add(p, objectClock)) }

// PagesAllocated records that size bytes of pages are handed out.
func PagesAllocated(p unsafe.Pointer, size, page uintptr) {
	for off := uintptr(0); off < size; off += page {
		runtime.RaceAcquire(unsafe.Add(p, off+pageClock))
	}
	write(p, size)
}

// PagesFreed records that size bytes of pages were freed.
func PagesFreed(p unsafe.Pointer, size, page uintptr) {
	write(p, size)
	for off := uintptr(0); off < size; off += page {
		runtime.RaceRelease(unsafe.Add(p, off+pageClock))
	}
}

// The memory of pages. The detector watches the Go heap and variables, but no
// memory that was mapped in any other way. The first range, the default
// allocator's, is cut from a variable: it costs no memory until it is touched,
// and neither paces the garbage collector nor counts towards GOMEMLIMIT, as a
// live heap object of this size would. Later ranges come from the heap. Neither
// is ever returned: allocators recycle ranges.

const (
	// MaxRange is the size of the largest address range. The detector's
	// shadow takes twice as much in addition, where it is touched.
	MaxRange = 256 << 20

	align = 2 << 20 // the largest block of pages
)

var room [MaxRange + align]byte

var ranges struct {
	sync.Mutex
	used uintptr  // bytes of room
	heap [][]byte // kept forever
}

// Memory returns size bytes of memory that the detector watches, zero, aligned
// to 2 MiB and never returned.
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
