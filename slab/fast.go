package slab

import (
	"math/bits"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/page"
)

// The three fast paths. They write racy words (slot.busy and the sheaf that
// the slot names) by plain stores while pinned; doc.go, "revoking", says why
// that is right. All such accesses of owners are in this file and in slow.go.
//
// They hold no loop, no atomic and no call but the two halves of the pin. What
// is needed behind one of those calls goes through the stack, so as little as
// possible is: the flags of an allocation, which only the slow half wants, stay
// with the caller until then. That took 6.9 ns to 6.4 for a pair.

// slot is one P's part of a cache. Sheaf numbers are read plainly by the
// owner and change by atomic swap only.
type slot struct {
	busy    uint32 // an operation of the owner is under way
	main    num    // serves Alloc and Free
	rcu     num    // collects FreeRCU
	spare   num    // behind main: any fill
	reserve num    // empty, for the RCU sheaf's replacement
	ready   uint32 // the slot is below the high-water mark
	_       [percpu.Line - 6*4]byte
}

// alloc is called in round 0, and in round 1 with what that returned: see
// Cache.Alloc. Round 0 does not look at got and f, which therefore don't go
// through the stack.
//
//go:norace
//go:nosplit
func (c *cache) alloc(got unsafe.Pointer, f gfp.Flags, round int) unsafe.Pointer {
	if poisonOn {
		if round == 0 {
			return nil
		}
		return c.poisonAlloc(f, 0)
	}
	if round != 0 {
		return c.allocSlow(got, f)
	}
	s := c.slots.At(sys.ProcPin())
	s.busy = 1 // ord:slot-busy
	if fault.Delays {
		fault.Delay("slot-busy")
	}
	m := (*sheaf)(unsafe.Add(c.base, uintptr(s.main)<<page.Shift)) // ord:slot-busy
	n := m.n
	if n == 0 {
		s.busy = 0 // ord:slot-exit
		sys.ProcUnpin()
		return nil
	}
	n--
	m.n = n
	if fault.Delays {
		fault.Delay("slot-exit")
	}
	off := *(*uint32)(unsafe.Add(unsafe.Pointer(&m.obj), uintptr(n)*4))
	p := unsafe.Add(c.base, uintptr(off)<<unitShift)
	s.busy = 0 // ord:slot-exit
	sys.ProcUnpin()
	return p
}

//go:norace
//go:nosplit
func (c *cache) free(p unsafe.Pointer) {
	if poisonOn {
		if p = c.poisonFree(p, "Free"); p == nil {
			return
		}
	}
	u := c.unitOf(p)
	if u >= c.units {
		c.badFree(p, "Free")
		return
	}
	s := c.slots.At(sys.ProcPin())
	s.busy = 1 // ord:slot-busy
	if fault.Delays {
		fault.Delay("slot-busy")
	}
	m := (*sheaf)(unsafe.Add(c.base, uintptr(s.main)<<page.Shift)) // ord:slot-busy
	n := m.n
	if n >= m.cap {
		c.freeSlow(s, uint32(u))
		return
	}
	*(*uint32)(unsafe.Add(unsafe.Pointer(&m.obj), uintptr(n)*4)) = uint32(u)
	if fault.Delays {
		fault.Delay("slot-exit")
	}
	m.n = n + 1
	s.busy = 0 // ord:slot-exit
	sys.ProcUnpin()
}

//go:norace
//go:nosplit
func (c *cache) freeRCU(p unsafe.Pointer) {
	if poisonOn {
		if p = c.poisonFreeRCU(p); p == nil {
			return
		}
	}
	u := c.unitOf(p)
	if u >= c.units {
		c.badFree(p, "FreeRCU")
		return
	}
	s := c.slots.At(sys.ProcPin())
	s.busy = 1 // ord:slot-busy
	if fault.Delays {
		fault.Delay("slot-busy")
	}
	m := (*sheaf)(unsafe.Add(c.base, uintptr(s.rcu)<<page.Shift)) // ord:slot-busy
	n := m.n
	if n >= m.cap {
		c.freeRCUSlow(s, uint32(u))
		return
	}
	*(*uint32)(unsafe.Add(unsafe.Pointer(&m.obj), uintptr(n)*4)) = uint32(u)
	if fault.Delays {
		fault.Delay("slot-exit")
	}
	m.n = n + 1
	s.busy = 0 // ord:slot-exit
	sys.ProcUnpin()
}

// unitOf turns an address into an offset in units. The rotation brings the
// bits below a unit to the top, so that one comparison with c.units refuses
// addresses outside of the range and off the grid alike.
func (c *cache) unitOf(p unsafe.Pointer) uint64 {
	return bits.RotateLeft64(uint64(uintptr(p)-uintptr(c.base)), -unitShift)
}

func (c *cache) pointer(off uint32) unsafe.Pointer {
	return unsafe.Add(c.base, uintptr(off)<<unitShift)
}
