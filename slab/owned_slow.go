package slab

import (
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/race"
	"quiesce/lock"
	"quiesce/page"
)

// The slow halves of a Sheaf, its filling, and its end. They take whole sheaves
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
			if in = c.popFull(); in != 0 {
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
		c.checkStock(took, c.full.objects.Load(), f) // ord:hint
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
	return c.allocFurther(f)
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

// The parts. The owner calls them between enter and leave.

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
		if in := c.popFull(); in != 0 {
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
		c.core.Wait(c, 0, page.Size, try)
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

// opened protects the lists of open Sheaves of all caches. No lock is taken under
// it.
var opened lock.Mutex

func init() { opened.Init("slab.opened") }

// openSheaf makes what a Sheaf has of n objects.
func (c *cache) openSheaf(n int, f gfp.Flags, made uintptr) (*owned, error) {
	c.mustBeOpen()
	o := &owned{base: c.base, units: c.units, c: c, made: made}
	o.shut()
	if n < 0 || int64(n) > int64(c.units) || !o.refill(n, f) {
		o.giveBack()
		return nil, fmt.Errorf("slab: cache %s: Sheaf(%d): %w", c.name, n, ErrNoMemory)
	}
	if o.vacant == 0 && f.CanLock() { // for the first FreeRCU; it does without if need be
		o.vacant = c.makeSheaf(f&gfp.Atomic | gfp.NoWarn)
	}
	c.enlist(o)
	return o, nil
}

//go:norace
func (c *cache) enlist(o *owned) {
	race.Disable()
	opened.Lock()
	if o.after = c.open; o.after != nil {
		o.after.before = o
	}
	c.open = o
	opened.Unlock()
	race.Enable()
}

//go:norace
func (c *cache) delist(o *owned) {
	race.Disable()
	opened.Lock()
	if o.before != nil {
		o.before.after = o.after
	} else if c.open == o {
		c.open = o.after
	}
	if o.after != nil {
		o.after.before = o.before
	}
	o.before, o.after = nil, nil
	opened.Unlock()
	race.Enable()
}

// close is Sheaf.Close, and the cleanup of one that was dropped.
//
//go:norace
func (o *owned) close() {
	if o.closed {
		return
	}
	mightSleep("slab: Sheaf.Close")
	o.giveBack()
}

// giveBack returns all that the Sheaf holds to its cache. If that is closed, it
// reports it as open, and keeps it.
//
//go:norace
func (o *owned) giveBack() {
	c := o.c
	o.closed = true
	o.shut()
	if !c.begin() {
		return
	}
	o.handOver()
	switch main := o.mainNum; {
	case main == 0:
	case c.sheaf(main).n > 0:
		o.pushStock(main)
	default:
		c.pushEmpty(main)
	}
	o.setMain(0)
	for n := o.popStock(); n != 0; n = o.popStock() {
		c.pushFull(n)
	}
	if o.vacant != 0 {
		c.pushEmpty(o.vacant)
		o.vacant = 0
	}
	c.memoryCame()
	c.checkDepot()
	c.delist(o)
	race.Disable()
	c.release() // Close waits until here
	race.Enable()
}

// openSheaves returns how many Sheaves of the cache are open, how many objects they
// hold, and where some of them were made. With shutThem their owners are refused
// from their next operation on: the cache is closed.
//
//go:norace
func (c *cache) openSheaves(shutThem bool) (n, objects int, made []string) {
	race.Disable()
	opened.Lock()
	for o := c.open; o != nil; o = o.after {
		n++
		objects += int(c.peek(&o.mainNum) + c.peek(&o.rcuNum) + atomic.LoadInt64(&o.stocked)) // ord:stat
		if shutThem {
			o.shut()
			if len(made) < sitesMost {
				made = append(made, site(o.made))
			}
		}
	}
	opened.Unlock()
	race.Enable()
	return n, objects, made
}

// sitesMost is how many open Sheaves an error names.
const sitesMost = 4

// site names a place in the program.
func site(pc uintptr) string {
	f, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	return f.Function + " " + f.File + ":" + strconv.Itoa(f.Line)
}
