package slab

import (
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/heapprof"
	"quiesce/internal/live"
	"quiesce/page"
	"quiesce/preempt"
)

// What the slow paths note for the profile of package inspect; package heapprof has
// the argument. There are two places:
//
//	reuse       a sheaf of the depot becomes a P's main sheaf. Its bytes are taken off
//	            slot.gap, which is the slot's owner's. The call in which that is used
//	            up is noted when it is not pinned any more
//	fromSlabs,  a slab is made, or objects leave one. A sampled slab has its number in
//	fillOne     Meta.Back of its first page, under mu. Zero: it is not sampled, so that
//	            nothing but that word is looked at
//
// At rate 1 it is the object that is noted, of every allocation (note): a P then
// has no main sheaf, but the sentinel, and the sheaf that it would have had is its
// spare (stow). So each Alloc and Free takes its slow path.
//
// Fast paths see nothing of it. A call that is in a raw atomic context, or may be by
// its flags, is not noted. What a goroutine of the package puts into the depot for
// such calls is noted as that goroutine's.

// used takes n objects' bytes off the gap to the next sample, and returns how many
// times it was used up. The caller owns the slot.
//
//go:norace
func (c *cache) used(s *slot, n uint32) (samples int) {
	if heapprof.Exact() {
		return 0
	}
	if s.gap -= int64(n) * int64(c.size); s.gap > 0 {
		return 0
	}
	for s.gap <= 0 {
		s.gap += heapprof.NextGap()
		samples++
	}
	return samples
}

// mayNote reports whether the caller's stack may be noted: that takes a lock.
func mayNote(f gfp.Flags) bool { return f.CanLock() && heapprof.Rate() != 0 && !preempt.Atomic() }

// noteTotal follows used.
//
//go:noinline
func (c *cache) noteTotal(samples int, f gfp.Flags) {
	if mayNote(f) {
		c.profile.Total(heapprof.Here(1), samples)
	}
}

// sampleSlab decides about a slab that will be made of a block of pages.
func (c *cache) sampleSlab(p unsafe.Pointer, order int, f gfp.Flags) (id uint32) {
	if mayNote(f) && !heapprof.Exact() {
		id = c.profile.Sample(c.core.PageOf(p), page.Size*int64(c.pagesOf(order)))
	}
	return id
}

// note notes what a call took out of sampled slabs, or at rate 1 the object that it
// returns. Either may be nil.
//
//go:noinline
func (c *cache) note(p unsafe.Pointer, t *heapprof.Takes, f gfp.Flags) {
	switch {
	case !mayNote(f):
	case heapprof.Exact():
		if p != nil {
			c.profile.Object(heapprof.Here(1), uint32(c.unitOf(p)), int64(c.size))
		}
	case t != nil:
		c.profile.Note(heapprof.Here(1), t, int64(c.size))
		c.profile.Sweep(c.sampledOut)
	}
}

// stow leaves a sheaf of the caller's to the next operations at rate 1: as the spare
// one. It returns a sheaf of free objects for which there is no place: out, which may
// be 0, or what the main sheaf was. The caller owns the slot.
//
//go:norace
func (c *cache) stow(s *slot, in, out num) num {
	drop := func(n num) {
		switch {
		case n == 0:
		case c.sheaf(n).n == 0:
			c.pushEmpty(n)
		case out == 0:
			out = n
		default:
			c.pushFull(n)
		}
	}
	drop(atomic.SwapUint32(&s.main, 0)) // ord:slot
	if c.sheaf(in).n == 0 {
		c.pushEmpty(in)
	} else {
		drop(atomic.SwapUint32(&s.spare, in)) // ord:slot
	}
	return out
}

// objectOut returns the slab of an object that is out of it, or false.
func (c *cache) objectOut(off uint32) (head uint32, ok bool) {
	c.mu.LockIRQ()
	defer c.mu.UnlockIRQ()
	if !c.allocatedLocked(off) {
		return 0, false
	}
	return c.head(off), true
}

// uses returns the parts of all call sites in n live objects.
func (c *cache) uses(n int) []heapprof.Use {
	return c.profile.Read(int64(n), c.sampledOut, c.objectOut)
}

// sampledOut returns how many objects of a sampled slab are out of it, or false if
// it is gone.
func (c *cache) sampledOut(head, id uint32) (n int, ok bool) {
	c.mu.LockIRQ()
	defer c.mu.UnlockIRQ()
	m := c.core.Meta(head)
	return int(m.InUse), m.Owner == c.id && m.Back == id
}

func init() {
	live.Provide(live.Profiles, func() []live.Figures {
		return live.ReadAll(&known, func(c *cache) (live.Figures, bool) {
			f := heapprof.Figures{ObjectSize: int64(c.size), Uses: c.uses(c.readStats().Live)}
			return live.Figures{Allocator: c.core.Label, Owner: c.owner, Of: f}, true
		})
	})
}
