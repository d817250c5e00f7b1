package slab

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/race"
	"quiesce/rcu"
)

// Sheaves that a goroutine owns: the core of Sheaf, and its fast paths.
//
// # Who owns what
//
// The sheaves of an owned are its goroutine's alone: main, rcu, vacant and stock
// are sheaves that no P, no stack and no taker has, so the owner works on them
// without a pin, without busy and without atomics, in any context. They are the
// cache's own format, in its allocator's pages, and enter and leave whole. The
// goroutine may change threads: the scheduler orders its accesses.
//
// Nobody else ever touches these sheaves, so there is nothing to revoke: Barrier and
// Close can't take them. What others may do is to ask.
//
// # Gates: how the service asks for pending frees
//
// An object that FreeRCU put into the RCU sheaf must not wait there for as
// long as the owner has little to do. The fast paths don't look at a clock, and
// the service can't take the sheaf. So they find their sheaves through two gates,
// main and rcu, which the service closes: it stores the sentinel, which is full
// and empty at once, and the owner's next operation, whichever it is, takes its slow
// path. That hands over the RCU sheaf and opens the gates.
//
// Nothing depends on when the owner sees a gate closed. An operation that has loaded
// the gate before goes on in a sheaf that is still the owner's.
//
//	state  idle ──── FreeRCU installs an RCU sheaf ────────→ armed
//	       armed ─── the service, when the drain is due ───→ nudged
//	       armed, nudged ─── the owner hands the sheaf over → idle
//
// No nudge is lost: the service makes state nudged and then closes the gates. The
// owner opens them and then reads state (leave). If it doesn't see the nudge, the
// service closes the gates after they were opened; if it does, it hands over and
// opens them again. A gate that is closed too late, by a service that was slow,
// costs the owner a slow path that finds nothing to do. ord:own-gate.
//
// No armed sheaf is forgotten: the owner makes state armed, then puts itself on the
// cache's list unless listed says that it is there, and then has the drain started
// (startDrain). The service takes the whole list, clears listed of each, and then
// looks at its state; so one of the two sees the other: ord:own-armed. It lets go of
// the cache's drain as with the sheaves of slots: draining is cleared, and then the
// list looked at once more (anyRCU).
//
// # Cookies
//
// The owner closes its RCU sheaf itself: it takes the cookie, by an atomic
// read-modify-write, in the operation after the one that put in the last object
// (closeRCU). So the grace period began after that object was unlinked.
//
// # The handle
//
// Sheaf is a handle, which points to its owned; an owned does not point back. It
// is on the cache's list of open Sheaves. When the collector finds a handle
// unreachable that was not closed, no operation is under way: each keeps the handle
// alive to its end. The collector's stop of the world orders them all before the
// cleanup, which gives everything back (giveBack).

// owned is a Sheaf without its type and its handle. The owner has the fields but
// for those that say otherwise.
type owned struct {
	main, rcu unsafe.Pointer // *sheaf: the gates; the service stores the sentinel
	base      unsafe.Pointer // immutable, as are the next two
	units     uint64
	c         *cache

	mainNum num   // serves Alloc and Free; 0: none. Others read it, for Stats
	rcuNum  num   // collects FreeRCU's objects, at least one; 0: none. Others read it
	vacant  num   // empty; 0: none
	stock   num   // first of the sheaves that follow main, linked
	stocked int64 // objects in them; others read it
	want    int64 // objects that are kept from the cache
	closed  bool

	listed atomic.Bool   // on cache.armed
	state  atomic.Uint32 // see above
	next   *owned        // on cache.armed; the list's while listed is set
	made   uintptr       // the pc of the call of Cache.Sheaf; immutable

	before, after *owned // among the cache's open Sheaves; protected by opened
}

// The values of owned.state.
const (
	ownIdle   uint32 = iota // nothing is to be handed over
	ownArmed                // there is an RCU sheaf
	ownNudged               // and the owner should hand it over
)

// The fast paths. The compiler would inline them, but for the call of the slow
// half, which alone is three quarters of what it allows; so they are functions
// without a stack check that call nothing else.

//go:norace
//go:nosplit
func (o *owned) alloc(f gfp.Flags) unsafe.Pointer {
	m := (*sheaf)(o.main) // ord:own-gate
	n := m.n
	if n == 0 || f >= gfp.Zero {
		return o.allocSlow(f)
	}
	n--
	m.n = n
	off := *(*uint32)(unsafe.Add(unsafe.Pointer(&m.obj), uintptr(n)*4))
	return unsafe.Add(o.base, uintptr(off)<<unitShift)
}

//go:norace
//go:nosplit
func (o *owned) free(p unsafe.Pointer) {
	u := o.unitOf(p)
	m := (*sheaf)(o.main) // ord:own-gate
	n := m.n
	if u >= o.units || n >= m.cap {
		o.freeSlow(p)
		return
	}
	*(*uint32)(unsafe.Add(unsafe.Pointer(&m.obj), uintptr(n)*4)) = uint32(u)
	m.n = n + 1
}

//go:norace
//go:nosplit
func (o *owned) freeRCU(p unsafe.Pointer) {
	u := o.unitOf(p)
	m := (*sheaf)(o.rcu) // ord:own-gate
	n := m.n
	if u >= o.units || n >= m.cap {
		o.freeRCUSlow(p)
		return
	}
	*(*uint32)(unsafe.Add(unsafe.Pointer(&m.obj), uintptr(n)*4)) = uint32(u)
	m.n = n + 1
}

// enter begins a slow path: it refuses a closed Sheaf or cache, and does what the
// service has asked for.
//
//go:norace
func (o *owned) enter() {
	race.Disable()
	gone := o.c.closed.Load()             // ord:closed
	nudged := o.state.Load() == ownNudged // ord:own-gate
	race.Enable()
	switch {
	case o.closed:
		panic("quiesce/slab: use of a closed Sheaf of cache " + o.c.name)
	case gone:
		panic("quiesce/slab: use of a Sheaf of closed cache " + o.c.name)
	case nudged:
		o.handOver()
	}
}

// leave opens the gates. What follows in a slow path may run code of the user's,
// which may use the Sheaf.
//
//go:norace
func (o *owned) leave() {
	for again := true; again; {
		race.Disable()
		atomic.StorePointer(&o.main, unsafe.Pointer(o.c.sheaf(o.mainNum))) // ord:own-gate
		atomic.StorePointer(&o.rcu, unsafe.Pointer(o.c.sheaf(o.rcuNum)))   // ord:own-gate
		fault.Delay("own-gate")
		again = o.state.Load() == ownNudged // ord:own-gate
		race.Enable()
		if again {
			o.handOver()
		}
	}
}

// shut closes the gates. Context: any; not the owner's alone.
//
//go:norace
func (o *owned) shut() {
	sentinel := unsafe.Pointer(o.c.sheaf(0))
	atomic.StorePointer(&o.main, sentinel) // ord:own-gate
	atomic.StorePointer(&o.rcu, sentinel)  // ord:own-gate
}

// handOver makes the RCU sheaf pending.
func (o *owned) handOver() {
	if o.closeRCU() {
		o.c.sheafClosed()
	}
}

// closeRCU is handOver without what follows closeSheaf, and reports whether there
// was an RCU sheaf.
//
//go:norace
func (o *owned) closeRCU() bool {
	race.Disable()
	defer race.Enable()
	out := o.rcuNum
	atomic.StoreUint32(&o.rcuNum, 0)                          // ord:stat
	atomic.StorePointer(&o.rcu, unsafe.Pointer(o.c.sheaf(0))) // ord:own-gate
	o.state.Store(ownIdle)                                    // ord:own-gate
	if out == 0 {
		return false
	}
	fault.Delay("cookie")
	o.c.closeSheaf(o.c.here(), out, rcu.GetState()) // after the last object; ord:cookie
	return true
}

// arm has the service ask for the RCU sheaf, which was just installed, when the
// cache's drain is due.
//
//go:norace
func (o *owned) arm() {
	c := o.c
	race.Disable()
	o.state.Store(ownArmed) // ord:own-armed
	fault.Delay("own-armed")
	if !o.listed.Load() && o.listed.CompareAndSwap(false, true) { // ord:own-armed
		for {
			h := c.armed.Load() // ord:own-armed
			o.next = h
			if c.armed.CompareAndSwap(h, o) { // ord:own-armed
				break
			}
		}
	}
	race.Enable()
	c.startDrain()
}

// nudgeSheaves asks the owners of the cache's armed Sheaves to hand over, and
// returns how many there were and about how many objects they have pending.
//
//go:norace
func (c *cache) nudgeSheaves() (sheaves, objects int) {
	race.Disable()
	defer race.Enable()
	if c.armed.Load() == nil { // ord:own-armed
		return 0, 0
	}
	for o := c.armed.Swap(nil); o != nil; { // ord:own-armed
		next := o.next
		o.next = nil
		o.listed.Store(false) // ord:own-armed
		fault.Delay("own-armed")
		if o.state.CompareAndSwap(ownArmed, ownNudged) { // ord:own-armed,own-gate
			sheaves++
			objects += int(c.peek(&o.rcuNum))
			fault.Delay("own-gate")
			o.shut()
		}
		o = next
	}
	return sheaves, objects
}

// peek returns how many objects a sheaf of another goroutine's has. It may be in
// other hands by now, and its page something else: then it is any number that a
// sheaf could have.
//
//go:norace
func (c *cache) peek(at *num) int64 {
	s := c.sheaf(atomic.LoadUint32(at)) // ord:stat
	if race.Enabled {                   // as for links
		return int64(min(s.n, sheafMax))
	}
	return int64(min(atomic.LoadUint32(&s.n), sheafMax)) // ord:stat
}

// unitOf is cache.unitOf.
func (o *owned) unitOf(p unsafe.Pointer) uint64 {
	return bits.RotateLeft64(uint64(uintptr(p)-uintptr(o.base)), -unitShift)
}
