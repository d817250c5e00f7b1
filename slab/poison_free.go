//go:build poison || asan

package slab

import (
	"fmt"
	"unsafe"
)

// How objects are freed, and resized, in poison builds.

// owned returns the object at p. If p is not the start of one it reports that
// and panics.
func (c *poison) owned(p unsafe.Pointer, op string, by track) (off uint32, o *object) {
	if c.closed.Load() {
		panic("quiesce/slab: use of closed cache " + c.name)
	}
	u := c.unitOf(p)
	if u >= c.units {
		c.reportMisuse("invalid-free", op, p, by)
		c.badFree(p, op)
	}
	off = uint32(u)
	o, start := c.objectAt(off)
	if o == nil || start != off {
		c.reportMisuse("invalid-free", op, p, by)
		panic(c.misuse(off))
	}
	return off, o
}

// leaveAllocated moves an allocated object to another state. If it is not
// allocated it reports the double free and panics.
func (c *poison) leaveAllocated(p unsafe.Pointer, op string, to uint32) uint32 {
	by := callerTrack()
	by.rcu = to == stPending
	off, o := c.owned(p, op, by)
	st, pin := o.lock()
	if st != stAllocated {
		o.unlock(st, pin)
		c.reportMisuse("double-free", op, p, by)
		panic(c.misuse(off))
	}
	found := c.examine(o, st, p, op, by)
	o.free = by
	if to == stQuarantined {
		c.mark(p, c.size, byteQuarantine, false)
	}
	o.unlock(to, pin)
	c.reportFound(found)
	return off
}

// freed returns the object that is to be freed in place of p, or nil if there
// is none.
func (c *poison) freed(p unsafe.Pointer, op string) unsafe.Pointer {
	if p == nil || c.guardFree(p, op, stQuarantined) {
		return nil
	}
	out := c.quarantine.push(c.leaveAllocated(p, op, stQuarantined))
	if out == 0 {
		return nil
	}
	c.release(out)
	return c.pointer(out)
}

func (c *poison) freedBulk(ps []unsafe.Pointer) {
	for _, p := range ps {
		if p = c.freed(p, "FreeBulk"); p != nil {
			c.freeUnit(uint32(c.unitOf(p)))
		}
	}
}

// retired is a FreeRCU. It returns the object that goes into a sheaf, or nil if
// there is none.
func (c *poison) retired(p unsafe.Pointer) unsafe.Pointer {
	if p == nil || c.guardFree(p, "FreeRCU", stPending) {
		return nil
	}
	c.leaveAllocated(p, "FreeRCU", stPending)
	return p
}

// reclaimed takes the objects whose grace period is over. Those that Free put
// on the chain, because there was no sheaf, need not have waited.
func (c *poison) reclaimed(offs []uint32) {
	by := callerTrack()
	batch := make([]uint32, 0, 256)
	for _, off := range offs {
		o, _ := c.objectAt(off)
		if o == nil {
			panic(c.misuse(off))
		}
		st, pin := o.lock()
		out := off
		switch st {
		case stPending:
			found := c.examine(o, st, c.pointer(off), "the reclaim worker", by)
			c.mark(c.pointer(off), c.size, byteQuarantine, false)
			o.unlock(stQuarantined, pin)
			c.reportFound(found)
			if out = c.quarantine.push(off); out != 0 {
				c.release(out)
			}
		case stFree:
			o.unlock(st, pin)
		default:
			o.unlock(st, pin)
			panic(c.misuse(off))
		}
		if out != 0 {
			batch = append(batch, out)
		}
		if len(batch) == cap(batch) {
			c.flushObjects(batch, &c.stats.flushed)
			batch = batch[:0]
		}
	}
	c.flushObjects(batch, &c.stats.flushed)
}

// release makes an object that leaves the quarantine a free one.
func (c *poison) release(off uint32) {
	o, _ := c.objectAt(off)
	p := c.pointer(off)
	by := callerTrack()
	st, pin := o.lock()
	found := c.examine(o, st, p, "the quarantine's end", by)
	c.mark(p, c.size, byteFree, false)
	o.unlock(stFree, pin)
	c.reportFound(found)
}

// memoryShort empties the quarantine into the slabs.
//
// Context: task; not pinned, no lock of the cache held.
func (c *poison) memoryShort() {
	for {
		var batch [64]uint32
		n := 0
		for n < len(batch) {
			off := c.quarantine.pop()
			if off == 0 {
				break
			}
			c.release(off)
			batch[n] = off
			n++
		}
		if n == 0 {
			return
		}
		c.flushObjects(batch[:n], &c.stats.flushed)
	}
}

// sizeOf returns the size that was asked for when p was allocated.
func (c *poison) sizeOf(p unsafe.Pointer) uintptr {
	if s := guardSlotOf(p); s != nil {
		st, pin := s.lock()
		n := uintptr(s.asked)
		s.unlock(st, pin)
		return n
	}
	_, o := c.owned(p, "Krealloc", callerTrack())
	st, pin := o.lock()
	n := uintptr(o.asked)
	o.unlock(st, pin)
	return n
}

// resized changes the size that was asked for, within the object's class. It
// returns false where that is impossible: a larger class, or a guarded object,
// whose end is where its page ends.
func (c *poison) resized(p unsafe.Pointer, asked uintptr, zero bool) bool {
	if guardSlotOf(p) != nil || asked > c.size {
		return false
	}
	by := callerTrack()
	off, o := c.owned(p, "Krealloc", by)
	st, pin := o.lock()
	if st != stAllocated {
		o.unlock(st, pin)
		c.reportMisuse("double-free", "Krealloc", p, by)
		panic(c.misuse(off))
	}
	found := c.examine(o, st, p, "Krealloc", by)
	old := uintptr(o.asked)
	c.expose(p)
	if asked > old {
		b := byte(byteNew)
		if zero {
			b = 0
		}
		fill(unsafe.Add(p, old), asked-old, b)
	}
	fill(unsafe.Add(p, asked), c.size-asked, bytePad)
	c.conceal(p, asked)
	o.asked, o.alloc = uint32(asked), by
	o.unlock(stAllocated, pin)
	c.reportFound(found)
	return true
}

// reportMisuse reports a free, or another operation, that breaks the rules.
func (c *poison) reportMisuse(what, op string, p unsafe.Pointer, by track) {
	c.errors.Add(1)
	writeReport(reportHeader(what, fmt.Sprintf("%s of addr %#x", op, uintptr(p)), by) + describeAddr(p))
}

// poisonLink reports a Pointer to memory that is none of the package's. why is
// what follows the stack.
//
//go:noinline
func poisonLink(p unsafe.Pointer, op, why string) {
	writeReport(reportHeader("invalid-pointer", fmt.Sprintf("%s of addr %#x", op, uintptr(p)), callerTrack()) + "\n" + why + "\n")
}

// poisonForeign reports a pointer that belongs to no cache.
func poisonForeign(p unsafe.Pointer, op string) {
	writeReport(reportHeader("invalid-free", fmt.Sprintf("%s of addr %#x", op, uintptr(p)), callerTrack()) + describeAddr(p))
}
