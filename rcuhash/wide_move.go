package rcuhash

import (
	"math/bits"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
)

// Splits and merges of wide buckets, in the steps of the narrow ones. An entry that
// moves is copied: its old slot keeps the value for those that have it, and can be
// used again after a grace period. What finds no clean slot is left for later.

// wideEntries are those of a locked chain of a wide bucket.
type wideEntries struct {
	n  int
	at [wideSlots + maxChain*slots]place
	h  [wideSlots + maxChain*slots]uint64
}

func (e *wideEntries) add(h uint64, p place) {
	e.at[e.n], e.h[e.n] = p, h
	e.n++
}

// entriesWideLocked collects the entries of a locked chain whose hashes have one of
// the bits, or all if there are none.
func (x *core) entriesWideLocked(first *bucket, bit uint64, e *wideEntries) {
	for c := first.loadLow() & wideTop; c != 0; c &= c - 1 {
		p := place{first, bits.TrailingZeros64(c) >> 3, first.entryOf(c)}
		if h := x.seeds.mix(*keyWord(p.e)); bit == 0 || h&bit != 0 {
			e.add(h, p)
		}
	}
	for b := x.nextWide(first); b != nil; b = x.next(b) {
		for s := range slots {
			if n := x.node(b, s); n != nil {
				if h := x.seeds.mix(*keyWord(n)); bit == 0 || h&bit != 0 {
					e.add(h, place{b, s, n})
				}
			}
		}
	}
}

// copyWideLocked copies entries to the clean slots of a locked bucket, as far as there
// are any. The entries of wide buckets come first; there are enough slots for those.
// The other nodes go to the spares, which it links. It returns how many it used, and
// has node nil where the node itself has moved.
func (x *core) copyWideLocked(to *bucket, e *wideEntries, spares []*bucket) (used int) {
	slot := slots
	for i := range e.n {
		p := &e.at[i]
		if s := to.cleanLocked(); s >= 0 {
			to.fill(s, e.h[i], *keyWord(p.e), *(*uint64)(p.e))
			continue
		}
		if slot == slots {
			x.appendWideLocked(to, spares[used])
			slot, used = 0, used+1
		}
		x.setFar(to, spares[used-1], slot, tagOf(e.h[i]), p.e)
		slot++
		p.e = nil
	}
	return used
}

// leaveLocked clears the slots of entries, which get tag. If they are elsewhere by now,
// their bucket's version was changed before.
func (x *core) leaveLocked(first *bucket, e *wideEntries, tag uint64, d *debris) {
	mask := uint64(0)
	for i := range e.n {
		if p := e.at[i]; p.b == first {
			mask |= slotBit(p.slot)
		} else {
			d.add(p.e, x.dropLocked(first, p))
		}
	}
	if mask != 0 {
		x.killLocked(first, mask, tag)
	}
}

// splitWide splits bucket i of a map with wide buckets, as splitNext does.
func (x *index[K]) splitWide(t *table, c int64, i uint64, f gfp.Flags) (did bool) {
	var spares [maxChain]*bucket
	have, used, full := 0, 0, false // full: the child has too few clean slots
	var d debris
	for {
		b, child, s := x.lockPair(t, i)
		if b == nil {
			break
		}
		child.lock() // ord:bucket-lock
		var e wideEntries
		x.entriesWideLocked(b, t.n, &e)
		clean, inside := child.cleanCountLocked(), 0
		for _, p := range e.at[:e.n] {
			if p.b == b {
				inside++
			}
		}
		full = inside > clean
		need := (max(e.n-clean, 0) + slots - 1) / slots
		if !full && need <= have && t.cursor.CompareAndSwap(c, c+1+busyOne) { // ord:cursor
			used = x.splitWideLocked(t, b, child, &e, spares[:need], &d)
			t.cursor.Add(-busyOne) // ord:cursor
			did = true
		}
		child.unlock()
		b.unlock()
		s.Restore()
		if did || full || need <= have {
			break
		}
		p := x.allocBuckets(1, f)
		if p == nil {
			break
		}
		spares[have] = (*bucket)(p)
		have++
	}
	if did {
		x.askForGracePeriod()
		t.joined(t.n + i)
	} else if full {
		x.resizeWhenClean()
	}
	x.retireAll(i, &d, 0)
	for _, sp := range spares[used:have] {
		x.free(unsafe.Pointer(sp))
	}
	return did
}

// splitWideLocked moves the entries e of a locked chain to the child of its bucket,
// which is locked and not live: the steps of splitLocked.
func (x *core) splitWideLocked(t *table, b, child *bucket, e *wideEntries, spares []*bucket, d *debris) (used int) {
	used = x.copyWideLocked(child, e, spares)
	child.becomeLive(t.n, t.n) // ord:live
	fault.Delay("live")
	b.movedAs(t.n, 0) // ord:moved,live
	fault.Delay("moved")
	x.leaveLocked(b, e, movedTag, d)
	x.allHomeLocked(b, d)
	return used
}

// mergeWide merges the child of bucket i back, as mergeLast does, if there are clean
// slots for all of its entries.
func (x *index[K]) mergeWide(t *table, c int64, i uint64) (did bool) {
	b, child, s := x.lockPair(t, i)
	if b == nil {
		return false
	}
	var e wideEntries
	var d debris
	full := false
	if child.tryLock() {
		x.entriesWideLocked(child, 0, &e)
		if full = e.n > b.cleanCountLocked(); !full && t.cursor.CompareAndSwap(c, c-1+busyOne) { // ord:cursor
			t.leaves(t.n + i)
			x.mergeWideLocked(t, i, b, child, &e, &d)
			t.cursor.Add(-busyOne) // ord:cursor
			did = true
		}
		child.unlock()
	}
	b.unlock()
	s.Restore()
	if did {
		x.askForGracePeriod()
	} else if full {
		x.resizeWhenClean()
	}
	x.retireAll(i, &d, 0)
	return did
}

// mergeWideLocked moves the entries e of a child, which are all, back to its parent:
// the steps of mergeLocked.
func (x *core) mergeWideLocked(t *table, i uint64, b, child *bucket, e *wideEntries, d *debris) {
	x.copyWideLocked(b, e, nil)
	b.movedAs(t.n/2, i) // ord:moved,live
	fault.Delay("moved")
	storeWord(&child.meta, child.loadMeta()&^liveBit+versionOne) // ord:live
	fault.Delay("live")
	x.leaveLocked(child, e, movedTag, d)
}

// mostWide bounds the buckets of the table that a small one is left for. With so many
// each entry has a slot, but for hashes that are all the same.
const mostWide = 1 << 14

// leaveSmallWide is leaveSmall for wide buckets. Every entry has to find a slot in the
// next table.
func (x *index[K]) leaveSmallWide(t *table, f gfp.Flags) bool {
	keys, _ := x.counts.sum()
	nodes := make([]unsafe.Pointer, 0, smallBuckets*maxChain*slots)
	for n := uint64(runBuckets); n <= mostWide; n *= 2 {
		if int64(n)*wideSlots/4 < keys {
			continue
		}
		next := x.newTable(n, runBuckets, runBuckets)
		for i := uint64(0); i < n; i++ {
			if !x.ensure(next, i, f) {
				x.freeTable(next)
				return false
			}
			next.bucketAt(x.base, i).becomeLive(n/2, i)
		}
		next.ready(n)
		short := false
		if x.replaceSmall(t, next, func() bool {
			short = !x.copySmallWide(t, next, &nodes)
			return !short
		}) {
			x.counts.add(n, 0, -int64(len(nodes))*entrySize)
			for _, p := range nodes {
				x.heap.KfreeRCUSized(p, entrySize)
			}
			x.leave(t)
			return true
		}
		x.freeTable(next)
		if nodes = nodes[:0]; !short {
			return false
		}
	}
	return false
}

// copySmallWide puts the entries of a small table, whose buckets are locked, into the
// live buckets of the next, which nobody can see yet, and collects the nodes that it
// has copied. It reports whether each entry found a slot.
func (x *core) copySmallWide(t, next *table, nodes *[]unsafe.Pointer) bool {
	for i := range uint64(smallBuckets) {
		var e wideEntries
		first := t.bucketAt(x.base, i)
		x.entriesWideLocked(first, 0, &e)
		for j := range e.n {
			to := next.bucketAt(x.base, e.h[j]&(next.n-1))
			s := to.cleanLocked()
			if s < 0 {
				return false
			}
			p := e.at[j]
			to.fill(s, e.h[j], *keyWord(p.e), *(*uint64)(p.e))
			if p.b != first {
				*nodes = append(*nodes, p.e) // which has room
			}
		}
	}
	return true
}

// clearWide removes all entries of a locked chain, and unlocks it.
func (x *core) clearWide(l held) {
	var e wideEntries
	var d debris
	x.entriesWideLocked(l.b, 0, &e)
	x.leaveLocked(l.b, &e, deadTag, &d)
	x.unlock(l)
	for _, h := range e.h[:e.n] {
		x.counts.add(h, -1, 0)
	}
	x.retireAll(l.t.n, &d, 0)
}
