package slab

import (
	"math/bits"
	"sync/atomic"

	"quiesce/internal/fault"
	"quiesce/internal/race"
	"quiesce/preempt"
)

// The fallback chain holds objects for which there is no array. It needs no
// memory: an object is a bit in the pending bitmap, and slabs with such bits
// are linked through pages.Meta.Chained, which is 0 for a slab that is not on the
// chain, the next slab's number, or chainEnd.
//
// Who writes what: a pusher sets the bit by an atomic OR, claims the slab by a
// compare-and-swap of Chained from 0, and pushes it if that succeeded. The
// worker takes the whole chain by a swap of its head; for each slab, under mu,
// it reads the link, clears Chained, and only then swaps the words of the
// pending bitmap out. A pusher whose claim fails set its bit before the worker
// cleared Chained, so the worker finds the bit. Bits taken go to the waiting
// bitmap, which is the worker's alone (reclaimMu), until their grace period is
// over.
//
// When may an empty slab become pages? The worker may take a bit, and free its
// object, while the pusher has not reached its claim yet: it would chain a slab
// that belongs to another cache by then. So a push is a read-side section, for
// which the bit's grace period waits; after that Chained says for sure whether
// the slab is on the chain, and as long as it is, it stays a slab.
//
// A push ends before its slot's busy is cleared. A taker that saw busy 0 thus
// finds on the chain what was freed before, and Barrier misses nothing.
const chainEnd = ^uint32(0)

// chainObject puts an object on the chain, to be freed after a grace period. It
// returns false for misuse: the object is on the chain already, or is no
// object.
//
// Context: any.
func (c *cache) chainObject(off uint32) bool {
	head := c.head(off)
	if head >= c.core.Opened() {
		return false
	}
	p := preempt.Disable() // ord:chain-slab
	bit := uint64(1) << (off & 63)
	fresh := atomic.OrUint64(word(c.pendBits, off), bit)&bit == 0 // ord:chain-bit
	fault.Delay("chain-bit")
	if m := c.core.Meta(head); fresh && atomic.CompareAndSwapUint32(&m.Chained, 0, chainEnd) { // ord:chain-bit
		for {
			h := c.chain.Load() // ord:chain-head
			next := h
			if next == 0 {
				next = chainEnd
			}
			atomic.StoreUint32(&m.Chained, next) // ord:chain-head
			fault.Delay("chain-head")
			if c.chain.CompareAndSwap(h, head) { // ord:chain-head
				break
			}
		}
	}
	p.Enable()
	return fresh
}

// afterChaining is the rest of a slow path that called chainObject, after busy
// was cleared.
func (c *cache) afterChaining(off uint32, ok bool) {
	if !ok {
		panic(c.misuse(off))
	}
	race.Disable()
	c.stats.fallback.Add(1) // ord:stat
	race.Enable()
	c.startReclaim()
}

// takeChainLocked moves the pending bits of up to chainSlabs slabs to the
// waiting bitmap and returns the number of slabs; they are in c.chained.
// reclaimMu is held.
func (c *cache) takeChainLocked() int {
	if c.chainRest == 0 {
		c.chainRest = c.chain.Swap(0) // ord:chain-head
	}
	if c.chainRest == 0 {
		return 0
	}
	n := 0
	for c.chainRest != 0 && n < chainSlabs {
		head := c.chainRest
		m := c.core.Meta(head)
		any := false
		c.mu.LockIRQ()
		next := atomic.LoadUint32(&m.Chained) // ord:chain-head
		if next == chainEnd {
			next = 0
		}
		c.chainRest = next
		atomic.StoreUint32(&m.Chained, 0) // ord:chain-bit
		fault.Delay("chain-bit")
		pend, wait := c.words(c.pendBits, head), c.words(c.waitBits, head)
		for i := range pend {
			if atomic.LoadUint64(&pend[i]) != 0 { // ord:chain-bit
				wait[i] |= atomic.SwapUint64(&pend[i], 0) // ord:chain-bit
				any = true
			}
		}
		if any {
			c.chained.set(n, head)
			n++
		} else {
			// Its bits were taken before it was pushed. It may have become
			// empty since, and stayed because it was on the chain.
			c.shedSlabLocked(head, m)
		}
		c.unlockFreed()
	}
	return n
}

// freeChainedLocked frees what the last takeChainLocked took: n slabs' objects,
// whose grace period is over. reclaimMu is held.
func (c *cache) freeChainedLocked(n int) {
	if n == 0 {
		return
	}
	offs := spareOffs.get()
	for _, head := range c.chained.first(n) {
		k := 0
		wait := c.words(c.waitBits, head)
		for i, w := range wait {
			wait[i] = 0
			for ; w != 0; w &= w - 1 {
				offs[k] = firstUnit(head) + uint32(i*64+bits.TrailingZeros64(w))
				k++
			}
			if k > len(offs)-64 || i == len(wait)-1 {
				c.freeWaited(offs[:k])
				k = 0
			}
		}
		c.topUpFromWorker()
	}
	spareOffs.put(offs)
	c.chained.drop()
}

func (c *cache) freeWaited(offs []uint32) {
	if len(offs) == 0 {
		return
	}
	c.raceReclaimed(offs)
	if c.onReclaim != nil {
		c.onReclaim(offs)
	}
	if poisonOn {
		c.stats.chainFreed.Add(uint64(len(offs))) // ord:stat
		c.poison.reclaimed(offs)
		return
	}
	c.flushObjects(offs, &c.stats.chainFreed)
}

// chained is the slabs that a pass took of the chain: a few have room in the
// cache, which is all that most caches ever need, and more of them a loan. Thousands
// of caches may have a pass each in one grace period.
type chained struct {
	few  [8]uint32
	many *[chainSlabs]uint32
}

func (t *chained) set(i int, head uint32) {
	if i == len(t.few) && t.many == nil {
		t.many = spareSlabs.get()
		copy(t.many[:], t.few[:])
	}
	if t.many != nil {
		t.many[i] = head
	} else {
		t.few[i] = head
	}
}

func (t *chained) first(n int) []uint32 {
	if t.many != nil {
		return t.many[:n]
	}
	return t.few[:n]
}

func (t *chained) drop() {
	if t.many != nil {
		spareSlabs.put(t.many)
		t.many = nil
	}
}

// spare lends an array. There is one from the start, so that freeing does not
// depend on an allocation; only passes at the same time make more.
type spare[T any] struct{ one atomic.Pointer[T] }

var (
	spareSlabs spare[[chainSlabs]uint32]
	spareOffs  spare[[512]uint32] // freeChainedLocked's
)

func init() {
	spareSlabs.put(new([chainSlabs]uint32))
	spareOffs.put(new([512]uint32))
}

func (s *spare[T]) get() *T {
	if t := s.one.Swap(nil); t != nil { // ord:publish
		return t
	}
	return new(T)
}

func (s *spare[T]) put(t *T) { s.one.Store(t) } // ord:publish
