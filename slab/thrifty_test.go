//go:build !poison && !asan && !race

// Poison builds have no sheaves, race builds none that are small.

package slab

import (
	"testing"
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
	kept := int64(0)
	for _, s := range h.Stats() {
		kept += s.Bytes - int64(s.Slabs*s.SlabBytes) + int64(s.Cached*s.ObjectSize)
	}
	t.Logf("%d classes keep %d KiB at hand", classes, kept>>10)
	if most := int64(limit / 16); classes < 30 || kept > most {
		t.Errorf("%d classes keep %d KiB at hand, want at most %d", classes, kept>>10, most>>10)
	}
	byTurns(ps, func(unsafe.Pointer) {}, h.Kfree)
	mustClose(t, h, a)
}
