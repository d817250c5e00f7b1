package slab

import (
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/race"
	"quiesce/page"
)

// What a Sheaf has in stock. The owner calls these between enter and leave, but for
// those that say otherwise.

//go:norace
func (o *owned) setMain(n num) { atomic.StoreUint32(&o.mainNum, n) } // ord:stat

//go:norace
func (o *owned) setStocked(n int64) { atomic.StoreInt64(&o.stocked, n) } // ord:stat

//go:norace
func (o *owned) pushStock(n num) {
	s := o.c.sheaf(n)
	s.setLink(o.stock)
	o.stock = n
	o.setStocked(o.stocked + int64(s.n))
}

// popStock returns 0 if the stock is empty.
//
//go:norace
func (o *owned) popStock() (n num) {
	if n = o.stock; n != 0 {
		s := o.c.sheaf(n)
		o.stock = s.link()
		o.setStocked(o.stocked - int64(s.n))
	}
	return n
}

// takeEmpty finds an empty sheaf without a lock, and returns 0 if there is none.
//
//go:norace
func (o *owned) takeEmpty() (n num) {
	if n = o.vacant; n != 0 {
		o.vacant = 0
		return n
	}
	race.Disable()
	n = o.c.getEmpty()
	race.Enable()
	return n
}

//go:norace
func (o *owned) putEmpty(n num) {
	switch {
	case n == 0:
	case o.vacant == 0:
		o.vacant = n
	default:
		o.c.pushEmpty(n)
	}
}

// refill adds objects until there are n, which it keeps from then on, and reports
// whether there are. It gets them as f allows.
//
//go:norace
func (o *owned) refill(n int, f gfp.Flags) bool {
	c := o.c
	o.enter()
	o.want = int64(max(n, 0))
	o.leave()
	for missing := o.want - o.count(); missing > 0; missing = o.want - o.count() {
		if in := c.takeFull(); in != 0 {
			o.pushStock(in)
			continue
		}
		if c.sheaf(o.mainNum).full() { // or there is none
			in := o.newEmpty(f)
			if in == 0 {
				return false
			}
			if o.mainNum != 0 {
				o.pushStock(o.mainNum)
			}
			o.setMain(in)
			o.leave()
		}
		if o.borrow(missing) {
			continue
		}
		p := c.allocOne(f)
		if p == nil {
			return false
		}
		o.freeQuietly(uint32(c.unitOf(p)))
	}
	return true
}

// freeQuietly puts a free object into the main sheaf. There was room for it a
// moment ago; a Reclaimer that used the Sheaf meanwhile may have filled it.
//
//go:norace
func (o *owned) freeQuietly(off uint32) {
	if m := o.c.sheaf(o.mainNum); !m.full() {
		m.obj[m.n] = off
		m.n++
		return
	}
	o.c.freeUnit(off)
}

// newEmpty is takeEmpty for those who may take locks, and wait.
func (o *owned) newEmpty(f gfp.Flags) (n num) {
	c := o.c
	if n = o.takeEmpty(); n != 0 || !f.CanLock() {
		return n
	}
	try := func() bool {
		n = c.makeSheaf(f&gfp.Atomic | gfp.NoWarn)
		return n != 0
	}
	if !try() && f.CanSleep() && c.checkMaySleep(f).CanSleep() {
		c.core.Wait(c.source, 0, page.Size, try)
	}
	if n == 0 {
		c.failed(f)
	}
	return n
}

// count returns the number of objects that the next allocations find.
//
//go:norace
func (o *owned) count() int64 { return int64(o.c.sheaf(o.mainNum).n) + o.stocked }

// length is Sheaf.Len.
//
//go:norace
func (o *owned) length() int {
	race.Disable()
	nudged := o.state.Load() == ownNudged // ord:own-gate
	race.Enable()
	if nudged {
		o.enter()
		o.leave()
	}
	return int(o.count())
}
