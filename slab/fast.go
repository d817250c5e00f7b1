package slab

import (
	"math/bits"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/sys"
)

// The three fast paths, as pinned sections. Builds with leaves have each of them
// in assembly as well (leaf_asm.go), and come here if that was not enough.
//
// They write racy words (slot.busy and the sheaf that the slot names) by plain
// stores while pinned; doc.go, "Revoking", says why that is right. Other accesses
// of owners are in slot.go, alloc_slow.go and free_slow.go.
//
// They have no loop, no atomic and no call except the two halves of the pin.
// Whatever is needed after such a call goes through the stack, so as little as
// possible is: the flags of an allocation, which only the slow half reads, stay
// with the caller until then. That took a pair from 6.9 ns to 6.4.

// The rounds of an allocation. Cache.Alloc calls alloc from one place, in a
// loop, because two calls would not inline.
const (
	lookFast    = 0 // this P's main sheaf
	lookFurther = 1 // everywhere that the flags allow; does what they ask for
)

// alloc is called with lookFast and then, if that was not enough, with
// lookFurther and what the first round got. The first round reads neither got
// nor f, which therefore do not go through the stack.
//
//go:norace
//go:nosplit
func (c *cache) alloc(got unsafe.Pointer, f gfp.Flags, round int) unsafe.Pointer {
	if poisonOn {
		if round == lookFast {
			return nil
		}
		return c.poison.alloc(f, 0)
	}
	if round != lookFast {
		return c.allocSlow(got, f)
	}
	s := c.slots.At(sys.ProcPin())
	s.busy = 1 // ord:slot-busy
	fault.Delay("slot-busy")
	m := (*sheaf)(unsafe.Add(c.base, uintptr(s.main)<<sheafShift)) // ord:slot-busy
	n := m.n
	if n == 0 {
		s.busy = 0 // ord:slot-exit
		sys.ProcUnpin()
		return nil
	}
	n--
	m.n = n
	fault.Delay("slot-exit")
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
		if p = c.poison.freed(p, "Free"); p == nil {
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
	fault.Delay("slot-busy")
	m := (*sheaf)(unsafe.Add(c.base, uintptr(s.main)<<sheafShift)) // ord:slot-busy
	n := m.n
	if n >= m.cap {
		c.freeSlow(s, uint32(u))
		return
	}
	*(*uint32)(unsafe.Add(unsafe.Pointer(&m.obj), uintptr(n)*4)) = uint32(u)
	fault.Delay("slot-exit")
	m.n = n + 1
	s.busy = 0 // ord:slot-exit
	sys.ProcUnpin()
}

//go:norace
//go:nosplit
func (c *cache) freeRCU(p unsafe.Pointer) {
	if poisonOn {
		if p = c.poison.retired(p); p == nil {
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
	fault.Delay("slot-busy")
	m := (*sheaf)(unsafe.Add(c.base, uintptr(s.rcu)<<sheafShift)) // ord:slot-busy
	n := m.n
	if n >= m.cap {
		c.freeRCUSlow(s, uint32(u))
		return
	}
	*(*uint32)(unsafe.Add(unsafe.Pointer(&m.obj), uintptr(n)*4)) = uint32(u)
	fault.Delay("slot-exit")
	m.n = n + 1
	s.busy = 0 // ord:slot-exit
	sys.ProcUnpin()
}

// allocPinned is what leafAlloc leaves undone.
func allocPinned(c *cache, f gfp.Flags) unsafe.Pointer {
	p := c.alloc(nil, f, lookFast)
	if p == nil || f&gfp.Zero != 0 {
		p = c.alloc(p, f, lookFurther)
	}
	return p
}

// freePinned is what leafFree leaves undone.
func freePinned(c *cache, p unsafe.Pointer) { c.free(p) }

// freeRCUPinned is what leafFreeRCU leaves undone.
func freeRCUPinned(c *cache, p unsafe.Pointer) { c.freeRCU(p) }

// unitOf turns an address into an offset in units. The rotation brings the
// bits below a unit to the top, so that one comparison with c.units refuses
// addresses outside of the range and off the grid alike.
func (c *cache) unitOf(p unsafe.Pointer) uint64 {
	return bits.RotateLeft64(uint64(uintptr(p)-uintptr(c.base)), -unitShift)
}

func (c *cache) pointer(off uint32) unsafe.Pointer {
	return unsafe.Add(c.base, uintptr(off)<<unitShift)
}
