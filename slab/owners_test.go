package slab

import (
	"testing"

	"quiesce/gfp"
)

// A free finds the cache of its object where another one lies at the place that is
// searched first.
func TestAFreeFindsItsCacheBehindAnother(t *testing.T) {
	a := newPages(t, 0)
	h := NewHeap(a)
	sizes := []int{64, 256, 1024}
	for _, size := range sizes {
		if err := h.Prepare(size); err != nil {
			t.Fatal(err)
		}
		lastID.Add(uint32(len(h.owner)) - 1) // the next cache's number has the same place
	}
	first, second := h.caches()[0], h.caches()[1]
	if h.owner.at(first.id) != h.owner.at(second.id) {
		t.Fatalf("caches %d and %d don't collide", first.id, second.id)
	}
	for _, size := range sizes {
		h.Kfree(h.Kmalloc(size, gfp.Kernel))
		h.KfreeRCU(h.Kmalloc(size, gfp.Kernel))
	}
	h.Barrier()
	for i, s := range h.Stats() {
		if s.ObjectSize != sizes[i] || s.Live != 0 || s.Deferred != 0 {
			t.Errorf("after one Kfree and one KfreeRCU of %d bytes: %+v", sizes[i], s)
		}
	}
	mustClose(t, h, a)
}

// Every cache is found by its number, however the numbers collide, and no other
// number finds one.
func TestOwnersAreFoundByNumber(t *testing.T) {
	const n = uint32(len(Heap{}.class))
	for name, number := range map[string]func(i uint32) uint32{
		"consecutive":   func(i uint32) uint32 { return 1000 + i },
		"all collide":   func(i uint32) uint32 { return 5 + i*uint32(len(owners{})) },
		"around an end": func(i uint32) uint32 { return 1<<32 - 40 + i },
	} {
		var o owners
		caches := map[uint32]*cache{}
		for i := range n {
			if o.find(number(i)) != nil {
				t.Errorf("%s: number %d is found before it was added", name, number(i))
			}
			c := &cache{id: number(i)}
			o.add(c)
			caches[c.id] = c
		}
		for id, c := range caches {
			if o.find(id) != c {
				t.Errorf("%s: the cache of number %d is not found", name, id)
			}
		}
		if c := o.find(number(n)); c != nil {
			t.Errorf("%s: number %d finds the cache of %d", name, number(n), c.id)
		}
	}
}
