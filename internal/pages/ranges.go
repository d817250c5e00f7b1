package pages

import (
	"sync/atomic"
	"unsafe"

	"quiesce/internal/race"
)

// A span is address space that objects may lie in.
type span struct {
	base, size uintptr
	next       *span // immutable once the span is in the list
}

// spans lists every span of the process, the latest first. None ever leaves
// the list, because address ranges are never unmapped: they are used again by
// later allocators.
var spans atomic.Pointer[span]

// AddRange records that objects may lie in size bytes from p. The race
// detector does not see it: making an allocator orders no goroutine before
// those that call InRange.
//
// Context: any.
//
//go:norace
func AddRange(p unsafe.Pointer, size uintptr) {
	s := &span{base: uintptr(p), size: size}
	race.Disable()
	for {
		s.next = spans.Load()                // ord:ranges
		if spans.CompareAndSwap(s.next, s) { // ord:ranges
			break
		}
	}
	race.Enable()
}

// InRange reports whether p points into address space that AddRange recorded:
// the pages of any allocator, or a guarded object.
//
// Context: any.
//
//go:norace
func InRange(p unsafe.Pointer) (in bool) {
	race.Disable()
	for s := spans.Load(); s != nil && !in; s = s.next { // ord:ranges
		in = uintptr(p)-s.base < s.size
	}
	race.Enable()
	return in
}
