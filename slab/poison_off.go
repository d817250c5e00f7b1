//go:build !poison && !asan

package slab

import (
	"unsafe"

	"quiesce/gfp"
)

// poisonOn: this build checks every object; see poison_on.go. Here all of it
// stands behind constant false branches, which leave nothing in the code.
const poisonOn = false

// PoisonEnabled reports whether this build checks every object (-tags poison,
// or -asan).
const PoisonEnabled = poisonOn

//lint:ignore U1000 the field of cache is empty in this build
type poisoned struct{}

// slotOf is the place that an object takes in its slab: lead bytes before it,
// pitch bytes in all.
func slotOf(size uintptr) (lead, pitch uintptr) { return 0, size }

func (c *cache) poisonInit(uintptr) {}

func (c *cache) poisonRetire() {}

func (c *cache) poisonAlloc(gfp.Flags, uintptr) unsafe.Pointer { return nil }

func (c *cache) poisonAllocBulk(gfp.Flags, []unsafe.Pointer) int { return 0 }

func (c *cache) poisonFree(unsafe.Pointer, string) unsafe.Pointer { return nil }

func (c *cache) poisonFreeBulk([]unsafe.Pointer) {}

func (c *cache) poisonFreeRCU(unsafe.Pointer) unsafe.Pointer { return nil }

func (c *cache) poisonEnded([]uint32) {}

func (c *cache) poisonSlab(uint32) {}

func (c *cache) poisonDrop(uint32) {}

func (c *cache) poisonLeaks() int { return 0 }

func (c *cache) poisonSize(unsafe.Pointer) uintptr { return 0 }

func (c *cache) poisonResize(unsafe.Pointer, uintptr, bool) bool { return false }

func (c *cache) poisonObjects() int { return 0 }

func (c *cache) poisonFlush() {}

func (c *cache) complain(string) {}

func poisonForeign(unsafe.Pointer, string) {}

func (c *cache) guardWork() bool { return false }

func (c *cache) guardTake() bool { return false }

func (c *cache) guardEnded() {}

func (c *cache) guardOut() int { return 0 }

func guardOwner(unsafe.Pointer) *cache { return nil }

// SetReporter has fn called with every report of a `-tags poison` build in
// place of writing it to standard error, until restore is called. Other builds
// make no reports. fn may be called in any context and under the package's
// locks: it must only keep the text.
func SetReporter(fn func(report string)) (restore func()) { return func() {} }

// Describe returns what a `-tags poison` build knows of the object that p
// points into or next to: cache, state, who allocated and who freed it. Other
// builds know nothing and return "". Any context. The kernel's mem_dump_obj.
func Describe(p unsafe.Pointer) string { return "" }
