//go:build !poison && !asan

package slab

import (
	"unsafe"

	"quiesce/gfp"
)

// poisonOn says whether this build checks every object; see poison_on.go. Here
// it is false and poison is empty, which leaves nothing in the code.
const poisonOn = false

// PoisonEnabled reports whether this build checks every object (-tags poison,
// or -asan).
const PoisonEnabled = poisonOn

// poison is what happens to a cache's objects, by event. Methods that stand in
// for a path of the core, or change it, are called under poisonOn only.
type poison struct{}

func (*poison) cacheMade(*cache, uintptr) {}

func (*poison) cacheClosed() {}

func (*poison) leaks() int { return 0 }

func (*poison) slabMade(uint32) {}

func (*poison) slabDropped(uint32) {}

func (*poison) memoryShort() {}

func (*poison) alloc(gfp.Flags, uintptr) unsafe.Pointer { return nil }

func (*poison) allocBulk(gfp.Flags, []unsafe.Pointer) int { return 0 }

func (*poison) allocRaw(gfp.Flags) unsafe.Pointer { return nil }

func (*poison) handOut(unsafe.Pointer, gfp.Flags) unsafe.Pointer { return nil }

func (*poison) freed(unsafe.Pointer, string) unsafe.Pointer { return nil }

func (*poison) freedBulk([]unsafe.Pointer) {}

func (*poison) retired(unsafe.Pointer) unsafe.Pointer { return nil }

func (*poison) pending() bool { return false }

func (*poison) takePending() bool { return false }

func (*poison) gracePeriodEnded() {}

func (*poison) reclaimed([]uint32) {}

func (*poison) sizeOf(unsafe.Pointer) uintptr { return 0 }

func (*poison) resized(unsafe.Pointer, uintptr, bool) bool { return false }

func (*poison) guardedOut() int { return 0 }

func (*poison) quarantined() int { return 0 }

func (*poison) examineAll() int { return 0 }

func (*poison) report(string) {}

func poisonOwner(unsafe.Pointer) *cache { return nil }

func poisonForeign(unsafe.Pointer, string) {}

func poisonLink(unsafe.Pointer, string, string) {}

// slotOf returns the place that an object takes in its slab: lead bytes before
// it, pitch bytes in all.
func slotOf(size uintptr) (lead, pitch uintptr) { return 0, size }

// SetReporter has fn called with every report of a `-tags poison` build, which
// is otherwise written to standard error, until restore is called. Other builds
// make no reports. fn must only keep the text: it may be called in any context
// and under the package's locks.
func SetReporter(fn func(report string)) (restore func()) { return func() {} }

// Describe returns what a `-tags poison` build knows of the object that p
// points into or next to: cache, state, who allocated and who freed it. Other
// builds know nothing and return "".
//
// Context: any.
//
// Linux: mem_dump_obj.
func Describe(p unsafe.Pointer) string { return "" }
