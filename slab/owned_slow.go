package slab

import (
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/heapprof"
	"quiesce/internal/race"
)

// The slow halves of a Sheaf. They take whole sheaves
// out of the depot and put whole ones into it, and wait for no lock but where an
// allocation's flags allow it. Where there is no array for an object that is
// freed, the object takes the way of the cache's own slow paths.

// allocSlow allocates from the next sheaf of the stock, then of the depot, and
// then as the cache does.
//
//go:norace
//go:noinline
func (o *owned) allocSlow(f gfp.Flags) (p unsafe.Pointer) {
	c := o.c
	o.enter()
	took := int64(0)
	if c.sheaf(o.mainNum).n == 0 {
		in := o.popStock()
		if in == 0 {
			if in = c.takeFull(); in != 0 {
				took = int64(c.sheaf(in).n)
			}
		}
		if in != 0 {
			o.putEmpty(o.mainNum)
			o.setMain(in)
		}
	}
	if m := c.sheaf(o.mainNum); m.n > 0 {
		m.n--
		p = c.pointer(m.obj[m.n])
	}
	o.leave()
	if took > 0 {
		c.checkDepotStock(took, f)
	}
	if p == nil {
		if p = c.allocOne(f); p == nil {
			return nil
		}
		o.borrow(sheafMax)
	}
	if f&gfp.Zero != 0 && !race.Enabled { // allocChecked clears it
		clear(unsafe.Slice((*byte)(p), c.size))
	}
	return p
}

// allocOne allocates an object as Cache.Alloc does, not from a Sheaf and unseen by
// the checks of checking builds.
func (c *cache) allocOne(f gfp.Flags) unsafe.Pointer {
	if poisonOn {
		return c.poison.allocRaw(f)
	}
	p, takes := c.allocFurther(f)
	if takes != nil || heapprof.Exact() {
		c.note(p, takes, f)
	}
	return p
}

// borrow moves up to most objects from this P's main sheaf to the Sheaf's, as many
// as fit, so that the next allocations find them. It reports whether it found any.
//
//go:norace
func (o *owned) borrow(most int64) bool {
	c := o.c
	if o.mainNum == 0 {
		o.setMain(o.takeEmpty())
	}
	to := c.sheaf(o.mainNum) // the sentinel has no room
	race.Disable()
	s := c.enter()
	m := c.sheaf(s.main) // ord:slot-busy
	n := min(m.n, to.cap-to.n, uint32(min(most, sheafMax)))
	for range n {
		m.n--
		to.obj[to.n] = m.obj[m.n]
		to.n++
	}
	s.exit()
	race.Enable()
	o.leave()
	return n > 0
}

//go:norace
//go:noinline
func (o *owned) freeSlow(p unsafe.Pointer) {
	c := o.c
	u := c.unitOf(p)
	if u >= c.units {
		c.badFree(p, "Free")
		return
	}
	o.enter()
	out, ok := num(0), true
	if c.sheaf(o.mainNum).full() {
		out, ok = o.makeRoom()
	}
	if ok {
		m := c.sheaf(o.mainNum)
		m.obj[m.n] = uint32(u)
		m.n++
	}
	o.leave()
	if !ok {
		c.freeUnit(uint32(u))
	}
	if out != 0 {
		c.pushFull(out)
		c.memoryCame()
		c.checkDepot()
	}
}

// makeRoom puts the main sheaf, which is full, into the stock, and an empty one in
// its place. It returns a sheaf that is more than the stock needs, or 0, and false
// if there is no empty one.
//
//go:norace
func (o *owned) makeRoom() (out num, ok bool) {
	in := o.takeEmpty()
	if in == 0 {
		return 0, false
	}
	c := o.c
	if o.mainNum != 0 {
		o.pushStock(o.mainNum)
		first := c.sheaf(o.stock)
		if out = first.link(); out != 0 { // the second: what was freed last is allocated next
			n := int64(c.sheaf(out).n)
			if o.stocked-n < o.want {
				out = 0
			} else {
				first.setLink(c.sheaf(out).link())
				o.setStocked(o.stocked - n)
			}
		}
	}
	o.setMain(in)
	return out, true
}

//go:norace
//go:noinline
func (o *owned) freeRCUSlow(p unsafe.Pointer) {
	c := o.c
	u := c.unitOf(p)
	if u >= c.units {
		c.badFree(p, "FreeRCU")
		return
	}
	o.enter()
	full, installed, ok := false, false, true
	if c.sheaf(o.rcuNum).full() {
		full = o.closeRCU()
		in := o.takeEmpty()
		if installed, ok = in != 0, in != 0; ok {
			atomic.StoreUint32(&o.rcuNum, in) // ord:stat
		}
	}
	if ok {
		m := c.sheaf(o.rcuNum)
		m.obj[m.n] = uint32(u)
		m.n++
	}
	o.leave()
	switch {
	case !ok:
		c.freeRCUUnit(uint32(u))
	case installed:
		o.arm()
	}
	if full {
		c.sheafClosed()
	}
}

// freeUnit frees an object, by its offset, to this P's main sheaf.
//
//go:norace
func (c *cache) freeUnit(off uint32) {
	s := c.enter()
	m := c.sheaf(s.main) // ord:slot-busy
	if m.n >= m.cap {
		c.freeSlow(s, off)
		return
	}
	m.obj[m.n] = off
	m.n++
	s.exit()
}

// freeRCUUnit frees an object, by its offset, to this P's RCU sheaf.
//
//go:norace
func (c *cache) freeRCUUnit(off uint32) {
	s := c.enter()
	m := c.sheaf(s.rcu) // ord:slot-busy
	if m.n >= m.cap {
		c.freeRCUSlow(s, off)
		return
	}
	m.obj[m.n] = off
	m.n++
	s.exit()
}
