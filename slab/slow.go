package slab

import (
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/pages"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/rcu"
)

// The slow halves. They run pinned and busy, and leave both before
// they take a lock or panic. Sheaves move by atomic swap:
// what a swap returned is owned by the caller, who may find 0 where a taker
// was faster. Only the owner puts sheaves into its slot.
//
// They are hidden from the race detector (package race), which would take
// their atomics for an order among users.

// leave ends an owner's operation.
//
//go:norace
func (s *slot) leave() {
	s.busy = 0 // ord:slot-exit
	sys.ProcUnpin()
}

// enter pins and begins an owner's operation.
//
//go:norace
func (c *cache) enter() *slot {
	s := c.slots.At(sys.ProcPin())
	s.busy = 1 // ord:slot-busy
	fault.Delay("slot-busy")
	return s
}

// admit registers a slot on its first slow path and refuses a closed cache. A
// slot that was never used holds the sentinel, so its first operation gets
// here. The caller is hidden.
//
//go:norace
func (c *cache) admit(s *slot) {
	if s.ready == 0 {
		id := sys.ProcPin()
		sys.ProcUnpin()
		c.slots.Register(id)
		s.ready = 1
	}
	if c.closed.Load() { // ord:closed
		s.leave()
		race.Enable()
		panic("quiesce: slab: use of closed cache " + c.name)
	}
}

// allocSlow is the second round of an allocation, which got p in the first.
//
//go:noinline
func (c *cache) allocSlow(p unsafe.Pointer, f gfp.Flags) unsafe.Pointer {
	if p == nil {
		p = c.allocAnyhow(f)
	}
	if f&gfp.Zero != 0 && p != nil && !race.Enabled { // raceAlloc does it
		clear(unsafe.Slice((*byte)(p), c.size))
	}
	return p
}

// allocAnyhow looks everywhere that the flags allow.
//
//go:norace
func (c *cache) allocAnyhow(f gfp.Flags) unsafe.Pointer {
	race.Disable()
	if fault.Slab.Fail(int64(c.size)) {
		c.refused(f)
		race.Enable()
		return nil
	}
	s := c.enter()
	c.admit(s)
	if m := c.sheaf(s.main); m.n > 0 { // another P by now; ord:slot-busy
		m.n--
		p := c.pointer(m.obj[m.n])
		s.leave()
		race.Enable()
		return p
	}
	in := atomic.SwapUint32(&s.spare, 0) // ord:slot
	fault.Delay("slot")
	if in == 0 || c.sheaf(in).n == 0 {
		c.putEmpty(s, in)
		in = c.full.pop(c)
	}
	if in != 0 {
		off := c.install(s, in)
		s.leave()
		race.Enable()
		return c.pointer(off)
	}
	s.leave()
	if !f.CanLock() {
		c.refused(f)
		race.Enable()
		return nil
	}
	race.Enable()
	return c.refill(f)
}

// refused counts an allocation that the flags, or failslab, refuse memory.
func (c *cache) refused(f gfp.Flags) {
	if f.CanLock() {
		c.stats.failures.Add(1) // ord:stat
	} else {
		c.stats.refusals.Add(1) // ord:stat
	}
}

// install takes one object out of in and makes in the main sheaf. The old one
// is empty.
//
//go:norace
func (c *cache) install(s *slot, in num) (off uint32) {
	m := c.sheaf(in)
	m.n--
	off = m.obj[m.n]
	c.putEmpty(s, atomic.SwapUint32(&s.main, in)) // ord:slot
	return off
}

// putEmpty keeps an empty sheaf: as this P's spare, or in the depot.
//
//go:norace
func (c *cache) putEmpty(s *slot, n num) {
	switch {
	case n == 0:
	case atomic.LoadUint32(&s.spare) == 0: // ord:slot
		atomic.StoreUint32(&s.spare, n) // ord:slot
	default:
		c.empty.push(c, n)
	}
}

// getEmpty finds an empty sheaf without a lock: in the depot, or a page from
// this P's list. 0: none. The caller is hidden.
//
//go:norace
func (c *cache) getEmpty() num {
	n := c.empty.pop(c)
	if c.empty.n.Load() <= c.wantEmpty.Load()/2 { // ord:hint
		race.Enable()
		c.startTopUp()
		race.Disable()
	}
	if n != 0 {
		return n
	}
	return c.newSheaf(c.pages.Alloc(0, gfp.NoWait|gfp.NoLocks|gfp.NoWarn|pages.Unseen))
}

//go:norace
//go:noinline
func (c *cache) freeSlow(s *slot, off uint32) {
	race.Disable()
	c.admit(s)
	sp := atomic.SwapUint32(&s.spare, 0) // ord:slot
	fault.Delay("slot")
	in, out := sp, num(0)
	if sp == 0 || c.sheaf(sp).full() {
		in, out = c.getEmpty(), sp
	}
	if in == 0 {
		atomic.StoreUint32(&s.spare, sp) // ord:slot
		ok := c.chainObject(off)
		s.leave()
		race.Enable()
		c.chained(off, ok)
		return
	}
	m := c.sheaf(in)
	m.obj[m.n] = off
	m.n++
	// The full main sheaf is the spare from now on, and the full spare goes
	// to the depot: what was freed last is allocated next.
	atomic.StoreUint32(&s.spare, atomic.SwapUint32(&s.main, in)) // ord:slot
	s.leave()
	race.Enable()
	if out != 0 {
		c.full.push(c, out)
		c.checkDepot()
	}
}

//go:norace
//go:noinline
func (c *cache) freeRCUSlow(s *slot, off uint32) {
	race.Disable()
	c.admit(s)
	out := atomic.SwapUint32(&s.rcu, 0) // ord:slot
	fault.Delay("slot")
	in := atomic.SwapUint32(&s.reserve, 0) // ord:slot
	if in == 0 {
		in = c.getEmpty()
	}
	if in != 0 {
		m := c.sheaf(in)
		m.obj[0] = off
		m.n = 1
		atomic.StoreUint32(&s.rcu, in)                 // ord:slot
		atomic.StoreUint32(&s.reserve, c.empty.pop(c)) // ord:slot
	}
	if out != 0 {
		c.closeSheaf(out)
	}
	ok := in != 0 || c.chainObject(off)
	s.leave()
	race.Enable()
	if in == 0 {
		c.chained(off, ok)
	} else {
		c.startDrain()
	}
	if out != 0 {
		c.startReclaim()
	}
}

// closeSheaf gives a sheaf of the caller's its cookie, after the last object
// went in, and pushes it to the worker.
//
//go:norace
func (c *cache) closeSheaf(n num) {
	m := c.sheaf(n)
	c.stats.arrays.Add(uint64(m.n)) // ord:stat
	fault.Delay("cookie")
	m.cookie = rcu.GetState() // ord:cookie
	fault.Delay("cookie")
	c.pending.push(c, n)
}

// allocBulk fills dst from sheaves, a copy at a time, then one by one.
//
//go:norace
func (c *cache) allocBulk(f gfp.Flags, dst []unsafe.Pointer) int {
	if poisonOn {
		return c.poisonAllocBulk(f, dst)
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
			s.leave()
			break
		}
		s.leave()
		p := c.allocAnyhow(f)
		if p == nil {
			break
		}
		dst[got] = p
		got++
	}
	return got
}

// freeBulk is the kernel's kfree_bulk for live objects: all of them go into
// sheaves, pinned once per sheaf.
//
//go:norace
func (c *cache) freeBulk(ps []unsafe.Pointer) {
	if poisonOn {
		c.poisonFreeBulk(ps)
		return
	}
	for _, p := range ps { // unpinned: the bad ones panic
		if c.unitOf(p) >= c.units {
			c.badFree(p, "FreeBulk")
		}
	}
	for i := 0; i < len(ps); {
		if ps[i] == nil { // passed over unpinned: there may be many
			i++
			continue
		}
		s := c.enter()
		m := c.sheaf(s.main) // ord:slot-busy
		if m.n == m.cap {
			c.freeSlow(s, uint32(c.unitOf(ps[i])))
			i++
			continue
		}
		for m.n < m.cap && i < len(ps) && ps[i] != nil {
			m.obj[m.n] = uint32(c.unitOf(ps[i]))
			m.n++
			i++
		}
		s.leave()
	}
}
