package rcuhash

import (
	"math/bits"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pin"
	"quiesce/internal/sys"
	"quiesce/page"
	"quiesce/rcu"
)

// ensure makes the block that bucket i is in, if there is none.
func (x *core) ensure(t *table, i uint64, f gfp.Flags) bool {
	first, n := t.blockOf(i)
	if t.dir[i>>runShift].at.Load() != 0 { // ord:run
		return true
	}
	p := x.allocBlock(n, f)
	if p == nil {
		if f.CanLock() {
			x.hunger(t)
		}
		return false
	}
	// The first run says who made the block, and the others follow: until then
	// their buckets are not live, as they will be.
	if off := uint64(uintptr(p) - uintptr(x.base)); t.dir[first].at.CompareAndSwap(0, off) { // ord:run
		for j := uint64(1); j < uint64(n)>>runShift; j++ {
			t.dir[first+j].at.Store(off + j*runBuckets<<t.shift) // ord:run
		}
		if t.cursor.Load() != frozen { // ord:cursor
			return true
		}
		// halve may have been here: one of us frees it.
		if b := x.takeBlock(t, first, n); b.p != nil {
			x.freeLater(b)
		}
		return false
	}
	x.freeBlock(p, n)
	return t.dir[i>>runShift].at.Load() != 0 // ord:run
}

// allocBlock returns memory for n buckets that are not live, or nil.
func (x *core) allocBlock(n int, f gfp.Flags) unsafe.Pointer {
	if n < runBuckets {
		return x.allocSmall(n<<x.shift(), f)
	}
	p := x.pages.Alloc(x.orderOf(n), f|gfp.Zero|gfp.NoWarn)
	if p != nil {
		x.counts.lines.Add(x.linesOf(n)) // ord:stat
		x.counts.paged.Add(x.linesOf(n)) // ord:stat
	}
	return p
}

// orderOf returns the order of a block of n buckets, which is at least a page.
func (x *core) orderOf(n int) int { return bits.Len(uint(n)<<x.shift()/page.Size) - 1 }

// freeBlock frees a block that no reader can reach.
func (x *core) freeBlock(p unsafe.Pointer, n int) {
	x.counts.lines.Add(-x.linesOf(n)) // ord:stat
	if n < runBuckets {
		x.tables.Kfree(p)
	} else {
		x.counts.paged.Add(-x.linesOf(n)) // ord:stat
		x.pages.Free(p, x.orderOf(n))
	}
}

// block is one that has left its table.
type block struct {
	p unsafe.Pointer
	n int
}

// takeBlock takes a block of pages out of a frozen table; p is nil if another has
// done so. None of its buckets is live, but readers may look at them.
func (x *core) takeBlock(t *table, first uint64, n int) (b block) {
	off := t.dir[first].at.Load()                           // ord:run
	if off != 0 && t.dir[first].at.CompareAndSwap(off, 0) { // ord:run
		x.counts.lines.Add(-x.linesOf(n)) // ord:stat
		x.counts.paged.Add(-x.linesOf(n)) // ord:stat
		b = block{unsafe.Add(x.base, off), n}
	}
	return b
}

// freeLater frees blocks of pages after a grace period. A goroutine waits for it,
// and not a callback: Close waits for the goroutine, and may run in a callback.
func (x *core) freeLater(blocks ...block) {
	x.waiting.Add(1) // ord:resizing
	sys.Go(func() {
		rcu.Synchronize()
		for _, b := range blocks {
			if b.p != nil {
				x.pages.Free(b.p, x.orderOf(b.n))
			}
		}
		x.waiting.Add(-1) // ord:resizing
	})
}

// waitFreed waits until the goroutines that wait for a grace period have ended.
func (x *core) waitFreed() {
	for x.waiting.Load() > 0 { // ord:resizing
		sys.Sleep(100_000)
	}
}

// leaveSmall moves all entries of a small table, whose buckets are all live, to
// one of pages. It returns false if that could not be done.
func (x *index[K]) leaveSmall(t *table, f gfp.Flags) bool {
	if x.isWide() {
		return x.leaveSmallWide(t, f)
	}
	// With so many buckets, hardly one gets more entries than it has slots.
	keys, _ := x.counts.sum()
	n := uint64(runBuckets)
	for n < blockBuckets && int64(n)*slots/3 < keys {
		n *= 2
	}
	next := x.newTable(n, runBuckets, runBuckets)
	for i := uint64(0); i < n; i += runBuckets {
		if !x.ensure(next, i, f) {
			x.freeTable(next)
			return false
		}
	}
	next.ready(n)
	var spares []*bucket // for the ends of chains
	moved, used, short := false, 0, 0
	for {
		for i := range n {
			*next.bucketAt(x.base, i) = bucket{meta: liveBit | ownBy(n/2, i)}
		}
		for _, s := range spares {
			*s = bucket{}
		}
		if moved, used, short = x.moveTo(t, next, spares); short == 0 {
			break
		}
		for ; short > 0; short-- {
			p := x.allocBuckets(1, f)
			if p == nil {
				break
			}
			spares = append(spares, (*bucket)(p))
		}
		if short > 0 {
			break
		}
	}
	for _, s := range spares[used:] {
		x.free(unsafe.Pointer(s))
	}
	if !moved {
		x.freeTable(next)
		return false
	}
	x.leave(t)
	return true
}

// leave frees what a small table that was replaced has. Those that still look at it
// see in the end that it is not the current one. Until then it has to be whole.
func (x *core) leave(t *table) {
	for i := range uint64(smallBuckets) {
		x.retireChain(x.second(t.bucketAt(x.base, i)))
	}
	x.retireSmall(t)
}

// moveTo copies the entries of a small table to the next, which it makes the
// current one. It reports whether it did and how many spares it used, or, if it
// would have with more, how many more at the most.
func (x *index[K]) moveTo(t, next *table, spares []*bucket) (moved bool, used, short int) {
	moved = x.replaceSmall(t, next, func() bool {
		used, short = x.copyLocked(t, next, spares)
		return short == 0
	})
	if !moved {
		used = 0
	}
	return moved, used, short
}

// replaceSmall makes next the current table in place of a small one, if it can lock
// all of the buckets and fill, which then copies the entries, succeeds. fill runs
// pinned.
func (x *core) replaceSmall(t, next *table, fill func() bool) (did bool) {
	s := pin.DisableIRQ()
	// Another may have moved them, and the memory of the table be free already:
	// what is the current one while we are pinned stays.
	locked := 0
	for x.table.Load() == t && locked < smallBuckets && t.bucketAt(x.base, uint64(locked)).tryLock() { // ord:table
		locked++
	}
	if locked == smallBuckets && x.table.Load() == t { // ord:table
		did = fill() && t.cursor.CompareAndSwap(int64(t.n), frozen) // ord:cursor
	}
	if did {
		x.table.Store(next) // ord:table
	}
	for i := range locked {
		t.bucketAt(x.base, uint64(i)).unlock()
	}
	s.Restore()
	return did
}

// copyLocked puts the entries of a small table, whose buckets are locked, into
// the live buckets of the next, which nobody can see yet. It returns how many of
// the spares are in chains now, and how many entries found no room.
func (x *index[K]) copyLocked(t, next *table, spares []*bucket) (used, short int) {
	for i := range uint64(smallBuckets) {
		for b := t.bucketAt(x.base, i); b != nil; b = x.next(b) {
			for s := range slots {
				n := x.node(b, s)
				if n == nil {
					continue
				}
				h := x.hashOf(n)
				to := next.bucketAt(x.base, h&(next.n-1))
				in, slot, _ := x.roomLocked(to)
				switch {
				case in != nil:
				case used == len(spares):
					short++
					continue
				default: // the second bucket of the chain
					in, slot = spares[used], 0
					used++
					storeRef(&in.over, loadRef(&to.over))           // ord:overflow
					storeRef(&to.over, x.refOf(unsafe.Pointer(in))) // ord:overflow
				}
				in.set(slot, tagOf(h), x.refOf(n))
			}
		}
	}
	return used, short
}
