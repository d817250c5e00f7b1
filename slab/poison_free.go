//go:build poison || asan

package slab

import (
	"fmt"
	"unsafe"
)

// How objects are freed, and resized, in poison builds.

// owned returns the object at p, or reports why p can't be freed, and panics.
func (c *cache) owned(p unsafe.Pointer, op string, by track) (off uint32, o *object) {
	if c.closed.Load() {
		panic("quiesce: slab: use of closed cache " + c.name)
	}
	u := c.unitOf(p)
	if u >= c.units {
		c.misused("invalid-free", op, p, by)
		c.badFree(p, op)
	}
	off = uint32(u)
	o, start := c.objectAt(off)
	if o == nil || start != off {
		c.misused("invalid-free", op, p, by)
		panic(c.misuse(off))
	}
	return off, o
}

// freed moves an allocated object to another state, or reports the double
// free, and panics.
func (c *cache) freed(p unsafe.Pointer, op string, to uint32) uint32 {
	by := here()
	by.rcu = to == stPending
	off, o := c.owned(p, op, by)
	st, pin := o.take()
	if st != stAllocated {
		o.put(st, pin)
		c.misused("double-free", op, p, by)
		panic(c.misuse(off))
	}
	found := c.examine(o, st, p, op, by)
	o.free = by
	if to == stQuarantined {
		c.mark(p, c.size, byteQuarantine, false)
	}
	o.put(to, pin)
	c.emit(found)
	return off
}

// poisonFree returns the object that is to be freed in place of p; nil: none.
func (c *cache) poisonFree(p unsafe.Pointer, op string) unsafe.Pointer {
	if p == nil || c.guardFree(p, op, stQuarantined) {
		return nil
	}
	out := c.poison.quarantine.push(c.freed(p, op, stQuarantined))
	if out == 0 {
		return nil
	}
	c.release(out)
	return c.pointer(out)
}

func (c *cache) poisonFreeBulk(ps []unsafe.Pointer) {
	for _, p := range ps {
		if p = c.poisonFree(p, "FreeBulk"); p != nil {
			c.freeUnchecked(p)
		}
	}
}

// freeUnchecked is what free does after the check.
//
//go:norace
func (c *cache) freeUnchecked(p unsafe.Pointer) {
	off := uint32(c.unitOf(p))
	s := c.enter()
	m := c.sheaf(s.main)
	if m.n >= m.cap {
		c.freeSlow(s, off)
		return
	}
	m.obj[m.n] = off
	m.n++
	s.leave()
}

// poisonFreeRCU returns the object that goes into a sheaf; nil: none.
func (c *cache) poisonFreeRCU(p unsafe.Pointer) unsafe.Pointer {
	if p == nil || c.guardFree(p, "FreeRCU", stPending) {
		return nil
	}
	c.freed(p, "FreeRCU", stPending)
	return p
}

// poisonEnded takes the objects whose grace period is over. Those that were
// chained by Free, for want of a sheaf, have waited for nothing.
func (c *cache) poisonEnded(offs []uint32) {
	by := here()
	batch := make([]uint32, 0, 256)
	for _, off := range offs {
		o, _ := c.objectAt(off)
		if o == nil {
			panic(c.misuse(off))
		}
		st, pin := o.take()
		out := off
		switch st {
		case stPending:
			found := c.examine(o, st, c.pointer(off), "the reclaim worker", by)
			c.mark(c.pointer(off), c.size, byteQuarantine, false)
			o.put(stQuarantined, pin)
			c.emit(found)
			if out = c.poison.quarantine.push(off); out != 0 {
				c.release(out)
			}
		case stFree:
			o.put(st, pin)
		default:
			o.put(st, pin)
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

// release makes an object that left the quarantine a free one.
func (c *cache) release(off uint32) {
	o, _ := c.objectAt(off)
	p := c.pointer(off)
	by := here()
	st, pin := o.take()
	found := c.examine(o, st, p, "the quarantine's end", by)
	c.mark(p, c.size, byteFree, false)
	o.put(stFree, pin)
	c.emit(found)
}

// poisonFlush empties the quarantine into the slabs. Unpinned, no locks held.
func (c *cache) poisonFlush() {
	for {
		var batch [64]uint32
		n := 0
		for n < len(batch) {
			off := c.poison.quarantine.pop()
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

// poisonSize is the size that was asked for when p was allocated.
func (c *cache) poisonSize(p unsafe.Pointer) uintptr {
	if s := guardSlotOf(p); s != nil {
		st, pin := s.take()
		n := uintptr(s.asked)
		s.put(st, pin)
		return n
	}
	_, o := c.owned(p, "Krealloc", here())
	st, pin := o.take()
	n := uintptr(o.asked)
	o.put(st, pin)
	return n
}

// poisonResize changes the size that was asked for, within the object's class.
// It returns false if that can't be: a larger class, or a guarded object, whose
// end is where its page ends.
func (c *cache) poisonResize(p unsafe.Pointer, asked uintptr, zero bool) bool {
	if guardSlotOf(p) != nil || asked > c.size {
		return false
	}
	by := here()
	off, o := c.owned(p, "Krealloc", by)
	st, pin := o.take()
	if st != stAllocated {
		o.put(st, pin)
		c.misused("double-free", "Krealloc", p, by)
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
	o.put(stAllocated, pin)
	c.emit(found)
	return true
}

// misused reports a free, or another operation, that must not be.
func (c *cache) misused(what, op string, p unsafe.Pointer, by track) {
	c.poison.errors.Add(1)
	write(headed(what, fmt.Sprintf("%s of addr %#x", op, uintptr(p)), by) + where(p))
}

// poisonForeign reports a pointer for which no cache was found.
func poisonForeign(p unsafe.Pointer, op string) {
	write(headed("invalid-free", fmt.Sprintf("%s of addr %#x", op, uintptr(p)), here()) + where(p))
}
