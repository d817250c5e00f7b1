package rcuhash

import (
	"hash/maphash"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
	"quiesce/internal/nodes"
	"quiesce/internal/percpu"
	"quiesce/internal/pin"
	"quiesce/page"
	"quiesce/slab"
)

// core is the part of an index that does not depend on the type of the keys.
type core struct {
	table atomic.Pointer[table] // nil: closed
	base  unsafe.Pointer        // the rest is immutable after init, but for what is atomic
	seeds seeds
	shape shape
	head  nodes.Head // bytes in front of a node, which belong to the map's owner: see internal/nodes
	heap  *slab.Heap
	// tables has the buckets that are not in pages: heap, or one of its own for a
	// cache's map. Nodes can be evicted and buckets can't: a few of these would
	// keep slabs of nodes.
	tables *slab.Heap
	small  *smallMaps // whose heap that is, or nil
	pages  *page.Allocator
	label  string // in statistics; "" where the map is a cache's
	dep    depcheck.Map

	_        [percpu.Line]byte // what follows changes; look-ups read what precedes
	counts   counts
	resizing atomic.Bool  // a goroutine grows or shrinks the map
	waiting  atomic.Int32 // goroutines that free blocks of buckets, or resize the map, after a grace period
	unclean  atomic.Bool  // one of them waits for clean slots
	asked    atomic.Int64 // when a grace period was last asked for
}

// shift is that of a table: the size of its buckets.
func (x *core) shift() uint8 {
	if x.isWide() {
		return wideShift
	}
	return bucketShift
}

// linesOf returns the memory of n buckets of a table, in lines of bucketSize bytes.
func (x *core) linesOf(n int) int64 { return int64(n) << (x.shift() - bucketShift) }

// refOf returns the reference to memory of the heap.
func (x *core) refOf(p unsafe.Pointer) ref {
	return ref((uintptr(p) - uintptr(x.base)) >> 4)
}

// open returns the current table. A closed map has none: operations call open
// before they pin or lock anything.
func (x *core) open(op string) *table {
	t := x.table.Load() // ord:table
	if t == nil {
		panic(closedUse(op))
	}
	return t
}

// closedUse is what an operation on a closed map panics with: a string, which
// the runtime can print even where the caller is pinned.
func closedUse(op string) string {
	return "quiesce/rcuhash: " + op + " of a closed map"
}

// A look-up of hash h loads the meta of the bucket in which it begins before anything
// else of it, and asks missed in the end: doc.go has the argument. All of this is in
// registers. A struct would be copied by 16 bytes when its words were stored by 8,
// and that waits until the misses that they come from are over.

// begin returns where a look-up begins, and its meta.
func (x *core) begin(t *table, h uint64) (b *bucket, meta uint64) {
	b = t.beginAt(x.base, h, bucketShift)
	return b, b.loadMeta() // ord:moved
}

// missed is called by a look-up that has not found its key in the chain of b. If it
// has to look again, missed returns where, with the table and the meta of then. Else
// it returns nil: the key was absent at some time during the look-up.
func (x *core) missed(t *table, h uint64, b *bucket, meta uint64) (*table, *bucket, uint64) {
	if x.stayed(t, h, b, meta) {
		return nil, nil, 0
	}
	// The version is read last, by locate.
	right, now := t.locate(x.base, h) // ord:live,moved
	current := x.table.Load()         // ord:table
	if right == b && (now^meta)&identity == 0 && current == t || current == nil {
		return nil, nil, 0 // or closed by now, which Close's caller had to rule out
	}
	if current != t {
		right, now = current.locate(x.base, h)
	}
	return current, right, now
}

// stayed reports whether nothing has moved since a look-up began in the right bucket,
// in a table that is still the current one. It is what most misses come to: else
// missed looks closer.
func (x *core) stayed(t *table, h uint64, b *bucket, meta uint64) bool {
	return owns(meta, h) && (b.loadMeta()^meta)&identity == 0 && x.table.Load() == t // ord:moved,table,live
}

// lookupWord is index.get for keys of 8 bytes that are integers. A processor
// overlaps the misses of as many look-ups as it has room for their instructions,
// and each branch that it guesses wrong costs it all of them. So this has few: in
// nine of ten look-ups the first candidate of the first bucket is the key.
func (x *core) lookupWord(k uint64) unsafe.Pointer {
	t := x.table.Load() // ord:table
	if t == nil {
		x.open("Get") // panics
	}
	h := x.seeds.mix(k)
	b := t.beginAt(x.base, h, bucketShift)
	meta := b.loadMeta() // first: see begin
	for m := candidates(b.loadLow(), meta, tagOf(h)*everyByte); m != 0; m &= m - 1 {
		if r := loadRef(b.refAt(slotOf(m))); r != 0 { // ord:entry
			if n := at(x.base, r); *(*uint64)(unsafe.Add(n, x.shape.keyAt)) == k {
				return n
			}
		}
	}
	return x.lookFurther(k, t, h, b, meta)
}

// lookFurther continues a look-up of lookupWord that did not find its key in
// bucket b, of which meta was loaded first: in the chain, and wherever else it may be.
//
//go:noinline
func (x *core) lookFurther(k uint64, t *table, h uint64, b *bucket, meta uint64) unsafe.Pointer {
	rep := tagOf(h) * everyByte
	c := x.next(b)
	for {
		for ; c != nil; c = x.next(c) {
			for m := c.candidates(rep); m != 0; m &= m - 1 {
				if n := x.node(c, slotOf(m)); n != nil && *(*uint64)(unsafe.Add(n, x.shape.keyAt)) == k {
					return n
				}
			}
		}
		if t, b, meta = x.missed(t, h, b, meta); b == nil {
			return nil
		}
		c = b
	}
}

// lookupString is index.get for string keys.
func (x *core) lookupString(k string, op string) unsafe.Pointer {
	t := x.open(op)
	h := maphash.String(x.seeds.other, k)
	rep := tagOf(h) * everyByte
	b, meta := x.begin(t, h)
	for {
		for c := b; c != nil; c = x.next(c) {
			for m := c.candidates(rep); m != 0; m &= m - 1 {
				if n := x.node(c, slotOf(m)); n != nil && x.shape.key(n) == k {
					return n
				}
			}
		}
		if t, b, meta = x.missed(t, h, b, meta); b == nil {
			return nil
		}
	}
}

// held is a locked chain: the goroutine is pinned, with interrupts disabled.
type held struct {
	t *table
	b *bucket // its first bucket
	s pin.IRQ
}

// lockFor locks the chain that has the entries of hash h.
func (x *core) lockFor(h uint64) held {
	if depcheck.Enabled() {
		return x.lockForChecked(h)
	}
	s := pin.DisableIRQ()
	t := x.table.Load() // ord:table
	b := t.beginAt(x.base, h, t.shift)
	fault.Delay("table")
	// It is the right one in this table, and stays that while it is locked.
	if b.lockIfOwner(h) {
		if x.table.Load() == t { // ord:table
			return held{t, b, s}
		}
		b.unlock()
	}
	t, b = x.lockRight(h)
	return held{t, b, s}
}

//go:noinline
func (x *core) lockForChecked(h uint64) held {
	depcheck.HardirqsOff()
	x.dep.Acquire(depcheck.Raw, depcheck.Pins2)
	s := pin.DisableIRQ()
	t, b := x.lockRight(h)
	x.dep.Acquired()
	return held{t, b, s}
}

// lockRight is lockFor where the first look at the table was not enough.
//
//go:noinline
func (x *core) lockRight(h uint64) (*table, *bucket) {
	for {
		t := x.table.Load() // ord:table
		b, _ := t.locate(x.base, h)
		b.lock()
		now, _ := t.locate(x.base, h)        // ord:live
		if now == b && x.table.Load() == t { // ord:table
			return t, b
		}
		b.unlock() // it was split, or merged, before we had it
	}
}

// approach begins to load the bucket of a hash. A writer calls it before it fills
// its node in: both miss the caches, and the locked instruction that takes the
// bucket's lock would wait for one miss before the other begins.
func (x *core) approach(h uint64) {
	s := pin.Disable()                 // the memory of a table that was current stays
	if t := x.table.Load(); t != nil { // ord:table
		t.beginAt(x.base, h, bucketShift).loadMeta()
	}
	s.Enable()
}

// unlockAt is unlock of a first bucket with that meta, after an operation that has
// changed nothing, or whose last change was a swap.
func (x *core) unlockAt(l held, meta uint64) {
	if depcheck.Enabled() {
		x.unlockChecked(l)
		return
	}
	pokeWord(&l.b.meta, meta&^lockBit) // ord:bucket-lock,done
	l.s.Restore()
}

func (x *core) unlock(l held) {
	if depcheck.Enabled() {
		x.unlockChecked(l)
		return
	}
	l.b.unlock()
	l.s.Restore()
}

//go:noinline
func (x *core) unlockChecked(l held) {
	x.dep.Release(true)
	l.b.unlock()
	l.s.Restore()
	depcheck.HardirqsOn()
	depcheck.Left()
}

// node returns the node in a slot, or nil.
func (x *core) node(b *bucket, slot int) unsafe.Pointer {
	if r := loadRef(&b.refs[slot]); r != 0 { // ord:entry
		return at(x.base, r)
	}
	return nil
}

// roomLocked returns the first free slot of a locked chain, or nil and how many
// buckets the chain has.
func (x *core) roomLocked(b *bucket) (in *bucket, slot, length int) {
	for ; b != nil; b = x.next(b) {
		length++
		if slot = b.free(); slot >= 0 {
			return b, slot, length
		}
	}
	return nil, -1, length
}

// unlinkLocked takes an empty bucket out of a locked chain that begins with
// another one. It keeps its link, for readers that are in it.
func (x *core) unlinkLocked(b, empty *bucket) *bucket {
	for x.next(b) != empty {
		b = x.next(b)
	}
	storeRef(&b.over, loadRef(&empty.over)) // ord:overflow
	return empty
}

// allocBuckets returns memory for n buckets that are not live, or nil.
func (x *core) allocBuckets(n int, f gfp.Flags) unsafe.Pointer {
	return x.allocSmall(n*bucketSize, f)
}

// allocSmall returns memory of the heap for buckets that are not live, or nil.
func (x *core) allocSmall(size int, f gfp.Flags) unsafe.Pointer {
	p := x.tables.Kmalloc(size, f|gfp.Zero|gfp.NoWarn)
	if p != nil {
		x.counts.lines.Add(int64(size / bucketSize)) // ord:stat
	}
	return p
}

// free frees a bucket that no reader has seen. p may be nil.
func (x *core) free(p unsafe.Pointer) {
	if p != nil {
		x.tables.Kfree(p)
		x.counts.lines.Add(-1) // ord:stat
	}
}

// retireBucket frees a bucket of a chain after a grace period.
func (x *core) retireBucket(b *bucket) {
	if b != nil {
		x.tables.KfreeRCUSized(unsafe.Pointer(b), bucketSize)
		x.counts.lines.Add(-1) // ord:stat
	}
}

// owned reports whether the map is another package's, which has something in front of
// each node.
func (x *core) owned() bool { return x.head.Of != nil }

// headOf returns how many bytes are in front of a node.
func (x *core) headOf(n unsafe.Pointer) int {
	if !x.owned() {
		return 0
	}
	return x.head.Of(n)
}

// allocNode returns memory for a node of that size with head bytes in front of it, or
// nil.
func (x *core) allocNode(head, size int, f gfp.Flags) unsafe.Pointer {
	p := x.heap.Kmalloc(head+size, f)
	if p != nil {
		p = unsafe.Add(p, head)
	}
	return p
}

// freeNode frees a node that no reader has seen. n may be nil.
func (x *core) freeNode(n unsafe.Pointer) {
	if n != nil {
		x.heap.Kfree(unsafe.Add(n, -x.headOf(n)))
	}
}

// retire frees a node after a grace period. n may be nil.
func (x *core) retire(n unsafe.Pointer) {
	if n != nil {
		head := x.headOf(n)
		x.heap.KfreeRCUSized(unsafe.Add(n, -head), x.shape.size(n)+head)
	}
}

// next returns the next bucket of a chain, or nil.
func (x *core) next(b *bucket) *bucket {
	if r := loadRef(&b.over); r != 0 { // ord:overflow
		return (*bucket)(at(x.base, r))
	}
	return nil
}
