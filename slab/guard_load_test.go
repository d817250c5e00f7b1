//go:build !poison && !asan && !race

package slab

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

// Every way to free an object takes a sampled one.
func TestEveryFreeTakesASampledObject(t *testing.T) {
	sampleAll(t)
	a := newPages(t, 0)
	c, h := newTest[cell](t, a), NewHeap(a)
	p := c.Alloc(gfp.Kernel | gfp.Zero)
	k := h.Kmalloc(96, gfp.Kernel|gfp.Zero)
	if !isSampled(p) || !isSampled((*byte)(k)) || *p != (cell{}) || *(*[96]byte)(k) != ([96]byte{}) {
		t.Errorf("%p or %p is not sampled, or not zero", p, k)
	}
	c.Free(p)
	h.Kfree(k)
	s, err := c.Sheaf(4, gfp.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	get := func() *cell { return (*cell)(c.c.sampleAlloc(gfp.Kernel)) } // as if the sheaf were empty
	kmalloc := func(size int) unsafe.Pointer {
		p := h.cacheFor(h.classFor(uintptr(size)), gfp.Kernel).sampleAlloc(gfp.Kernel)
		*at((*byte)(p), size-1) = 1
		return p
	}
	var link Pointer[cell]
	link.Store(get())
	if MakeLink(link.LoadRaw()).Get() != link.LoadRaw() {
		t.Error("a link leads elsewhere")
	}
	c.FreeRCU(link.Swap(nil))
	c.Free(get())
	s.Free(get())
	s.FreeRCU(get())
	plain := make([]*cell, 10)
	c.AllocBulk(gfp.Kernel, plain)
	c.FreeBulk(append([]*cell{get(), nil, plain[0], get()}, append(plain[1:], get())...))
	h.Kfree(kmalloc(100))
	h.KfreeRCU(kmalloc(100))
	h.KfreeRCUSized(kmalloc(100), 100)
	h.KfreeBulk([]unsafe.Pointer{kmalloc(10), nil, kmalloc(10), kmalloc(3000), kmalloc(10)})
	k = kmalloc(90)
	if q := h.Krealloc(k, 96, gfp.Kernel|gfp.Zero); q != k || *at((*byte)(q), 89) != 1 {
		t.Error("Krealloc within the class")
	}
	q := h.Krealloc(k, 200, gfp.Kernel|gfp.Zero)
	if q == k || *at((*byte)(q), 89) != 1 || *at((*byte)(q), 150) != 0 {
		t.Error("Krealloc")
	}
	h.Kfree(q)
	c.Barrier()
	h.Barrier()
	s.Close()
	for _, st := range append(h.Stats(), c.Stats()) {
		if st.Live != 0 || st.Guarded != 0 || st.Out != st.Cached || st.RCUArrays != st.Reused+st.Bulk {
			t.Errorf("%+v", st)
		}
	}
	mustClose(t, c, h, a)
}

// Goroutines that allocate and free in every way, over changes of GOMAXPROCS, with
// all pages in use and without: nobody else writes to an object, and at rest all is
// accounted for.
func TestSampledObjectsUnderLoad(t *testing.T) {
	sampleAll(t)
	testkit.KeepProcs(t)
	const limit = 32 << 20
	a := newPages(t, limit)
	c, h := newTest[cell](t, a), NewHeap(a)
	stop := testkit.ChurnProcs(time.Millisecond, 1, 2, 4)
	load := sharing
	if testing.Short() {
		load /= 3
	}
	before := ReadGuardStats().Sampled
	<-testkit.AsyncN(8, func(id int) {
		rnd := rand.New(rand.NewPCG(1, uint64(id)))
		var held []*cell
		for range testkit.During(load) {
			p := (*cell)(c.c.sampleAlloc(gfp.Kernel)) // as if the sheaf were empty
			if p == nil {
				p = c.Alloc(gfp.Kernel)
			}
			if p == nil {
				t.Error("no memory")
				return
			}
			p.id = uint64(uintptr(unsafe.Pointer(p)))
			for i := range p.body {
				p.body[i] = uint64(id)
			}
			held = append(held, p)
			for _, q := range held {
				if q.id != uint64(uintptr(unsafe.Pointer(q))) || q.body[5] != uint64(id) {
					t.Error("an object was written to by another")
					return
				}
			}
			k := h.Kmalloc(1+rnd.IntN(500), gfp.Kernel)
			if rnd.IntN(2) == 0 {
				h.Kfree(k)
			} else {
				h.KfreeRCU(k)
			}
			if len(held) < 10 {
				continue
			}
			switch rnd.IntN(4) {
			case 0:
				c.FreeBulk(held)
			case 1:
				whilePinned(func() {
					for _, q := range held {
						c.Free(q)
					}
				})
			case 2:
				g := rcu.ReadLock()
				for _, q := range held {
					c.FreeRCU(q)
				}
				for _, q := range held {
					if q.body[0] != uint64(id) {
						t.Error("a reader's object has changed")
					}
				}
				g.Unlock()
			default:
				for _, q := range held {
					c.Free(q)
				}
			}
			held = held[:0]
		}
		c.FreeBulk(held)
	})
	stop()
	c.Barrier()
	h.Barrier()
	if got := ReadGuardStats().Sampled - before; got == 0 {
		t.Error("no object was sampled")
	}
	eventually(t, "all guard pages at rest", func() bool { return ReadGuardStats().Live == 0 })
	for _, st := range append(h.Stats(), c.Stats()) {
		if st.Live != 0 || st.Deferred != 0 || st.Guarded != 0 || st.Out != st.Cached || st.RCUArrays != st.Reused+st.Bulk {
			t.Errorf("%+v", st)
		}
	}
	if s := a.Stats(); s.Peak > limit {
		t.Errorf("%d bytes, above the limit", s.Peak)
	}
	if n := c.Validate() + h.Validate(); n != 0 {
		t.Errorf("Validate: %d", n)
	}
	mustClose(t, c, h, a)
}
