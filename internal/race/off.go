//go:build !race

package race

import "unsafe"

// Enabled reports whether this is a race build.
const Enabled = false

// Disable begins hidden code. It nests, in one goroutine.
func Disable() {}

// Enable ends hidden code.
func Enable() {}

// Clock is a clock with an address of its own.
type Clock struct{}

// Acquire orders what follows after what was released into the clock.
func (c *Clock) Acquire() {}

// Release makes the clock hold what this goroutine did and nothing else.
func (c *Clock) Release() {}

// Merge adds what this goroutine did to the clock.
func (c *Clock) Merge() {}

// Enter returns the epoch of a read-side section that begins. Call it after
// announcing the section.
func Enter() uint64 { return 0 }

// Exit ends a section of the epoch. Call it before announcing the end.
func Exit(uint64) {}

// GracePeriodBegan follows the driver's first step, in hidden code.
func GracePeriodBegan() {}

// GracePeriodEnded precedes the driver's last step and follows all waiting; n
// is the grace period's number, from 1. Not in hidden code.
func GracePeriodEnded(uint64) {}

// GracePeriodSeen orders what follows after the end of grace period n, which
// the caller has just seen.
func GracePeriodSeen(uint64) {}

// SlabMade records that the caller's pages became a slab.
func SlabMade(unsafe.Pointer) {}

// Reallocated records that an object of a slab is handed out.
func Reallocated(p unsafe.Pointer, size uintptr, slab unsafe.Pointer) {}

// Freed records that an object was freed, for reuse at once.
func Freed(p unsafe.Pointer, size uintptr) {}

// Retired records that an object was freed, for reuse after a grace period.
func Retired(p unsafe.Pointer) {}

// FreedAfterGracePeriod records that this grace period has ended and that the
// caller has seen it end.
func FreedAfterGracePeriod(p unsafe.Pointer, size uintptr) {}

// Collected orders the caller after the freeing of an object.
func Collected(p unsafe.Pointer) {}

// PagesAllocated records that size bytes of pages are handed out.
func PagesAllocated(p unsafe.Pointer, size, page uintptr) {}

// PagesFreed records that size bytes of pages were freed.
func PagesFreed(p unsafe.Pointer, size, page uintptr) {}

// MaxRange is the size of the largest address range.
const MaxRange = 0

// Memory returns memory that the detector watches.
func Memory(uintptr) unsafe.Pointer { return nil }
