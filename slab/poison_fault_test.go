//go:build poison && !asan && linux && (amd64 || arm64)

package slab

import (
	"runtime/debug"
	"testing"
	"unsafe"

	"quiesce/gfp"
)

// debug.SetPanicOnFault makes a panic of the fault, with the address, of which
// Describe knows more.
func TestAFaultCanBeRecoveredAndDescribed(t *testing.T) {
	if guards.every == 0 {
		t.Skip("QUIESCE=guard=0")
	}
	c := newTest[cell](t, newPages(t, 0))
	p := builder(c)
	for guardSlotOf(unsafe.Pointer(p)) == nil { // sampled
		c.Free(p)
		p = builder(c)
	}
	owner(c, p)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	func() {
		defer func() {
			// at, and not &p.body[1], which would look whether p is nil by reading it
			e, ok := recover().(interface{ Addr() uintptr })
			if !ok || e.Addr() != uintptr(unsafe.Pointer(at(p, 16))) {
				t.Fatalf("recovered %v", e)
			}
			has(t, Describe(unsafe.Pointer(at(p, 16))), "slab.builder", "slab.owner", "located 16 bytes inside of\nfreed 56-byte object")
		}()
		reader(p)
	}()
	mustClose(t, c)
}

// What would be repaired ends the process with QUIESCE=panic_on_report=1.
func TestPanicOnReportPanics(t *testing.T) {
	if isChild() {
		c := newTest[cell](t, newPages(t, 0))
		withoutGuards(&c.c)
		p := builder(c)
		owner(c, p)
		writer(p, 1)
		c.Shrink()
		return
	}
	out, err := child(t, "panic_on_report=1")
	if err == nil {
		t.Error("the child survived")
	}
	has(t, out, "BUG: quiesce: slab-use-after-free, found in ", "panic: quiesce/slab: QUIESCE=panic_on_report: BUG: quiesce: slab-use-after-free")
}

// Sampling takes every guardEvery-th allocation, and the others are as before.
func TestEveryNthAllocationIsGuarded(t *testing.T) {
	if guards.every == 0 {
		t.Skip("QUIESCE=guard=0")
	}
	c := newTest[cell](t, newPages(t, 0))
	n := 0
	var ps []*cell
	for range 10_000 {
		p := c.Alloc(gfp.Kernel | gfp.Zero)
		if *p != (cell{}) {
			t.Fatal("not zero")
		}
		if guardSlotOf(unsafe.Pointer(p)) != nil {
			n++
		}
		ps = append(ps, p)
	}
	want := 10_000 / int(guards.every)
	if n < want-1 || n > want+1 {
		t.Errorf("%d of 10,000 are guarded, want %d", n, want)
	}
	c.FreeBulk(ps)
	mustClose(t, c)
}
