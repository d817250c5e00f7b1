package rcuhash

import (
	"math/bits"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/pin"
	"quiesce/internal/sys"
	"quiesce/preempt"
	"quiesce/rcu"
)

// Growing and shrinking, one bucket at a time. doc.go has the argument.

// The map grows while there are more than perBucket keys for each live bucket,
// and shrinks while there are fewer than sparse. A bucket that is not split yet
// has up to twice as many as those that are. Untuned.
const (
	perBucket = slots * 6 / 10
	sparse    = 1
	// atOnce is how many buckets an insertion splits, or a removal merges, at
	// most: twice as many as come to be needed.
	atOnce = 2
	// hintEvery is the number of splits after which first is stored, in a large
	// map: the word is in a line that all readers read.
	hintEvery = 16
)

// grow splits buckets if the keys are too many for those that the map has. f
// says how memory may be allocated; the map works without.
func (x *index[K]) grow(keys int64, f gfp.Flags) {
	for range atOnce {
		t := x.table.Load() // ord:table
		if !t.crowded(keys) {
			return
		}
		if !x.splitNext(t, f) {
			if !f.CanLock() {
				x.resizeLater()
			}
			return
		}
	}
}

// makeRoom splits one more bucket of a crowded map, for an insertion that found
// no room: raw contexts, which can't, leave long chains. It reports whether it is
// worth another try.
func (x *index[K]) makeRoom(f gfp.Flags) bool {
	t := x.table.Load() // ord:table
	keys, _ := x.counts.sum()
	if !f.CanLock() || !t.crowded(keys) {
		return false
	}
	c := t.cursor.Load()                                                                           // ord:cursor
	return x.splitNext(t, f&^gfp.Kernel|gfp.NoWarn) || x.table.Load() != t || t.cursor.Load() != c // ord:table,cursor
}

// shrink merges buckets if the keys are few for those that the map has.
func (x *index[K]) shrink(keys int64) {
	for range atOnce {
		t := x.table.Load() // ord:table
		if !t.isSparse(keys) {
			return
		}
		if preempt.Atomic() {
			x.resizeLater()
			return
		}
		if !x.mergeLast(t) {
			return
		}
	}
}

// crowded reports whether the map should grow.
func (t *table) crowded(keys int64) bool {
	return keys > t.live()*perBucket && keys >= t.starved.Load() // ord:hint
}

// hunger puts off the next attempt to grow, because there was no memory for it.
func (x *core) hunger(t *table) {
	keys, _ := x.counts.sum()
	t.starved.Store(keys + max(keys/64, 16)) // ord:hint
}

// isSparse reports whether the map should shrink.
func (t *table) isSparse(keys int64) bool {
	live := t.live()
	return keys < live*sparse && live > t.floor
}

// resizeLater has a goroutine do what a writer may not do in its context:
// allocate, and make a table. Context: any.
func (x *index[K]) resizeLater() {
	if x.resizing.Load() || x.resizing.Swap(true) { // ord:resizing
		return
	}
	sys.Go(func() {
		for did := true; did; {
			did = false
			if t := x.table.Load(); t != nil { // ord:table
				keys, _ := x.counts.sum()
				switch {
				case t.crowded(keys):
					did = x.splitNext(t, gfp.NoWait)
				case t.isSparse(keys):
					did = x.mergeLast(t)
				}
			}
		}
		x.resizing.Store(false) // ord:resizing
	})
}

// splitNext splits the bucket at the cursor, or makes the next table if all are
// split. It returns false if that could not be done: for lack of memory, or
// because others do it.
func (x *index[K]) splitNext(t *table, f gfp.Flags) bool {
	c := t.cursor.Load() // ord:cursor
	switch {
	case c == frozen:
		return false
	case c == int64(t.n):
		return f.CanLock() && x.double(t)
	}
	i := uint64(c % busyOne)
	if i == t.n || !x.ensure(t, t.n+i, f) {
		return false
	}
	var spares [maxChain]*bucket
	have := 0
	for {
		s := pin.DisableIRQ()
		b, child := x.lockPair(t, i)
		if b == nil {
			s.Restore()
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
		gone := x.splitLocked(b, child, &e, movers, spares[:need])
		copy(spares[:], spares[need:have])
		have -= need
		t.cursor.Add(-busyOne) // ord:cursor
		child.unlock()
		b.unlock()
		s.Restore()
		if (i+1)%hintEvery == 0 || t.n < largeBuckets {
			t.first.Store(t.n + i + 1) // ord:hint
		}
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
// memory of a table that was current stays.
func (x *core) lockPair(t *table, i uint64) (b, child *bucket) {
	if x.table.Load() != t { // ord:table
		return nil, nil
	}
	b, child = t.bucketAt(x.base, i), t.bucketAt(x.base, t.n+i)
	if b == nil || child == nil {
		return nil, nil
	}
	b.lock()
	if x.table.Load() != t || b.loadMeta()&liveBit == 0 { // ord:table,live
		b.unlock()
		return nil, nil
	}
	return b, child
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
func (x *index[K]) splitLocked(b, child *bucket, e *entries, movers [2]uint64, spares []*bucket) (gone *bucket) {
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
	storeWord(&child.meta, child.loadMeta()|liveBit) // ord:live
	fault.Delay("live")
	// 3. Those that began in the parent, and miss, look again.
	b.moved() // ord:moved
	fault.Delay("moved")
	// 4. The movers leave the parent.
	keepers := 0
	for j := range e.n {
		if has(movers, j) {
			e.in[j].remove(int(e.slot[j]))
		} else {
			keepers++
		}
	}
	// Keepers in further buckets come to the first, if it has room for all.
	if loadRef(&b.over) == 0 || keepers > slots {
		return nil
	}
	for j := range e.n {
		if !has(movers, j) && e.in[j] != b {
			b.set(b.free(), tagOf(e.hash[j]), loadRef(&e.in[j].refs[e.slot[j]]))
		}
	}
	b.moved() // ord:moved
	fault.Delay("moved")
	gone = x.next(b)
	storeRef(&b.over, 0) // ord:overflow
	return gone
}

// mergeLast merges the last child into its parent, or makes the table before
// this one if there is no child. It returns false if that could not be done.
func (x *core) mergeLast(t *table) bool {
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
	var spare unsafe.Pointer
	defer func() { x.free(spare) }()
	for {
		s := pin.DisableIRQ()
		b, child := x.lockPair(t, i)
		if b == nil || !child.tryLock() {
			if b != nil {
				b.unlock()
			}
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
			gone = x.mergeLocked(b, child)
			t.cursor.Add(-busyOne)      // ord:cursor
			if t.first.Load() > t.n+i { // ord:hint
				t.first.Store(t.n + i) // ord:hint
			}
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
func (x *core) mergeLocked(b, child *bucket) (gone *bucket) {
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
	b.moved() // ord:moved
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
			t.dir[first+j].at.Store(off + j*runBuckets*uint64(bucketSize)) // ord:run
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
		return x.allocBuckets(n, f)
	}
	p := x.pages.Alloc(orderOf(n), f|gfp.Zero|gfp.NoWarn)
	if p != nil {
		x.counts.buckets.Add(int64(n)) // ord:stat
	}
	return p
}

// orderOf returns the order of a block of n buckets, which is at least a page.
func orderOf(n int) int { return bits.Len(uint(n)>>runShift) - 1 }

// freeBlock frees a block that no reader can reach.
func (x *core) freeBlock(p unsafe.Pointer, n int) {
	x.counts.buckets.Add(-int64(n)) // ord:stat
	if n < runBuckets {
		x.heap.Kfree(p)
	} else {
		x.pages.Free(p, orderOf(n))
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
		x.counts.buckets.Add(-int64(n)) // ord:stat
		b = block{unsafe.Add(x.base, off), n}
	}
	return b
}

// freeLater frees blocks of pages after a grace period. A goroutine waits for it,
// and not a callback: Close waits for the goroutine, and may run in a callback.
func (x *core) freeLater(blocks ...block) {
	x.dropping.Add(1) // ord:resizing
	sys.Go(func() {
		rcu.Synchronize()
		for _, b := range blocks {
			if b.p != nil {
				x.pages.Free(b.p, orderOf(b.n))
			}
		}
		x.dropping.Add(-1) // ord:resizing
	})
}

// waitFreed waits until the goroutines of freeLater have ended.
func (x *core) waitFreed() {
	for x.dropping.Load() > 0 { // ord:resizing
		sys.Sleep(100_000)
	}
}

// double makes the next table, with twice the buckets.
func (x *index[K]) double(t *table) bool {
	if 4*t.n > maxBuckets {
		return false
	}
	if t.isSmall() {
		return x.leaveSmall(t)
	}
	if !t.cursor.CompareAndSwap(int64(t.n), frozen) { // ord:cursor
		return false
	}
	next := newTable(2*t.n, t.n0, t.floor)
	for i := range t.dir {
		next.dir[i].at.Store(t.dir[i].at.Load()) // ord:run
	}
	next.first.Store(next.n) // ord:hint
	if next.n >= largeBuckets {
		x.counts.widen()
	}
	x.table.Store(next) // ord:table
	return true
}

// halve makes a table with half the buckets, when no child of this one is left.
func (x *core) halve(t *table) bool {
	if t.n <= t.n0 || !t.cursor.CompareAndSwap(0, frozen) { // ord:cursor
		return false
	}
	next := newTable(t.n/2, t.n0, t.floor)
	for i := range next.dir {
		next.dir[i].at.Store(t.dir[i].at.Load()) // ord:run
	}
	next.first.Store(t.n)            // ord:hint
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

// leaveSmall moves all entries of a small table, whose buckets are all live, to
// one of pages. It returns false if that could not be done.
func (x *index[K]) leaveSmall(t *table) bool {
	// A new bucket has no chain. With so many of them there is hardly one that
	// gets more entries than it has slots; then there are twice as many.
	keys, _ := x.counts.sum()
	n := uint64(runBuckets)
	for n < blockBuckets && int64(n)*slots/3 < keys {
		n *= 2
	}
	for ; n <= 2*blockBuckets; n *= 2 {
		moved, full := x.moveTo(t, n)
		if !full {
			return moved
		}
	}
	return false
}

// moveTo moves the entries of a small table to one of n buckets. It reports
// whether it did, and, if not, whether the reason was a full bucket.
func (x *index[K]) moveTo(t *table, n uint64) (moved, full bool) {
	next := newTable(n, runBuckets, runBuckets)
	next.first.Store(n) // ord:hint
	for i := uint64(0); i < n; i += runBuckets {
		if !x.ensure(next, i, gfp.NoWait) {
			x.freeTable(next)
			return false, false
		}
	}
	for i := range n {
		next.bucketAt(x.base, i).meta = liveBit
	}
	s := pin.DisableIRQ()
	locked := 0
	for locked < smallBuckets && t.bucketAt(x.base, uint64(locked)).tryLock() {
		locked++
	}
	if locked == smallBuckets && x.table.Load() == t { // ord:table
		full = !x.copyLocked(t, next)
		moved = !full && t.cursor.CompareAndSwap(int64(t.n), frozen) // ord:cursor
	}
	if moved {
		x.table.Store(next) // ord:table
	}
	for i := range locked {
		t.bucketAt(x.base, uint64(i)).unlock()
	}
	s.Restore()
	if !moved {
		x.freeTable(next)
		return false, full
	}
	// Those that still look at the old table see in the end that it is not the
	// current one. Until then it has to be whole.
	for i := range uint64(smallBuckets) {
		x.retireChain(x.next(t.bucketAt(x.base, i)))
	}
	x.retireSmall(t)
	return true, false
}

// copyLocked puts the entries of a small table, whose buckets are locked, into
// the live buckets of the next. It reports whether there was room.
func (x *index[K]) copyLocked(t, next *table) bool {
	for i := range uint64(smallBuckets) {
		for b := t.bucketAt(x.base, i); b != nil; b = x.next(b) {
			for s := range slots {
				if n := x.node(b, s); n != nil {
					h := x.hashOf(n)
					to := next.bucketAt(x.base, h&(next.n-1))
					slot := to.free()
					if slot < 0 {
						return false
					}
					to.set(slot, tagOf(h), x.refOf(n))
				}
			}
		}
	}
	return true
}
