package slab

import (
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/sizeclass"
	"quiesce/internal/testkit"
	"quiesce/page"
)

// A Heap that is discarded gives all of its pages back, whatever was allocated,
// freed or pending.
func TestADiscardedHeapGivesEverythingBack(t *testing.T) {
	if !canDiscard {
		t.Skip("objects are freed one by one in this build")
	}
	a := newPages(t, 0)
	h := NewHeap(a, FineClasses())
	pages.Unguarded(h)
	for i := range 20_000 {
		p := h.Kmalloc(1+i%3000, gfp.Kernel)
		switch i % 7 {
		case 0:
			h.Kfree(p)
		case 1:
			h.KfreeRCU(p)
		}
	}
	if err := pages.DiscardHeap(h); err != nil {
		t.Fatal(err)
	}
	for _, s := range h.Stats() {
		if s.Out != 0 || s.Bytes != 0 {
			t.Errorf("%+v", s)
		}
	}
	// The scavenger may have some of the pages in its hands.
	testkit.Eventually(t, 10*time.Second, "the return of all pages", func() bool { return a.Stats().InUse == 0 })
	// What comes after it finds clean pages.
	h = NewHeap(a)
	pages.Unguarded(h)
	for range 20_000 {
		if h.Kmalloc(64, gfp.Kernel) == nil {
			t.Fatal("no memory")
		}
	}
	if err := pages.DiscardHeap(h); err != nil {
		t.Fatal(err)
	}
}

// With FineClasses no object up to 512 bytes has 16 bytes or more that it did not
// ask for, and every size has the class that was made for it.
func TestFineClassesFit(t *testing.T) {
	h := NewHeap(page.Default(), FineClasses())
	last := -1
	for size := uintptr(1); size <= maxSize; size = max(size+1, size+size/64) {
		i := h.classFor(size)
		if i < last || i >= len(h.class) {
			t.Fatalf("%d bytes are class %d, fewer were %d", size, i, last)
		}
		last = i
		have := h.sizeOfClass(i)
		if have < size || size <= sizeclass.Dense && have >= size+unit || have > size+size/4+unit {
			t.Errorf("%d bytes get %d", size, have)
		}
		if got := h.classFor(have); got != i {
			t.Errorf("class %d has %d bytes, which are class %d", i, have, got)
		}
	}
	if last != len(h.class)-1 {
		t.Errorf("the last class used is %d of %d", last, len(h.class))
	}
	p := h.Kmalloc(129, gfp.Kernel)
	if s := h.Stats(); len(s) != 1 || s[0].Name != "kmalloc-144" {
		t.Errorf("%+v", s)
	}
	h.Kfree(p)
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}
