//go:build !poison && !asan && !race

package slab

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

const testSlots = 64

// sampleAll has every allocation that leaves its fast path get a guard page, until the
// test ends. All pages are at rest then.
func sampleAll(t testing.TB) *samplePool {
	t.Helper()
	if err := SampleGuards(GuardConfig{Every: 1, Slots: testSlots}); err != nil {
		t.Skip(err) // QUIESCE=guards=N was first
	}
	t.Cleanup(func() {
		if err := SampleGuards(GuardConfig{}); err != nil {
			t.Error(err)
		}
		eventually(t, "all guard pages at rest", func() bool { return ReadGuardStats().Live == 0 })
	})
	return samples.Load()
}

// notSampledFor returns the address of a guard page that has no object of c.
func notSampledFor(t testing.TB, c *cache) unsafe.Pointer {
	t.Helper()
	g := samples.Load()
	for i := range g.cells {
		if g.cells[i].owner != c {
			return g.pageOf(uint32(i))
		}
	}
	t.Fatal("every guard page has an object of the cache")
	return nil
}

// isSampled reports whether an object has a guard page.
func isSampled[T any](p *T) bool {
	_, ok := samples.Load().cellOf(unsafe.Pointer(p))
	return ok
}

// mustFault checks that an access faults, and returns the report.
func mustFault(t testing.TB, access func()) string {
	t.Helper()
	var e *FaultError
	if err := CatchFaults(access); !errors.As(err, &e) {
		t.Errorf("no fault: %v", err)
		return ""
	}
	return e.Error()
}

//go:noinline
func look(p *byte) byte { return *p }

func TestAUseOfASampledObjectAfterItsFreeCanBeRecovered(t *testing.T) {
	sampleAll(t)
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	for range 2 { // at the end of its page, and at its beginning
		p := builder(c)
		if !isSampled(p) || uintptr(unsafe.Pointer(p))%unit != 0 {
			t.Fatalf("%p is not sampled, or not aligned", p)
		}
		if err := CatchFaults(func() { *at(p, 16) = 1 }); err != nil {
			t.Fatalf("a live object faults: %v", err)
		}
		has(t, Describe(unsafe.Pointer(p)), "Allocated by", "slab.builder", "allocated 56-byte object")
		owner(c, p)
		has(t, mustFault(t, func() { look(at(p, 16)) }), "BUG: quiesce: slab-use-after-free in ", "Access at addr 0x", "slab.look",
			"Allocated by goroutine ", "slab.builder", "Freed by goroutine ", "slab.owner",
			"located 16 bytes inside of\nfreed 56-byte object [0x", "of cache "+c.c.name, "It is a guarded object")
		has(t, Describe(unsafe.Pointer(at(p, 16))), "slab.builder", "slab.owner", "located 16 bytes inside of")
	}
	mustClose(t, c, a)
}

func TestAnAccessNextToASampledObjectFaults(t *testing.T) {
	sampleAll(t)
	a := newPages(t, 0)
	c := newTest[[64]byte](t, a)
	p, q := c.Alloc(gfp.Kernel), c.Alloc(gfp.Kernel)
	if uintptr(unsafe.Pointer(p))%4096 == 0 {
		p, q = q, p
	}
	has(t, mustFault(t, func() { look(at(p, 64)) }), "slab-out-of-bounds", "located 0 bytes after\nallocated 64-byte object")
	has(t, mustFault(t, func() { look(at(q, -1)) }), "slab-out-of-bounds", "located 1 bytes before\nallocated 64-byte object")
	c.Free(p)
	c.Free(q)
	mustClose(t, c, a)
}

// Other panics pass through, and other faults are not explained.
func TestOtherPanicsAreNotExplained(t *testing.T) {
	sampleAll(t)
	testkit.Panics(t, func() { _ = CatchFaults(func() { panic("mine") }) }, "mine")
	func() {
		defer func() {
			if e, ok := recover().(runtime.Error); !ok || !strings.Contains(e.Error(), "nil pointer dereference") {
				t.Errorf("recovered %v", e)
			}
		}()
		_ = CatchFaults(func() { look(nil) })
	}()
	if e := ExplainFault(nil); e != nil {
		t.Error(e)
	}
	if text := Describe(unsafe.Pointer(new(byte))); text != "" {
		t.Errorf("of a Go object it is said: %s", text)
	}
}

func TestASecondFreeOfASampledObjectPanicsWithBothStacks(t *testing.T) {
	reports := quiet(t)
	sampleAll(t)
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	for _, first := range []struct {
		name string
		free func(*cell)
		says string
	}{
		{"owner", func(p *cell) { owner(c, p) }, "\nFreed by goroutine "},
		{"retirer", func(p *cell) { retirer(c, p) }, "\nIts grace period has not ended. Given to FreeRCU by goroutine "},
		{"retirer", func(p *cell) { retirer(c, p); c.Barrier() }, "\nIts grace period has ended and it was freed. Given to FreeRCU by goroutine "},
	} {
		for _, again := range []bool{false, true} {
			p := builder(c)
			reader := farReader() // the grace period doesn't end by itself
			if strings.Contains(first.says, "has ended") {
				reader.Unlock()
				reader = rcu.Guard{}
			}
			first.free(p)
			testkit.Panics(t, func() { culprit(c, p, again) }, "double free of 0x", "in cache "+c.c.name)
			has(t, one(t, reports()), "BUG: quiesce: double-free in "+thisPackage+"culprit", "\nAllocated by goroutine ", "slab.builder",
				first.says, "slab."+first.name, "freed 56-byte object [0x", "of cache "+c.c.name)
			if reader != (rcu.Guard{}) {
				reader.Unlock()
			}
		}
	}
	mustClose(t, c, a)
}

func TestOtherMisuseOfASampledObjectIsNamed(t *testing.T) {
	reports := quiet(t)
	sampleAll(t)
	a := newPages(t, 0)
	c, other, h := newTest[cell](t, a), newTest[[48]byte](t, a), NewHeap(a)
	p := builder(c)
	testkit.Panics(t, func() { c.Free((*cell)(unsafe.Pointer(at(p, 16)))) }, "inside an object")
	has(t, one(t, reports()), "BUG: quiesce: invalid-free", "located 16 bytes inside of\nallocated")
	testkit.Panics(t, func() { other.FreeBulk([]*[48]byte{(*[48]byte)(unsafe.Pointer(p))}) }, "foreign free of 0x", "in cache "+other.c.name)
	has(t, one(t, reports()), "BUG: quiesce: invalid-free", "of cache "+c.c.name)
	testkit.Panics(t, func() { h.Kfree(unsafe.Pointer(p)) }, "foreign pointer")
	elsewhere := notSampledFor(t, &c.c)
	testkit.Panics(t, func() { c.Free((*cell)(elsewhere)) }, "foreign free of 0x")
	c.Free(p)
	mustClose(t, c, other, h, a)
}

// What is changed in an object's page next to it, where nothing faults, is seen at
// the free, and at the end of the grace period.
func TestBytesNextToASampledObjectAreChecked(t *testing.T) {
	reports := quiet(t)
	sampleAll(t)
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	for range 2 {
		p := builder(c)
		if uintptr(unsafe.Pointer(p))%4096 != 0 {
			*at(p, -1) = 1
			owner(c, p)
			has(t, one(t, reports()), "BUG: quiesce: slab-out-of-bounds, found in "+thisPackage+"owner", "Write of size 1", "found at Free", "slab.owner",
				"Allocated by", "slab.builder", "located 1 bytes before")
		} else {
			*at(p, 60) = 1
			g := farReader()
			retirer(c, p)
			has(t, one(t, reports()), "slab-out-of-bounds, found in "+thisPackage+"retirer", "found at FreeRCU", "located 4 bytes after")
			*at(p, 57) = 2
			g.Unlock()
			c.Barrier()
			has(t, one(t, reports()), "slab-out-of-bounds, found in ", "found at the end of its grace period", "Given to FreeRCU", "slab.retirer", "located 1 bytes after")
		}
	}
	mustClose(t, c, a)
}

// A reader uses an object that was given to FreeRCU until its section ends.
func TestASampledObjectStaysUntilItsGracePeriodIsOver(t *testing.T) {
	sampleAll(t)
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	p := builder(c)
	p.id = 7
	g := farReader()
	retirer(c, p)
	c.c.reclaimMu.Lock() // what the service does, before the grace period is over
	if c.c.collectSamplesLocked() == 0 {
		t.Error("it waits for no grace period")
	}
	c.c.freeSamplesLocked()
	c.c.reclaimMu.Unlock()
	if s := c.Stats(); s.Deferred != 1 || s.Live != 0 || s.Out != 1 || s.Guarded != 1 {
		t.Errorf("Deferred %d, Live %d, Out %d, Guarded %d", s.Deferred, s.Live, s.Out, s.Guarded)
	}
	if err := CatchFaults(func() {
		if p.id != 7 {
			t.Error("a reader's object has changed")
		}
	}); err != nil {
		t.Error(err)
	}
	g.Unlock()
	c.Barrier()
	has(t, mustFault(t, func() { look(at(p, 0)) }), "slab-use-after-free", "Its grace period has ended and it was freed. Given to FreeRCU", "slab.retirer")
	if s := c.Stats(); s.Out != 0 || s.RCUArrays != 1 || s.Bulk != 1 {
		t.Errorf("Out %d, RCUArrays %d, Bulk %d", s.Out, s.RCUArrays, s.Bulk)
	}
	mustClose(t, c, a)
}

// Without Barrier the service frees it, in time.
func TestTheServiceFreesRetiredSampledObjects(t *testing.T) {
	sampleAll(t)
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	p := builder(c)
	retirer(c, p)
	eventually(t, "the page at rest", func() bool { return ReadGuardStats().Live == 0 })
	mustFault(t, func() { look(at(p, 0)) })
	mustClose(t, c, a)
}

// A page's rights change in tasks alone, and it is protected soon after a free in any
// context.
func TestSampledObjectsMayBeFreedInEveryContext(t *testing.T) {
	sampleAll(t)
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	for range 20 {
		for _, ctx := range contexts {
			p, q := c.Alloc(gfp.Kernel), c.Alloc(gfp.Kernel)
			if !isSampled(p) || !isSampled(q) {
				t.Fatal("not sampled")
			}
			ctx.in(func() {
				c.Free(p)
				c.FreeRCU(q)
			})
			eventually(t, "both pages at rest", func() bool { return ReadGuardStats().Live == 0 })
			mustFault(t, func() { look(at(p, 0)) })
			mustFault(t, func() { look(at(q, 0)) })
		}
	}
	mustClose(t, c, a)
}

// Close waits for the goroutine that protects what was freed in a raw atomic context:
// its allocator may be closed then.
func TestCloseWaitsForPagesThatAreProtected(t *testing.T) {
	sampleAll(t)
	for range 50 {
		a := newPages(t, 0)
		c := newTest[cell](t, a)
		var ps [8]*cell
		for i := range ps {
			ps[i] = c.Alloc(gfp.Kernel)
		}
		whilePinned(func() {
			for i := range ps {
				c.Free(ps[i])
			}
		})
		mustClose(t, c, a)
	}
}
