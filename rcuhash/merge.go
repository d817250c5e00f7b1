package rcuhash

import (
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
)

// mergeLast merges the last child into its parent, or makes the table before
// this one if there is no child. It returns false if that could not be done.
func (x *index[K]) mergeLast(t *table) bool {
	c := t.cursor.Load() // ord:cursor
	switch {
	case c == frozen:
		return false
	case c == 0:
		return x.halve(t)
	case c%busyOne == 0:
		return false
	}
	i := uint64(c%busyOne) - 1
	if x.isWide() {
		return x.mergeWide(t, c, i)
	}
	var spare unsafe.Pointer
	defer func() { x.free(spare) }()
	for {
		b, child, s := x.lockPair(t, i)
		if b == nil {
			return false
		}
		if !child.tryLock() {
			b.unlock()
			s.Restore()
			return false
		}
		room, length := x.freeSlotsLocked(b)
		over := x.entryCount(child) - room
		fits := over <= 0 || over <= slots && length < maxChain
		if fits && over > 0 && spare == nil {
			child.unlock()
			b.unlock()
			s.Restore()
			if spare = x.allocBuckets(1, gfp.NoLocks); spare == nil {
				return false
			}
			continue
		}
		var gone *bucket
		// Only with the parent's lock does a child come or go, so this one is live.
		ok := fits && t.cursor.CompareAndSwap(c, c-1+busyOne) // ord:cursor
		if ok {
			if over > 0 {
				x.appendLocked(b, (*bucket)(spare))
				spare = nil
			}
			t.leaves(t.n + i)
			gone = x.mergeLocked(t, i, b, child)
			t.cursor.Add(-busyOne) // ord:cursor
		}
		child.unlock()
		b.unlock()
		s.Restore()
		x.retireChain(gone)
		return ok
	}
}

// mergeLocked moves the entries of a child back to its parent. Both chains are
// locked, and the parent's has room. It returns the buckets that have left the
// child's chain, linked.
func (x *core) mergeLocked(t *table, i uint64, b, child *bucket) (gone *bucket) {
	// 1. The entries are in the parent too.
	in := b
	for c := child; c != nil; c = x.next(c) {
		for s := range slots {
			if r := loadRef(&c.refs[s]); r != 0 {
				for in.free() < 0 {
					in = x.next(in)
				}
				in.set(in.free(), c.tagAt(s), r)
			}
		}
	}
	// 2. Those that are in the parent since before it was split, and miss, look
	// again.
	b.movedAs(t.n/2, i) // ord:moved,live
	fault.Delay("moved")
	// 3. Look-ups begin in the parent from now on; those that began in the child,
	// and miss, look again.
	storeWord(&child.meta, child.loadMeta()&^liveBit+versionOne) // ord:live
	fault.Delay("live")
	// 4. The entries leave the child.
	gone = x.next(child)
	storeRef(&child.over, 0) // ord:overflow
	for s := range slots {
		if child.tagAt(s) != 0 {
			child.remove(s)
		}
	}
	return gone
}

// appendLocked puts an empty bucket at the end of a locked chain.
func (x *core) appendLocked(b, last *bucket) {
	for next := x.next(b); next != nil; next = x.next(b) {
		b = next
	}
	storeRef(&b.over, x.refOf(unsafe.Pointer(last))) // ord:overflow
}

// freeSlotsLocked returns how many free slots and how many buckets a locked
// chain has.
func (x *core) freeSlotsLocked(b *bucket) (free, length int) {
	for ; b != nil; b = x.next(b) {
		free += slots - b.used()
		length++
	}
	return free, length
}

// entryCount returns the number of entries of a locked chain.
func (x *core) entryCount(b *bucket) (n int) {
	for ; b != nil; b = x.next(b) {
		n += b.used()
	}
	return n
}

// retireChain frees linked buckets that left their chain after a grace period.
func (x *core) retireChain(b *bucket) {
	for b != nil {
		next := x.next(b)
		x.retireBucket(b)
		b = next
	}
}

// halve makes a table with half the buckets, when no child of this one is left.
func (x *core) halve(t *table) bool {
	if t.n <= t.n0 || !t.cursor.CompareAndSwap(0, frozen) { // ord:cursor
		return false
	}
	next := x.newTable(t.n/2, t.n0, t.floor)
	next.copyDir(t)
	next.ready(t.n)
	next.cursor.Store(int64(next.n)) // ord:cursor
	x.table.Store(next)              // ord:table
	var blocks []block
	for i := t.n; i < 2*t.n; {
		first, n := t.blockOf(i)
		blocks = append(blocks, x.takeBlock(t, first, n))
		i += uint64(n)
	}
	x.freeLater(blocks...)
	return true
}
