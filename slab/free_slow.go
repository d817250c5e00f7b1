package slab

import (
	"sync/atomic"
	"unsafe"

	"quiesce/internal/fault"
	"quiesce/internal/heapprof"
	"quiesce/internal/race"
	"quiesce/rcu"
)

// The slow half of freeing, which takes no lock: alloc_slow.go has the rules
// for slow paths. An object for which there is no array goes on the fallback
// chain.

//go:norace
//go:noinline
func (c *cache) freeSlow(s *slot, off uint32) {
	race.Disable()
	c.admit(s)
	if c.direct {
		s.exit()
		c.freeDirect(off)
		return
	}
	sp := atomic.SwapUint32(&s.spare, 0) // ord:slot
	fault.Delay("slot")
	in, out := sp, num(0)
	if sp == 0 || c.sheaf(sp).full() {
		in, out = c.getEmpty(), sp
	}
	if in == 0 {
		atomic.StoreUint32(&s.spare, sp) // ord:slot
		ok := c.chainObject(off)
		s.exit()
		race.Enable()
		c.afterChaining(off, ok)
		return
	}
	m := c.sheaf(in)
	m.obj[m.n] = off
	m.n++
	// The full main sheaf becomes the spare, and the full spare goes to the
	// depot: what was freed last is allocated next.
	if heapprof.Exact() {
		out = c.stow(s, in, out)
	} else {
		atomic.StoreUint32(&s.spare, atomic.SwapUint32(&s.main, in)) // ord:slot
	}
	s.exit()
	race.Enable()
	if out != 0 {
		c.pushFull(out)
		c.memoryCame()
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
		atomic.StoreUint32(&s.rcu, in)               // ord:slot
		atomic.StoreUint32(&s.reserve, c.popEmpty()) // ord:slot
	}
	if out != 0 {
		c.closeSheaf(c.here(), out, rcu.GetState()) // ord:cookie
	}
	ok := in != 0 || c.chainObject(off)
	s.exit()
	race.Enable()
	if in == 0 {
		c.afterChaining(off, ok)
	} else {
		c.startDrain()
	}
	if out != 0 {
		c.sheafClosed()
	}
}

// closeSheaf gives a sheaf of the caller's its cookie, which was taken after the
// last object went in, and pushes it on the group's pending stack.
//
//go:norace
func (c *cache) closeSheaf(g *group, n num, cookie rcu.Cookie) {
	m := c.sheaf(n)
	g.counts.arrays.Add(uint64(m.n)) // ord:stat
	c.countPending(g, int64(m.n))
	m.cookie = cookie // ord:cookie
	fault.Delay("cookie")
	g.pending.push(c, n)
}

// freeBulk is the kernel's kfree_bulk for live objects: all of them go into
// sheaves, pinned once per sheaf.
//
//go:norace
func (c *cache) freeBulk(ps []unsafe.Pointer) {
	if poisonOn {
		c.poison.freedBulk(ps)
		return
	}
	for _, p := range ps { // not pinned: bad ones panic, and guarded ones are freed
		if c.unitOf(p) >= c.units {
			c.badFree(p, "FreeBulk")
		}
	}
	for i := 0; i < len(ps); {
		if c.unitOf(ps[i]) >= c.units { // nil, or guarded; skipped while not pinned: there may be many
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
		for m.n < m.cap && i < len(ps) {
			u := c.unitOf(ps[i])
			if u >= c.units {
				break
			}
			m.obj[m.n] = uint32(u)
			m.n++
			i++
		}
		s.exit()
	}
}
