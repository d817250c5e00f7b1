package slab

import "sync/atomic"

// owners finds the caches of a Heap by their numbers, which pages.Meta.Owner has.
// It is a hash table with linear probing, and larger than the number of caches, so
// that a search ends. The caches of a Heap have numbers near to each other, and
// mostly lie where they are searched first.
type owners [256]atomic.Pointer[cache]

// A search for a cache that is not there needs an empty place.
var _ [len(owners{}) - len(Heap{}.class) - 1]struct{}

// add adds a cache that is complete. Heap.mu is locked.
func (o *owners) add(c *cache) {
	i := c.id
	for o.at(i).Load() != nil { // ord:publish
		i++
	}
	o.at(i).Store(c) // ord:publish
}

// find returns the cache with a number, or nil.
//
// Context: any.
func (o *owners) find(id uint32) *cache {
	for i := id; ; i++ {
		if c := o.at(i).Load(); c == nil || c.id == id { // ord:publish
			return c
		}
	}
}

func (o *owners) at(i uint32) *atomic.Pointer[cache] { return &o[i%uint32(len(o))] }
