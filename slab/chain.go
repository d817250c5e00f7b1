package slab

import (
	"math/bits"
	"sync/atomic"

	"quiesce/page"
)

// The fallback chain, for objects that found no array. It needs no memory:
// an object is a bit in the pending bitmap, and slabs with such bits are
// linked through page.Meta.Chained, which is 0 for a slab that is not on the
// chain, the next slab's number, or chainEnd.
//
// Who writes what: a pusher sets the bit by an atomic OR, then claims the slab
// by a compare-and-swap of Chained from 0. The worker takes the whole chain by
// a swap of its head; for each slab it reads the link, clears Chained, and only
// then swaps the words of the pending bitmap out. A pusher whose claim fails
// set its bit before the worker cleared Chained, so the worker finds the bit.
// Bits taken go to the waiting bitmap, which is the worker's alone (reclaimMu),
// until their grace period is over.
const chainEnd = ^uint32(0)

// fallback chains an object to be freed after a grace period. Any context.
func (c *cache) fallback(off uint32) {
	bit := uint64(1) << (off & 63)
	if atomic.OrUint64(word(c.pendBits, off), bit)&bit != 0 {
		panic("quiesce: slab: double free on the fallback chain, cache " + c.name)
	}
	c.stats.fallback.Add(1)
	head := c.head(off)
	m := c.pages.Meta(head)
	if atomic.CompareAndSwapUint32(&m.Chained, 0, chainEnd) {
		for {
			h := c.chain.Load()
			next := uint32(h)
			if next == 0 {
				next = chainEnd
			}
			atomic.StoreUint32(&m.Chained, next)
			if c.chain.CompareAndSwap(h, head) {
				break
			}
		}
	}
	c.startReclaim()
}

// takeChain moves the pending bits of up to chainBatch slabs to the waiting
// bitmap and returns the number of slabs; they are in c.waiting. reclaimMu is
// held.
func (c *cache) takeChain() int {
	if c.chainRest == 0 {
		c.chainRest = c.chain.Swap(0)
	}
	n := 0
	for ; c.chainRest != 0 && n < len(c.waiting); n++ {
		head := c.chainRest
		m := c.pages.Meta(head)
		next := atomic.LoadUint32(&m.Chained)
		if next == chainEnd {
			next = 0
		}
		c.chainRest = next
		atomic.StoreUint32(&m.Chained, 0)
		pend, wait := c.words(c.pendBits, head), c.words(c.waitBits, head)
		for i := range pend {
			if atomic.LoadUint64(&pend[i]) != 0 {
				wait[i] |= atomic.SwapUint64(&pend[i], 0)
			}
		}
		c.waiting[n] = head
	}
	return n
}

// freeChained frees what the last takeChain took. reclaimMu is held, and the
// grace period is over.
func (c *cache) freeChained(n int) {
	var offs [512]uint32
	for _, head := range c.waiting[:n] {
		k := 0
		wait := c.words(c.waitBits, head)
		for i, w := range wait {
			wait[i] = 0
			for ; w != 0; w &= w - 1 {
				offs[k] = head<<(page.Shift-unitShift) + uint32(i*64+bits.TrailingZeros64(w))
				k++
			}
			if k > len(offs)-64 || i == len(wait)-1 {
				c.freeWaited(offs[:k])
				k = 0
			}
		}
		c.topUp()
	}
}

func (c *cache) freeWaited(offs []uint32) {
	if len(offs) == 0 {
		return
	}
	if c.onReclaim != nil {
		c.onReclaim(offs)
	}
	c.flushObjects(offs, &c.stats.chained)
}
