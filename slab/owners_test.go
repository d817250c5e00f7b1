package slab

import "testing"

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
