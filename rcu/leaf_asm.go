//go:build linux && (amd64 || arm64)

package rcu

import (
	"unsafe"

	"quiesce/internal/percpu"
	"quiesce/internal/sys"
)

// The leaves of this package (see internal/sys, "Leaves"): ReadLock and Unlock, each
// in one function. They do what readLock and unlock do, by the same plain loads
// and stores in the same order.

// leafCPUs is where the leaves find the state of the Ps. While it is nil they
// take the pinned path. Immutable after init.
var leafCPUs unsafe.Pointer

func init() {
	if sys.LeavesWork() {
		leafCPUs = percpu.All()
	}
}

// leafLock begins a section, and returns what is in its guard.
func leafLock() (state uint64) // ord:index,lock,mark

// leafUnlock ends a section.
//
//go:noescape
func leafUnlock(guard *Guard) // ord:unlock

// For the code in assembly, which knows the constants of this package only.
const (
	offsetM   = sys.OffsetM
	offsetP   = sys.OffsetP
	offsetID  = sys.OffsetID
	lineShift = percpu.LineShift
	cpuReader = unsafe.Offsetof(percpu.CPU{}.Reader)
	cpuLock   = unsafe.Offsetof(percpu.CPU{}.Lock)
	cpuUnlock = unsafe.Offsetof(percpu.CPU{}.Unlock)
	guardIdx  = unsafe.Offsetof(Guard{}.idx)
	indexWord = unsafe.Offsetof(alone{}.Uint64)
	guardOpen = guardLive | guardLent
)

// Called in assembly.
var (
	_ = lockPinned
	_ = unlockPinned
)
