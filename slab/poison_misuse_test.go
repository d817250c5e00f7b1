//go:build poison || asan

package slab

import (
	"strings"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

// The second of two frees is found when it happens, whichever kinds they are
// and however far the first one has come.
func TestASecondFreeIsReportedAtOnceWithBothStacks(t *testing.T) {
	for _, first := range []struct {
		name  string
		free  func(*Cache[cell], *cell)
		stack string
	}{
		{"Free", owner[cell], "\nFreed by goroutine "},
		{"FreeRCU, pending", retirer[cell], "\nIts grace period has not ended. Given to FreeRCU by goroutine "},
		{"FreeRCU, ended", func(c *Cache[cell], p *cell) { retirer(c, p); c.Barrier() },
			"\nIts grace period has ended and it was freed. Given to FreeRCU by goroutine "},
		{"Free and the quarantine's end", func(c *Cache[cell], p *cell) { owner(c, p); c.c.poison.memoryShort() }, "\nFreed by goroutine "},
	} {
		for _, rcuToo := range []bool{false, true} {
			second := map[bool]string{false: "Free", true: "FreeRCU"}[rcuToo]
			t.Run(first.name+" then "+second, func(t *testing.T) {
				reports := quiet(t)
				c := newTest[cell](t, newPages(t, 0))
				keep := c.Alloc(gfp.Kernel) // so that the slab stays one
				p := builder(c)
				g := rcu.ReadLock()
				if strings.Contains(first.name, "ended") {
					g.Unlock()
				}
				first.free(c, p)
				testkit.Panics(t, func() { culprit(c, p, rcuToo) }, "double free of 0x", "in cache "+c.c.name)
				if !strings.Contains(first.name, "ended") {
					g.Unlock()
				}
				firstFunc := map[bool]string{true: "slab.retirer", false: "slab.owner"}[strings.Contains(first.name, "RCU")]
				has(t, one(t, reports()), rule, "BUG: quiesce: double-free in "+thisPackage+"culprit",
					second+" of addr 0x", " by goroutine ", "slab.culprit", "poison_misuse_test.go:",
					"\nAllocated by goroutine ", "slab.builder",
					first.stack, firstFunc,
					"located 0 bytes inside of\nfreed 56-byte object [0x", "of cache "+c.c.name, rule)
				c.Free(keep)
				mustClose(t, c)
			})
		}
	}
}

// A Sheaf looks at its objects as the cache does, and has never two owners of one.
func TestASecondFreeThroughASheafIsReportedAtOnce(t *testing.T) {
	reports := quiet(t)
	c := newTest[cell](t, newPages(t, 0))
	s := stockOf(t, c, 10)
	kept := s.Alloc(gfp.Kernel) // so that the slab stays one
	for _, free := range []func(*cell){s.Free, s.FreeRCU, c.Free, c.FreeRCU} {
		for _, again := range []func(*cell){s.Free, s.FreeRCU, c.Free} {
			p := s.Alloc(gfp.Kernel)
			g := rcu.ReadLock()
			free(p)
			before := len(reports())
			testkit.Panics(t, func() { again(p) }, "double free of 0x", "in cache "+c.c.name)
			g.Unlock()
			if after := reports(); len(after) != before+1 {
				t.Errorf("%d reports of one double free", len(after)-before)
			} else {
				has(t, after[before], "BUG: quiesce: double-free in ", "\nAllocated by goroutine ", "slab.(*Sheaf[", "of cache "+c.c.name)
			}
		}
	}
	s.Free(kept)
	s.Close()
	mustClose(t, c)
}

// A panic ends a pinned section and the process with it, so the check is asked
// without one: the state says at once, in any context, that p is free.
func TestTheStateIsKnownInEveryContext(t *testing.T) {
	quiet(t)
	c := newTest[cell](t, newPages(t, 0))
	withoutGuards(&c.c)
	for _, ctx := range contexts {
		p, q := c.Alloc(gfp.Kernel), c.Alloc(gfp.Kernel)
		op, _ := c.c.poison.objectAt(offsetOf(c, p))
		oq, _ := c.c.poison.objectAt(offsetOf(c, q))
		var sp, sq uint32
		g := rcu.ReadLock()
		ctx.in(func() {
			c.Free(p)
			c.FreeRCU(q)
			sp, sq = op.state.Load(), oq.state.Load()
		})
		g.Unlock()
		if sp != stQuarantined || sq != stPending {
			t.Errorf("%s: after Free %d, after FreeRCU %d", ctx.name, sp, sq)
		}
	}
	mustClose(t, c)
}

func TestADoubleFreeInAPinnedSectionEndsTheProcessWithTheReport(t *testing.T) {
	if isChild() {
		c := newTest[cell](t, newPages(t, 0))
		p := builder(c)
		owner(c, p)
		whilePinned(func() { culprit(c, p, true) })
		return
	}
	out, err := child(t, "")
	if err == nil {
		t.Error("the child survived")
	}
	has(t, out, "BUG: quiesce: double-free in "+thisPackage+"culprit", "slab.builder", "slab.owner", "panic: quiesce/slab: double free of 0x")
}

func TestAForeignFreeIsReportedAtOnceWithTheObjectsOwner(t *testing.T) {
	reports := quiet(t)
	a := newPages(t, 0)
	mine, _ := NewCache[cell]("mine", WithAllocator(a))
	yours, _ := NewCache[cell]("yours", WithAllocator(a))
	p := builder(yours)
	testkit.Panics(t, func() { culprit(mine, p, false) }, "foreign free of 0x", "in cache mine")
	has(t, one(t, reports()), "BUG: quiesce: invalid-free in "+thisPackage+"culprit", "Allocated by", "slab.builder",
		"allocated 56-byte object", "of cache yours")

	inside := (*cell)(unsafe.Add(unsafe.Pointer(p), 16))
	testkit.Panics(t, func() { culprit(yours, inside, true) }, "free of 0x", "in cache yours", "not the start of an object")
	has(t, one(t, reports()), "BUG: quiesce: invalid-free", "slab.builder", "located 16 bytes inside of\nallocated 56-byte object")

	var local cell
	testkit.Panics(t, func() { culprit(mine, &local, false) }, "Free of foreign pointer 0x")
	has(t, one(t, reports()), "BUG: quiesce: invalid-free in "+thisPackage+"culprit", "The address is in no slab")

	yours.Free(p)
	h := NewHeap(a)
	q := h.Kmalloc(100, gfp.Kernel)
	testkit.Panics(t, func() { h.KfreeRCUSized(q, 300) }, "KfreeRCUSized")
	h.Kfree(h.Kmalloc(300, gfp.Kernel))
	testkit.Panics(t, func() { h.KfreeRCUSized(q, 300) }, "foreign free of 0x", "kmalloc-320")
	reports()
	h.Kfree(q)
	for _, err := range []error{mine.Close(), yours.Close(), h.Close()} {
		if err != nil {
			t.Error(err)
		}
	}
	mustClose(t, a)
}

// A write after free is found when the object's turn in the quarantine ends,
// when it is allocated, and when its slab becomes pages: whatever comes first.
func TestAWriteAfterFreeIsFoundAtReuseAndRepaired(t *testing.T) {
	if asanOn {
		t.Skip("ASan ends the process at the write")
	}
	for _, tc := range []struct {
		name   string
		before func(*Cache[cell]) // between free and write
		after  func(*Cache[cell])
		found  string
		byte   byte
	}{
		{"at the quarantine's end", func(c *Cache[cell]) {}, func(c *Cache[cell]) { c.Shrink() }, "found at the quarantine's end", byteQuarantine},
		{"at the return of the slab", func(c *Cache[cell]) { c.c.poison.memoryShort() }, func(c *Cache[cell]) { c.Shrink() }, "found at return of the slab", byteFree},
		{"at allocation", func(c *Cache[cell]) { c.c.poison.memoryShort() }, func(c *Cache[cell]) {
			var all []*cell
			for range 4000 {
				all = append(all, c.Alloc(gfp.Kernel))
			}
			c.FreeBulk(all)
		}, "found at Alloc", byteFree},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reports := quiet(t)
			c := newTest[cell](t, newPages(t, 0))
			withoutGuards(&c.c)
			p := builder(c)
			retirer(c, p)
			c.Barrier()
			tc.before(c)
			if *at(p, 8) != tc.byte {
				t.Errorf("the freed object holds %#x, want %#x", *at(p, 8), tc.byte)
			}
			p.body[1] = 0x1122334455667788
			tc.after(c)
			r := one(t, reports())
			has(t, r, "BUG: quiesce: slab-use-after-free, found in ", "Write of size 8 at addr 0x", tc.found,
				"Allocated by goroutine ", "slab.builder", "Its grace period has ended and it was freed. Given to FreeRCU by goroutine ", "slab.retirer",
				"located 16 bytes inside of\nfreed 56-byte object [0x", "of cache "+c.c.name,
				"88 77 66 55 44 33 22 11", "^^", "Restored 8 bytes")
			if *at(p, 16) == 0x88 {
				t.Error("not restored")
			}
			if n := errorsOf(&c.c); n != 2 {
				t.Errorf("%d errors, want 2", n)
			}
			if n := c.Validate(); n != 0 {
				t.Errorf("%d errors after the repair", n)
			}
			mustClose(t, c)
		})
	}
}

// An object that waits for its grace period keeps its bytes; afterwards they
// are poison.
func TestAPendingObjectIsNotPoisonedBeforeItsGracePeriodEnds(t *testing.T) {
	for _, guard := range []bool{false, true} {
		if guard && guards.every == 0 {
			continue
		}
		c := newTest[cell](t, newPages(t, 0))
		c.c.poison.noGuards = !guard
		p := c.Alloc(gfp.Kernel)
		want := cell{id: 7, body: [6]uint64{1, 2, 3, 4, 5, 6}}
		*p = want
		g := rcu.ReadLock()
		c.FreeRCU(p)
		for end := time.Now().Add(60 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if *p != want {
				t.Fatalf("a reader's object became %v", *p)
			}
		}
		g.Unlock()
		c.Barrier()
		if guardSlotOf(unsafe.Pointer(p)) == nil && !asanOn && *at(p, 0) != byteQuarantine {
			t.Errorf("reclaimed, the object holds %#x", *at(p, 0))
		}
		mustClose(t, c)
	}
}

// Writes next to an object are found when it is freed.
func TestAWriteBesideAnObjectIsFoundWhenItIsFreed(t *testing.T) {
	if asanOn {
		t.Skip("ASan ends the process at the write")
	}
	for _, guard := range []bool{false, true} {
		for _, tc := range []struct {
			at    int
			where string
		}{
			{-1, "located 1 bytes before\nallocated 21-byte object"},
			{21, "located 0 bytes after\nallocated 21-byte object"},
			{31, "located 10 bytes after\nallocated 21-byte object"},
			{32, "located 11 bytes after\nallocated 21-byte object"},
		} {
			if guard && (guards.every == 0 || tc.at >= 32) { // that would be the guard page
				continue
			}
			reports := quiet(t)
			h := NewHeap(newPages(t, 0))
			if err := h.Prepare(21); err != nil {
				t.Fatal(err)
			}
			for _, c := range h.caches() {
				c.poison.noGuards = !guard
			}
			p := h.Kmalloc(21, gfp.Kernel)
			for i := 0; guard && guardSlotOf(p) == nil; i++ { // sampled
				h.Kfree(p)
				p = h.Kmalloc(21, gfp.Kernel)
			}
			*(*byte)(unsafe.Add(p, tc.at)) = 'x'
			h.Kfree(p)
			has(t, one(t, reports()), "BUG: quiesce: slab-out-of-bounds, found in "+thisPackage+"TestAWriteBeside", "Write of size 1 at addr 0x", "found at Free",
				"Allocated by goroutine ", tc.where, "of cache kmalloc-32", " 78", "^^")
			mustClose(t, h)
		}
	}
}

func TestCloseListsLeaksByTheirAllocationStacks(t *testing.T) {
	reports := quiet(t)
	c := newTest[cell](t, newPages(t, 0))
	for range 3 {
		builder(c)
	}
	c.Alloc(gfp.Kernel)
	c.Free(c.Alloc(gfp.Kernel))
	err := c.Close()
	if err == nil || !strings.Contains(err.Error(), "4 objects") {
		t.Errorf("Close: %v", err)
	}
	has(t, one(t, reports()), "BUG: quiesce: slab-leak in cache "+c.c.name+", closed with 4 objects, 224 bytes",
		"3 allocated at:", "slab.builder", "1 allocated at:")
}

func TestDescribeKnowsTheObject(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0))
	p := builder(c)
	has(t, Describe(unsafe.Pointer(&p.body[2])), "Allocated by goroutine", "slab.builder", "located 24 bytes inside of\nallocated 56-byte object", c.c.name)
	c.Free(p)
	has(t, Describe(unsafe.Pointer(p)), "Allocated by", "Freed by", "freed 56-byte object")
	has(t, Describe(unsafe.Pointer(new(int))), "in no slab")
	mustClose(t, c)
}

// A freed object is not allocated again before the quarantine is full, unless
// memory is short.
func TestTheQuarantineDelaysReuse(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0))
	withoutGuards(&c.c)
	c.c.poison.quarantine.max = 100
	freed := map[*cell]int{}
	for i := range 1000 {
		p := c.Alloc(gfp.Kernel)
		if at, ok := freed[p]; ok && i-at < 100 {
			t.Fatalf("allocated again after %d other frees", i-at)
		}
		freed[p] = i
		c.Free(p)
	}
	mustClose(t, c)
	a := newPages(t, 1<<20)
	d := newTest[cell](t, a)
	withoutGuards(&d.c)
	var all []*cell
	for p := d.Alloc(gfp.NoWait | gfp.NoWarn); p != nil; p = d.Alloc(gfp.NoWait | gfp.NoWarn) {
		all = append(all, p)
	}
	d.Free(all[0])
	if p := d.Alloc(gfp.NoWait | gfp.NoLocks | gfp.NoWarn); p != all[0] {
		t.Errorf("with no memory left the quarantine gave %p, want %p", p, all[0])
	}
	d.FreeBulk(all)
	mustClose(t, d, a)
}
