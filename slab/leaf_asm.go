//go:build linux && (amd64 || arm64)

package slab

import (
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/percpu"
	"quiesce/internal/sys"
)

// The leaves of this package (see internal/sys, "Leaves"): what alloc, free and
// freeRCU do, each in one function, by the same plain loads and stores in the same
// order. Where a sheaf is empty or full they clear busy and leave the whole
// operation to the pinned path: revoking sees an operation that changed nothing.

// leafRows is where the leaves find the number of rows of slots that are open.
// While it is nil they take the pinned path. Immutable after init.
var leafRows *uintptr

func init() {
	if sys.LeavesWork() {
		leafRows = percpu.Rows()
	}
}

// leafAlloc allocates an object.
func leafAlloc(c *cache, f gfp.Flags) unsafe.Pointer // ord:slot-busy,slot-exit

// leafFree frees an object at once.
//
//go:noescape
func leafFree(c *cache, p unsafe.Pointer) // ord:slot-busy,slot-exit

// leafFreeRCU frees an object after a grace period.
//
//go:noescape
func leafFreeRCU(c *cache, p unsafe.Pointer) // ord:slot-busy,slot-exit

// For the code in assembly, which knows the constants of this package only.
const (
	offsetM    = sys.OffsetM
	offsetP    = sys.OffsetP
	offsetID   = sys.OffsetID
	pitchShift = percpu.PitchShift
	zeroFlag   = gfp.Zero // the highest flag
	cacheSlots = unsafe.Offsetof(cache{}.slots)
	cacheBase  = unsafe.Offsetof(cache{}.base)
	cacheUnits = unsafe.Offsetof(cache{}.units)
	slotBusy   = unsafe.Offsetof(slot{}.busy)
	slotMain   = unsafe.Offsetof(slot{}.main)
	slotRCU    = unsafe.Offsetof(slot{}.rcu)
	sheafN     = unsafe.Offsetof(sheaf{}.n)
	sheafCap   = unsafe.Offsetof(sheaf{}.cap)
)

// Called in assembly.
var (
	_ = allocPinned
	_ = freePinned
	_ = freeRCUPinned
)
