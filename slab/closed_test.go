package slab

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/preempt"
	"quiesce/rcu"
)

// closed has a cache and a Heap that are closed, and an object that each had.
type closed struct {
	c *Cache[cell]
	p *cell
	h *Heap
	q unsafe.Pointer
}

func newClosed(t *testing.T) closed {
	a := newPages(t, 0)
	s := closed{c: newTest[cell](t, a), h: NewHeap(a)}
	s.p, s.q = s.c.Alloc(gfp.Kernel), s.h.Kmalloc(60, gfp.Kernel)
	s.c.Free(s.p)
	s.h.Kfree(s.q)
	mustClose(t, s.c, s.h)
	return s
}

const quietly = gfp.NoLocks | gfp.NoWarn

// closedOps are the operations that a closed cache or Heap refuses.
var closedOps = []struct {
	name string
	do   func(s closed)
}{
	{"Alloc", func(s closed) { s.c.Alloc(quietly) }},
	{"AllocBulk", func(s closed) { s.c.AllocBulk(quietly, make([]*cell, 3)) }},
	{"Free", func(s closed) { s.c.Free(s.p) }},
	{"FreeBulk", func(s closed) { s.c.FreeBulk([]*cell{nil, s.p}) }},
	{"FreeRCU", func(s closed) { s.c.FreeRCU(s.p) }},
	{"Barrier", func(s closed) { s.c.Barrier() }},
	{"Shrink", func(s closed) { s.c.Shrink() }},
	{"Reserve", func(s closed) { _ = s.c.Reserve(3) }},
	{"Kmalloc", func(s closed) { s.h.Kmalloc(60, quietly) }},
	{"Kmalloc of a new class", func(s closed) { s.h.Kmalloc(500, quietly) }},
	{"Krealloc of nil", func(s closed) { s.h.Krealloc(nil, 60, quietly) }},
	{"Krealloc", func(s closed) { s.h.Krealloc(s.q, 600, quietly) }},
	{"Kfree", func(s closed) { s.h.Kfree(s.q) }},
	{"KfreeBulk", func(s closed) { s.h.KfreeBulk([]unsafe.Pointer{nil, s.q}) }},
	{"KfreeRCU", func(s closed) { s.h.KfreeRCU(s.q) }},
	{"KfreeRCUSized", func(s closed) { s.h.KfreeRCUSized(s.q, 60) }},
	{"KfreeRCUSized of a new class", func(s closed) { s.h.KfreeRCUSized(s.q, 500) }},
	{"Prepare", func(s closed) { _ = s.h.Prepare(60) }},
	{"Prepare of a new class", func(s closed) { _ = s.h.Prepare(500) }},
	{"Heap.Barrier", func(s closed) { s.h.Barrier() }},
	{"Heap.Shrink", func(s closed) { s.h.Shrink() }},
}

// Every operation on a closed cache or Heap is one panic that says so, and a
// program that recovers it is as well as before.
func TestUseOfWhatIsClosedPanicsAndTheProgramContinues(t *testing.T) {
	for _, context := range []struct {
		name string
		in   func(fn func())
	}{
		{"task", func(fn func()) { fn() }},
		{"reader", func(fn func()) { rcu.Read(func(rcu.Guard) { fn() }) }},
		{"threaded handler", preempt.Threaded},
	} {
		for _, op := range closedOps {
			t.Run(context.name+"/"+op.name, func(t *testing.T) {
				s := newClosed(t)
				other := newTest[cell](t, s.c.c.pages) // has what the closed ones gave back
				p := other.Alloc(gfp.Kernel)
				for range 2 {
					testkit.Panics(t, func() { context.in(func() { op.do(s) }) }, "quiesce/slab: use of closed ")
				}
				if preempt.Atomic() {
					t.Fatal("still pinned")
				}
				testkit.Within(t, "a grace period", testkit.Async(rcu.Synchronize))
				runtime.GC()
				other.FreeRCU(p)
				if n := other.Validate(); n != 0 {
					t.Errorf("another cache has %d errors", n)
				}
				mustClose(t, other, s.c.c.pages)
			})
		}
	}
}

// Where a panic can't be recovered, the process ends with the same sentence.
func TestUseOfWhatIsClosedIsNamedWhereThePanicIsFatal(t *testing.T) {
	contexts := map[string]func(fn func()){
		"pinned": func(fn func()) {
			p := preempt.Disable()
			fn()
			p.Enable()
		},
		"hard interrupt handler": preempt.Hardirq,
	}
	if isChild() {
		s := newClosed(t)
		context, name, _ := strings.Cut(testkit.Scenario(), "/")
		for _, op := range closedOps {
			if op.name == name {
				contexts[context](func() { op.do(s) })
			}
		}
		t.Fatal("still alive")
	}
	for context := range contexts {
		if testing.Short() && context != "pinned" {
			continue // a process each
		}
		for _, op := range closedOps {
			t.Run(context+"/"+op.name, func(t *testing.T) {
				t.Parallel() // a process of its own
				out, err := testkit.OfTest(t, context+"/"+op.name).Output()
				if err == nil || !strings.Contains(out, "panic: quiesce/slab: use of closed ") {
					t.Errorf("%v\n%s", err, tail(out))
				}
			})
		}
	}
}

// What a closed cache or Heap still answers.
func TestFiguresOfWhatIsClosed(t *testing.T) {
	s := newClosed(t)
	mustClose(t, s.c.c.pages)
	for _, figures := range append(s.h.Stats(), s.c.Stats()) {
		if figures.Out != 0 || figures.Slabs != 0 || figures.Bytes != 0 {
			t.Errorf("%+v", figures)
		}
	}
	if n := s.c.Validate() + s.h.Validate(); n != 0 {
		t.Errorf("%d errors", n)
	}
	s.c.Free(nil)
	s.h.Kfree(nil)
	for _, err := range []error{s.c.Close(), s.h.Close()} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("the second Close: %v", err)
		}
	}
}

// A Heap that never made a class is closed as any other.
func TestAnUnusedHeapIsClosedOnce(t *testing.T) {
	a := newPages(t, 0)
	h := NewHeap(a)
	mustClose(t, h, a)
	if err := h.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("the second Close: %v", err)
	}
	testkit.Panics(t, func() { h.Kmalloc(8, gfp.Kernel) }, "use of closed Heap")
}

// A cache on an allocator that is closed could never serve: NewCache says so.
func TestNewCacheRefusesAClosedAllocator(t *testing.T) {
	a := newPages(t, 0)
	mustClose(t, a)
	if _, err := NewCache[cell]("late", WithAllocator(a)); err == nil || !strings.Contains(err.Error(), "slab: cache late: its allocator is closed") {
		t.Errorf("NewCache: %v", err)
	}
	h := NewHeap(a)
	if err := h.Prepare(64); err == nil || !strings.Contains(err.Error(), "its allocator is closed") {
		t.Errorf("Prepare: %v", err)
	}
}
