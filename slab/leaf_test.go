//go:build linux && (amd64 || arm64) && !poison && !asan

package slab

import (
	"runtime"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
)

// The entries of assembly rely on them.
func TestThePlacesInASheaf(t *testing.T) {
	if got := unsafe.Offsetof(sheaf{}.obj); got != sheafHead {
		t.Errorf("the objects of a sheaf begin at %d, want %d", got, sheafHead)
	}
	if gfp.Kernel|gfp.Atomic|gfp.NoWait|gfp.NoLocks|gfp.NoWarn >= zeroFlag {
		t.Error("gfp.Zero is not the highest flag")
	}
}

// A cache serves by its leaves and without them, whether its sheaves are empty, full
// or neither: every object has one owner, and no P is left busy.
func TestACacheServesWithAndWithoutLeaves(t *testing.T) {
	defer func(was *uintptr) { leafRows = was }(leafRows)
	for name, rows := range map[string]*uintptr{"pinned": nil, "leaves": percpu.Rows()} {
		if rows != nil && !sys.Leaves {
			continue
		}
		leafRows = rows
		c := newTest[[4]uint64](t, newPages(t, 0))
		var all [2500]*[4]uint64 // more than two sheaves have
		for round := range 3 {
			for i := range all {
				p := c.Alloc(gfp.Kernel)
				if round > 0 {
					p = again(t, c, p)
				}
				*p = [4]uint64{uint64(i)}
				all[i] = p
			}
			for i, p := range all {
				if p[0] != uint64(i) {
					t.Fatalf("%s: object %d has two owners", name, i)
				}
				if (i+round)%2 == 0 {
					c.Free(p)
				} else {
					c.FreeRCU(p)
				}
			}
			c.Barrier()
		}
		mustBeIdle(t, c)
	}
}

// again frees an object and allocates one that must be zeroed.
func again(t *testing.T, c *Cache[[4]uint64], p *[4]uint64) *[4]uint64 {
	t.Helper()
	p[1] = 1
	c.Free(p)
	if p = c.Alloc(gfp.Kernel | gfp.Zero); *p != [4]uint64{} {
		t.Errorf("gfp.Zero returned %v", *p)
	}
	return p
}

// A call without a cache panics in the caller, which can recover; a pointer that is
// none of the allocator's is refused; nil is nothing. No P is left busy.
func TestMisuseDoesNotLeaveAPBusy(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0))
	c.Free(c.Alloc(gfp.Kernel))
	for _, fn := range []func(){
		func() { (*Cache[cell])(nil).Alloc(gfp.NoWait) },
		func() { (*Cache[cell])(nil).Free(nil) },
		func() { (*Cache[cell])(nil).FreeRCU(nil) },
	} {
		if _, ok := panicValue(fn).(runtime.Error); !ok {
			t.Error("no runtime error without a cache")
		}
	}
	foreign := new(cell)
	testkit.Panics(t, func() { c.Free(foreign) }, "quiesce/slab")
	testkit.Panics(t, func() { c.FreeRCU(foreign) }, "quiesce/slab")
	c.Free(nil)
	c.FreeRCU(nil)
	mustBeIdle(t, c)
}

// mustBeIdle checks that no P was left in an operation.
func mustBeIdle[T any](t *testing.T, c *Cache[T]) {
	t.Helper()
	for id := range runtime.GOMAXPROCS(0) {
		if c.c.slots.At(id).busy != 0 {
			t.Errorf("P %d is busy at rest", id)
		}
	}
}

func panicValue(fn func()) (v any) {
	defer func() { v = recover() }()
	fn()
	return nil
}
