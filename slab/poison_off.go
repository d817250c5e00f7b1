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

// Describe returns what is known of the object that p points into or next to: cache,
// state, who allocated and who freed it. It knows the objects that [SampleGuards]
// watches, and in a build with -tags poison all. Of others it returns "".
//
// Context: any.
//
// Linux: mem_dump_obj.
func Describe(p unsafe.Pointer) string { return describeGuarded(p) }
