//go:build race

package race

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// Enabled reports whether this is a race build.
const Enabled = true

// Disable begins hidden code. It nests, in one goroutine.
//
//go:nosplit
func Disable() { runtime.RaceDisable() }

// Enable ends hidden code.
//
//go:nosplit
func Enable() { runtime.RaceEnable() }

// Clock is a clock with an address of its own.
type Clock struct{ _ uint64 }

// Acquire orders what follows after what was released into the clock.
func (c *Clock) Acquire() { runtime.RaceAcquire(unsafe.Pointer(c)) }

// Release makes the clock hold what this goroutine did and nothing else.
func (c *Clock) Release() { runtime.RaceRelease(unsafe.Pointer(c)) }

// Merge adds what this goroutine did to the clock.
func (c *Clock) Merge() { runtime.RaceReleaseMerge(unsafe.Pointer(c)) }

// Read-side sections and grace periods; see "Epochs" in doc.go.
var (
	begun    atomic.Uint64 // grace periods
	sections [2]Clock      // ends of sections, by epoch
	last     Clock         // end of the latest grace period
	ends     [64]Clock     // ends of grace periods, by number
)

// Enter returns the epoch of a read-side section that begins. Call it after
// announcing the section.
//
//go:norace
func Enter() uint64 {
	runtime.RaceDisable()
	epoch := begun.Add(0) // a read-modify-write: a fence after the announcement
	runtime.RaceEnable()
	return epoch
}

// Exit ends a section of the epoch. Call it before announcing the end.
//
//go:norace
func Exit(epoch uint64) { sections[epoch%2].Merge() }

// GracePeriodBegan follows the driver's first step, in hidden code.
//
//go:norace
func GracePeriodBegan() { begun.Add(1) }

// GracePeriodEnded precedes the driver's last step and follows all waiting; n
// is the grace period's number, from 1. Not in hidden code.
//
//go:norace
func GracePeriodEnded(n uint64) {
	runtime.RaceDisable()
	epoch := begun.Load() - 1
	runtime.RaceEnable()
	last.Acquire()
	sections[epoch%2].Acquire()
	last.Release()
	ends[n%uint64(len(ends))].Release()
}

// GracePeriodSeen orders what follows after the end of grace period n, which
// the caller has just seen.
func GracePeriodSeen(n uint64) { ends[n%uint64(len(ends))].Acquire() }
