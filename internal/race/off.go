//go:build !race

package race

import "unsafe"

// Enabled says whether this is a race build.
const Enabled = false

// Disable begins hidden code. It nests, in one goroutine.
func Disable() {}

// Enable ends hidden code.
func Enable() {}

// Clock is a clock with an address of its own.
type Clock struct{}

// Acquire orders what follows behind what was released into the clock.
func (c *Clock) Acquire() {}

// Release has the clock hold what this goroutine did and nothing else.
func (c *Clock) Release() {}

// Merge adds what this goroutine did to the clock.
func (c *Clock) Merge() {}

// Enter returns the epoch of a read-side section that begins. The caller has
// announced the section.
func Enter() uint64 { return 0 }

// Exit is the end of a section of the epoch, before it is announced.
func Exit(uint64) {}

// GracePeriodBegan stands behind the driver's first step, hidden.
func GracePeriodBegan() {}

// GracePeriodEnded stands before the driver's last step, behind all waiting;
// n is the grace period's number, from 1. Not hidden.
func GracePeriodEnded(uint64) {}

// GracePeriodSeen orders what follows behind the end of grace period n, of
// which the caller has just learned.
func GracePeriodSeen(uint64) {}

// SlabMade: pages that the caller has become a slab.
func SlabMade(unsafe.Pointer) {}

// Reallocated: an object of a slab is handed out.
func Reallocated(p unsafe.Pointer, size uintptr, slab unsafe.Pointer) {}

// Freed: an object comes back at once.
func Freed(p unsafe.Pointer, size uintptr) {}

// Retired: an object is going to come back after a grace period.
func Retired(p unsafe.Pointer) {}

// FreedAfterGracePeriod: that grace period is over, and the caller has
// learned of it.
func FreedAfterGracePeriod(p unsafe.Pointer, size uintptr) {}

// Collected orders the caller behind the freeing of an object.
func Collected(p unsafe.Pointer) {}

// PagesAllocated: size bytes of pages are handed out.
func PagesAllocated(p unsafe.Pointer, size, page uintptr) {}

// PagesFreed: size bytes of pages come back.
func PagesFreed(p unsafe.Pointer, size, page uintptr) {}

// MaxRange is the size of the largest address range.
const MaxRange = 0

// Memory returns memory that the detector watches.
func Memory(uintptr) unsafe.Pointer { return nil }
