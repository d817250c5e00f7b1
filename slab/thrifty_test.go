//go:build !poison && !asan && !race

// Poison builds have no sheaves, race builds none that are small.

package slab

import (
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
)

// At a limit that many size classes share, what each keeps at hand is a small part of
// it in all: free objects in sheaves, and the sheaves themselves.
func TestManyClassesKeepLittleOfALimit(t *testing.T) {
	testkit.Procs(t, 1)
	const limit, each = 64 << 20, 512 << 10
	a := newPages(t, limit)
	h := NewHeap(a, FineClasses())
	var ps []unsafe.Pointer
	classes := 0
	for i := h.classFor(64); i <= h.classFor(1024); i++ {
		size := int(h.sizeOfClass(i))
		classes++
		for range each / size {
			p := h.Kmalloc(size, gfp.Kernel)
			if p == nil {
				t.Fatal("no memory")
			}
			ps = append(ps, p)
		}
	}
	byTurns(ps, h.Kfree, func(unsafe.Pointer) {})
	if classes < 30 {
		t.Errorf("%d classes", classes)
	}
	// At rest: what is on its way to a depot is more.
	testkit.Eventually(t, 10*time.Second, "the classes keep more than a 16th of the limit at hand", func() bool {
		kept := int64(0)
		for _, s := range h.Stats() {
			kept += s.Bytes - int64(s.Slabs*s.SlabBytes) + int64(s.Cached*s.ObjectSize)
		}
		return kept <= limit/16
	})
	byTurns(ps, func(unsafe.Pointer) {}, h.Kfree)
	mustClose(t, h, a)
}
