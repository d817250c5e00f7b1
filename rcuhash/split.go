package rcuhash

import (
	"math/bits"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/pin"
)

// splitNext splits the bucket at the cursor, or makes the next table if all are
// split. It returns false if that could not be done: for lack of memory, or
// because others do it.
func (x *index[K]) splitNext(t *table, f gfp.Flags) bool {
	c := t.cursor.Load() // ord:cursor
	switch {
	case c == frozen:
		return false
	case c == int64(t.n):
		return f.CanLock() && x.double(t, f)
	}
	i := uint64(c % busyOne)
	if i == t.n || !x.ensure(t, t.n+i, f) {
		return false
	}
	if x.isWide() {
		return x.splitWide(t, c, i, f)
	}
	var spares [maxChain]*bucket
	have := 0
	for {
		b, child, s := x.lockPair(t, i)
		if b == nil {
			break
		}
		var e entries
		x.entriesLocked(b, &e)
		movers, need := e.movers(t.n), 0
		for n := bits.OnesCount64(movers[0]) + bits.OnesCount64(movers[1]); n > slots*(need+1); {
			need++
		}
		if need > have {
			b.unlock()
			s.Restore()
			p := x.allocBuckets(1, f)
			if p == nil {
				break
			}
			spares[have] = (*bucket)(p)
			have++
			continue
		}
		if !t.cursor.CompareAndSwap(c, c+1+busyOne) { // ord:cursor
			b.unlock()
			s.Restore()
			break
		}
		gone := x.splitLocked(t, b, child, &e, movers, spares[:need])
		copy(spares[:], spares[need:have])
		have -= need
		t.cursor.Add(-busyOne) // ord:cursor
		child.unlock()
		b.unlock()
		s.Restore()
		t.joined(t.n + i)
		x.retireChain(gone)
		for _, sp := range spares[:have] {
			x.free(unsafe.Pointer(sp))
		}
		return true
	}
	for _, sp := range spares[:have] {
		x.free(unsafe.Pointer(sp))
	}
	return false
}

// lockPair locks the live bucket i of the current table, and returns it with its
// child, or nil if t is not that any more. The goroutine is pinned, so that the
// memory of a table that was current stays, until the caller restores s.
func (x *core) lockPair(t *table, i uint64) (b, child *bucket, s pin.IRQ) {
	s = pin.DisableIRQ()
	if x.table.Load() == t { // ord:table
		if b, child = t.bucketAt(x.base, i), t.bucketAt(x.base, t.n+i); b != nil && child != nil {
			b.lock()
			if x.table.Load() == t && b.loadMeta()&liveBit != 0 { // ord:table,live
				return b, child, s
			}
			b.unlock()
		}
	}
	s.Restore()
	return nil, nil, s
}

// entries are those of a locked chain.
type entries struct {
	n    int
	hash [maxChain * slots]uint64
	in   [maxChain * slots]*bucket
	slot [maxChain * slots]uint8
}

// entriesLocked collects the entries of a locked chain.
func (x *index[K]) entriesLocked(b *bucket, e *entries) {
	for ; b != nil; b = x.next(b) {
		for s := range slots {
			if n := x.node(b, s); n != nil {
				e.hash[e.n], e.in[e.n], e.slot[e.n] = x.hashOf(n), b, uint8(s)
				e.n++
			}
		}
	}
}

// movers returns a bit for each entry whose hash has the bit.
func (e *entries) movers(bit uint64) (m [2]uint64) {
	for i := range e.n {
		if e.hash[i]&bit != 0 {
			m[i/64] |= 1 << (i % 64)
		}
	}
	return m
}

func has(m [2]uint64, i int) bool { return m[i/64]>>(i%64)&1 != 0 }

// splitLocked moves the movers of a locked chain to the child of its bucket, which
// it locks and leaves locked. It returns the buckets that have left the chain,
// linked.
func (x *index[K]) splitLocked(t *table, b, child *bucket, e *entries, movers [2]uint64, spares []*bucket) (gone *bucket) {
	// 1. The movers are in the child too, which is not live. It is locked until
	// they have left the parent: one that was deleted in between would be freed
	// while new readers can still reach it there.
	child.lock() // ord:bucket-lock
	in, used := child, 0
	for j := range e.n {
		if !has(movers, j) {
			continue
		}
		if used == slots {
			storeRef(&in.over, x.refOf(unsafe.Pointer(spares[0]))) // ord:overflow
			in, spares, used = spares[0], spares[1:], 0
		}
		in.set(used, tagOf(e.hash[j]), loadRef(&e.in[j].refs[e.slot[j]]))
		used++
	}
	// 2. Look-ups of movers begin in the child from now on.
	child.becomeLive(t.n, t.n) // ord:live
	fault.Delay("live")
	// 3. Those that began in the parent, and miss, look again.
	b.movedAs(t.n, 0) // ord:moved,live
	fault.Delay("moved")
	// 4. The movers leave the parent.
	for j := range e.n {
		if has(movers, j) {
			e.in[j].remove(int(e.slot[j]))
		}
	}
	return x.gatherLocked(b, slots)
}

// gatherLocked moves the entries of a locked chain to its first bucket, if there are
// at most so many. It returns the buckets that have left the chain, linked, with
// their entries: a reader that is in them finds these, and one that misses looks
// again.
func (x *core) gatherLocked(b *bucket, most int) (gone *bucket) {
	if loadRef(&b.over) == 0 || x.entryCount(b) > most {
		return nil
	}
	for c := x.next(b); c != nil; c = x.next(c) {
		for s := range slots {
			if r := loadRef(&c.refs[s]); r != 0 { // ord:entry
				b.set(b.free(), c.tagAt(s), r)
			}
		}
	}
	b.moved() // ord:moved
	fault.Delay("moved")
	gone = x.next(b)
	storeRef(&b.over, 0) // ord:overflow
	return gone
}

// double makes the next table, with twice the buckets, or that of a small one.
func (x *index[K]) double(t *table, f gfp.Flags) bool {
	if 4*t.n > maxBuckets {
		return false
	}
	if t.isSmall() {
		return x.leaveSmall(t, f)
	}
	if !t.cursor.CompareAndSwap(int64(t.n), frozen) { // ord:cursor
		return false
	}
	a := t.ahead.Load()           // ord:publish
	if a == nil || a.dir == nil { // none, or not made yet
		a = arraysFor(2 * t.n)
	}
	next := x.tableWith(a, 2*t.n, t.n0, t.floor)
	next.copyDir(t)
	next.ready(next.n)
	if next.n >= largeBuckets {
		x.counts.widen()
	}
	x.table.Store(next) // ord:table
	return true
}
