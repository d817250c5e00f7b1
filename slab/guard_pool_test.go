//go:build !poison && !asan && !race

package slab

import (
	"errors"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/testkit"
)

// Which allocations get guard pages, and what becomes of the pages.

// Allocations that may not sleep, or can't be guarded, are as usual.
func TestWhatIsNotSampled(t *testing.T) {
	g := sampleAll(t)
	a := newPages(t, 0)
	c, large, h := newTest[cell](t, a), newTest[[8192]byte](t, a), NewHeap(a)
	hook := newTest[[80]byte](t, a, withHook(func([]uint32) {}))
	pages.Unguarded(h)
	before := g.sampled.Load()
	s, err := c.Sheaf(4, gfp.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	ps := make([]*cell, 100)
	ps = ps[:c.AllocBulk(gfp.Kernel, ps)]
	ps = append(ps, c.Alloc(gfp.NoWait), c.Alloc(gfp.NoWait|gfp.NoLocks))
	c.FreeBulk(ps)
	l, k, o := large.Alloc(gfp.Kernel), h.Kmalloc(64, gfp.Kernel), hook.Alloc(gfp.Kernel)
	for range 100 { // those in stock, and then the cache's
		ps = append(ps, s.Alloc(gfp.Kernel))
	}
	whilePinned(func() { ps = append(ps, c.Alloc(gfp.NoWait|gfp.NoLocks)) })
	c.FreeBulk(ps[len(ps)-101:])
	if got := g.sampled.Load(); got != before {
		t.Errorf("%d are sampled", got-before)
	}
	large.Free(l)
	h.Kfree(k)
	hook.Free(o)
	s.Close()
	mustClose(t, c, large, hook, h, a)
}

// Without a page at rest allocations are served as usual; the page that was freed
// last is used after all others.
func TestPagesAreUsedInTurn(t *testing.T) {
	g := sampleAll(t)
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	var ps []*cell
	for range testSlots - testSlots/4 {
		ps = append(ps, c.Alloc(gfp.Kernel))
	}
	for _, p := range ps {
		if !isSampled(p) {
			t.Fatal("not sampled, with pages at rest")
		}
	}
	none := ReadGuardStats().NoSlot
	plain := c.Alloc(gfp.Kernel | gfp.Zero)
	if plain == nil || isSampled(plain) || ReadGuardStats().NoSlot != none+1 {
		t.Errorf("%p, without a page at rest", plain)
	}
	last, _ := g.cellOf(unsafe.Pointer(ps[0]))
	c.Free(ps[0])
	ps = append(ps[1:], plain)
	for i := range testSlots / 4 {
		p := (*cell)(c.c.sampleAlloc(gfp.Kernel))
		if p == nil {
			t.Fatal("no page")
		}
		if j, _ := g.cellOf(unsafe.Pointer(p)); j == last {
			t.Fatalf("the page that was freed last is used after %d others", i)
		}
		c.Free(p)
	}
	p := (*cell)(c.c.sampleAlloc(gfp.Kernel))
	if j, _ := g.cellOf(unsafe.Pointer(p)); j != last {
		t.Error("the page that was freed first is not the next")
	}
	c.Free(p)
	c.FreeBulk(ps)
	mustClose(t, c, a)
}

// A page counts while its object is allocated, and never above the limit.
func TestGuardPagesCountAgainstTheLimit(t *testing.T) {
	g := sampleAll(t)
	const limit = 1 << 20
	a := newPages(t, limit)
	c := newTest[cell](t, a)
	before := a.Stats()
	var ps []*cell
	for range 10 {
		ps = append(ps, c.Alloc(gfp.Kernel))
	}
	if s := a.Stats(); s.Resident-before.Resident != 10*int64(g.page) || s.InUse-before.InUse != 10*int64(g.page) {
		t.Errorf("10 pages of %d: Resident %d more, InUse %d more", g.page, s.Resident-before.Resident, s.InUse-before.InUse)
	}
	if s := c.Stats(); s.Bytes != 10*int64(g.page) || s.Live != 10 || s.Guarded != 10 || s.Objects != 10 {
		t.Errorf("Bytes %d, Live %d, Guarded %d, Objects %d", s.Bytes, s.Live, s.Guarded, s.Objects)
	}
	if err := a.Close(); err == nil {
		t.Error("the allocator is closed under guarded objects")
	}
	var held []unsafe.Pointer
	for p := a.Alloc(0, gfp.NoWait|gfp.NoWarn); p != nil; p = a.Alloc(0, gfp.NoWait|gfp.NoWarn) {
		held = append(held, p)
	}
	none := ReadGuardStats().NoMemory
	if p := c.c.sampleAlloc(gfp.Kernel); p != nil || ReadGuardStats().NoMemory != none+1 {
		t.Errorf("%p, without room below the limit", p)
	}
	for range 32 {
		a.Free(held[len(held)-1], 0)
		held = held[:len(held)-1]
	}
	a.Shrink()
	for p := c.c.sampleAlloc(gfp.Kernel); p != nil; p = c.c.sampleAlloc(gfp.Kernel) {
		ps = append(ps, (*cell)(p))
	}
	if s := a.Stats(); s.Resident > limit || s.Peak > limit || len(ps) < 20 {
		t.Errorf("%d objects, %d bytes resident, %d at most", len(ps), s.Resident, s.Peak)
	}
	c.FreeBulk(ps)
	for _, p := range held {
		a.Free(p, 0)
	}
	if s := a.Stats(); s.Resident > limit || s.InUse != 0 {
		t.Errorf("%d bytes resident, %d in use", s.Resident, s.InUse)
	}
	mustClose(t, c, a)
}

func TestALeakedSampledObjectIsALeak(t *testing.T) {
	sampleAll(t)
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	p := builder(c)
	var leak *LeakError
	if err := c.Close(); !errors.As(err, &leak) || leak.Objects != 1 || leak.First != uintptr(unsafe.Pointer(p)) {
		t.Errorf("Close: %v, want one object at %p", err, p)
	}
	p.id = 1 // a late user does no harm
	testkit.Panics(t, func() { c.Free(p) }, "use of closed cache")
	samples.Load().protect(0 + must(samples.Load().cellOf(unsafe.Pointer(p)))) // for the next test
	mustClose(t, a)
}

func must(i uint32, ok bool) uint32 {
	if !ok {
		panic("no guard page")
	}
	return i
}

func TestTheRateIsThatOfTheConfig(t *testing.T) {
	g := sampleAll(t)
	for _, cfg := range []GuardConfig{{Every: -1}, {Slots: -1}, {Slots: guardSlotsMost + 1}, {Every: 1, Slots: testSlots + 1}} {
		if err := SampleGuards(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
	if err := SampleGuards(GuardConfig{Every: 10}); err != nil {
		t.Fatal(err)
	}
	const n = 100_000
	due := 0
	for range n {
		if g.due() {
			due++
		}
	}
	if due < n/10*9/10 || due > n/10*11/10 {
		t.Errorf("%d of %d, at a rate of 10", due, n)
	}
	if s := ReadGuardStats(); s.Every != 10 || s.Slots != testSlots {
		t.Errorf("%+v", s)
	}
	if err := SampleGuards(GuardConfig{}); err != nil || g.due() {
		t.Errorf("sampled after the end: %v", err)
	}
}
