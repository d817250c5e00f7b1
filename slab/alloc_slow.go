package slab

import (
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/heapprof"
	"quiesce/internal/pages"
	"quiesce/internal/race"
)

// The slow half of allocation: this P's spare sheaf, the depot, and then, not
// pinned any more and with locks, the slabs and new pages.
//
// The slow paths of allocation and of freeing run pinned with busy set, and
// clear both before they take a lock or panic. Sheaves change hands by atomic
// swap: the swapper owns the result, which is 0 if a taker got there first.
// Only the owner puts sheaves into its slot.
//
// They run hidden from the race detector (package race), which would take
// their atomics for an order among users.

// allocSlow is the second round of an allocation, which got p in the first.
//
//go:noinline
func (c *cache) allocSlow(p unsafe.Pointer, f gfp.Flags) unsafe.Pointer {
	if p == nil {
		if p = c.sampleAlloc(f); p == nil {
			var takes *heapprof.Takes
			if p, takes = c.allocFurther(f); takes != nil || heapprof.Exact() {
				c.note(p, takes, f)
			}
		}
	}
	if f&gfp.Zero != 0 && p != nil && !race.Enabled { // raceAlloc clears it
		clear(unsafe.Slice((*byte)(p), c.exact))
	}
	return p
}

// allocFurther looks everywhere that the flags allow. Its caller passes on to note what
// it returns.
//
//go:norace
func (c *cache) allocFurther(f gfp.Flags) (unsafe.Pointer, *heapprof.Takes) {
	race.Disable()
	if fault.Slab.Fail(int64(c.size)) {
		c.refused(f)
		race.Enable()
		return nil, nil
	}
	s := c.enter()
	c.admit(s)
	if m := c.sheaf(s.main); m.n > 0 { // another P by now; ord:slot-busy
		m.n--
		p := c.pointer(m.obj[m.n])
		s.exit()
		race.Enable()
		return p, nil
	}
	in := atomic.SwapUint32(&s.spare, 0) // ord:slot
	fault.Delay("slot")
	if in == 0 || c.sheaf(in).n == 0 {
		c.putEmpty(s, in)
		in = c.takeFull()
		if !f.CanLock() && c.lowStock() {
			race.Enable()
			c.requestStock()
			race.Disable()
		}
	}
	if in != 0 {
		took := int64(c.sheaf(in).n)
		if heapprof.Exact() || c.direct {
			took = 1 // the rest stays where it is
		}
		samples := c.used(s, uint32(took))
		off := c.install(s, in)
		s.exit()
		race.Enable()
		if c.direct {
			c.startDrain()
		}
		if samples > 0 {
			c.noteTotal(samples, f)
		}
		c.checkDepotStock(took, f)
		return c.pointer(off), nil
	}
	s.exit()
	race.Enable()
	if !f.CanLock() {
		return c.refillTry(f), nil
	}
	if f.CanSleep() {
		f = c.checkMaySleep(f)
	}
	if p, takes := c.fromSlabs(f); p != nil {
		return p, takes
	}
	return c.refill(f), nil
}

// install takes one object out of in and makes in the main sheaf. The old one
// is empty.
//
//go:norace
func (c *cache) install(s *slot, in num) (off uint32) {
	if c.direct {
		return c.takeDirect(in)
	}
	m := c.sheaf(in)
	m.n--
	off = m.obj[m.n]
	if heapprof.Exact() {
		if out := c.stow(s, in, 0); out != 0 {
			c.pushFull(out)
		}
		return off
	}
	c.putEmpty(s, atomic.SwapUint32(&s.main, in)) // ord:slot
	return off
}

// refill serves an allocation for which tryRefill found nothing, not pinned any
// more. It may take locks, and waits if the flags allow it.
func (c *cache) refill(f gfp.Flags) (p unsafe.Pointer) {
	switch {
	case f.CanSleep():
		p = c.wait(f)
	case c.takeGone():
		p = c.tryRefill(f)
	}
	if p == nil {
		c.failed(f)
	}
	return p
}

// tryRefill is fromSlabs that notes itself what it took.
func (c *cache) tryRefill(f gfp.Flags) unsafe.Pointer {
	p, takes := c.fromSlabs(f)
	if takes != nil {
		c.note(nil, takes, f)
	}
	return p
}

// fromSlabs fills a sheaf from the slabs, at most one of them new. It returns what is
// to be noted of that, or nil: by the caller, whose stack is shorter.
func (c *cache) fromSlabs(f gfp.Flags) (p unsafe.Pointer, noted *heapprof.Takes) {
	if c.direct {
		return c.fromPages(f)
	}
	asked := f
	f = f&(gfp.Atomic|gfp.NoLocks) | gfp.NoWarn // refill waits and warns
	var one [1]uint32
	e, fresh, dst := c.emptySheaf(f)
	if e == 0 {
		dst = one[:]
	}
	if !f.CanLock() { // maybe pinned: a shorter hold
		dst = dst[:min(len(dst), tryBatch)]
	}
	n, left := 0, int64(0)
	var takes heapprof.Takes
	if c.lockOrTry(f) {
		n = c.takeObjectsLocked(dst, &takes)
		left = c.freeLocked()
		c.mu.UnlockIRQ()
	}
	if n == 0 {
		order := c.nextOrder()
		if p := c.allocSlab(order, f); p != nil {
			sample := c.sampleSlab(p, order, f)
			if !c.lockOrTry(f) {
				c.freeSlab(p, order)
			} else {
				c.addSlabLocked(p, sample)
				n = c.takeObjectsLocked(dst, &takes)
				c.mu.UnlockIRQ()
			}
		}
	}
	if takes.Any() && mayNote(f) {
		noted = takes.Copy()
	}
	defer c.checkStock(int64(n), left, asked) // with no sheaf in hand
	if e == 0 {
		if n == 0 {
			return c.fromDepot(), noted
		}
		return c.pointer(one[0]), noted
	}
	if n == 0 {
		if fresh && !f.CanLock() && !isSmall(e) {
			c.dropSheaf(e) // this P's list had it, and has it for others
		} else {
			c.pushEmpty(e)
		}
		return c.fromDepot(), noted
	}
	c.sheaf(e).fill(dst, n)
	return c.useSheaf(e), noted
}

// emptySheaf finds or makes an empty sheaf, and returns 0 if there is no memory
// for one. The objects for it go to dst, and from there into it by fill.
func (c *cache) emptySheaf(f gfp.Flags) (e num, fresh bool, dst []uint32) {
	if e = c.popEmpty(); e == 0 {
		e, fresh = c.makeSheaf(f), true
	}
	return e, fresh, c.arrayOf(e)
}

// wholeSheaf is emptySheaf for objects that many allocations may want: it is a
// page long in a young cache too.
func (c *cache) wholeSheaf(f gfp.Flags) (e num, dst []uint32) {
	if e = c.popOf(emptyOf); e == 0 {
		e = c.newSheaf(c.pages.Alloc(0, f|pages.Unseen))
	}
	return e, c.arrayOf(e)
}

// arrayOf returns where a sheaf's objects go before fill is called: into its
// own array or, in race builds, a copy.
func (c *cache) arrayOf(e num) []uint32 {
	switch {
	case e == 0:
		return nil
	case race.Enabled:
		return make([]uint32, c.room(e))
	}
	return c.sheaf(e).obj[:c.sheaf(e).cap]
}

// useSheaf allocates from a filled sheaf of the caller's and leaves it where
// the next allocations find it.
//
//go:norace
func (c *cache) useSheaf(e num) unsafe.Pointer {
	race.Disable()
	s := c.enter()
	c.admit(s)
	if c.sheaf(s.main).n == 0 { // ord:slot-busy
		off := c.install(s, e)
		s.exit()
		race.Enable()
		if c.direct {
			c.startDrain()
		}
		return c.pointer(off)
	}
	s.exit()
	m := c.sheaf(e)
	m.n--
	off := m.obj[m.n]
	if m.n == 0 {
		c.pushEmpty(e)
	} else {
		c.pushFull(e)
	}
	race.Enable()
	return c.pointer(off)
}

// fromDepot tries the depot once more: a sheaf may have come in since.
func (c *cache) fromDepot() unsafe.Pointer {
	if e := c.popFull(); e != 0 {
		return c.useSheaf(e)
	}
	return nil
}

// allocBulk fills dst from sheaves, a copy at a time, then one by one.
//
//go:norace
func (c *cache) allocBulk(f gfp.Flags, dst []unsafe.Pointer) int {
	if poisonOn {
		return c.poison.allocBulk(f, dst)
	}
	got := 0
	for got < len(dst) {
		s := c.enter()
		m := c.sheaf(s.main) // ord:slot-busy
		for m.n > 0 && got < len(dst) {
			m.n--
			dst[got] = c.pointer(m.obj[m.n])
			got++
		}
		if got == len(dst) {
			s.exit()
			break
		}
		s.exit()
		p, takes := c.allocFurther(f)
		if takes != nil || heapprof.Exact() {
			c.note(p, takes, f)
		}
		if p == nil {
			break
		}
		dst[got] = p
		got++
	}
	return got
}
