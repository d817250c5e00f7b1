package rcuhash

import (
	"hash/maphash"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/internal/pin"
	"quiesce/page"
	"quiesce/slab"
)

// index is a hash map from keys to nodes: what Map and Bytes share. They know
// what else is in a node.
type index[K comparable] struct {
	table atomic.Pointer[table] // nil: closed
	base  unsafe.Pointer        // the rest is immutable after init, but for what is atomic
	seeds seeds
	kind  keyKind
	shape shape
	heap  *slab.Heap
	pages *page.Allocator
	dep   depcheck.Map

	counts   counts
	resizing atomic.Bool // a goroutine grows or shrinks the map
	dropped  atomic.Bool // segments were freed by callbacks
}

// hash returns the hash of a key.
func (x *index[K]) hash(k *K) uint64 {
	switch x.kind {
	case intKey:
		return x.seeds.mix(integer(k))
	case stringKey:
		return maphash.String(x.seeds.other, text(k))
	}
	return maphash.Comparable(x.seeds.other, *k)
}

// hashOf returns the hash of a node's key.
func (x *index[K]) hashOf(n unsafe.Pointer) uint64 {
	if x.kind == stringKey {
		return maphash.String(x.seeds.other, x.shape.key(n))
	}
	return x.hash((*K)(unsafe.Add(n, x.shape.keyAt)))
}

// is reports whether n is the node of key k.
func (x *index[K]) is(n unsafe.Pointer, k *K) bool {
	if x.kind == stringKey {
		return x.shape.key(n) == text(k)
	}
	return *(*K)(unsafe.Add(n, x.shape.keyAt)) == *k
}

// refOf returns the reference to memory of the heap.
func (x *index[K]) refOf(p unsafe.Pointer) ref {
	return ref((uintptr(p) - uintptr(x.base)) >> 4)
}

// open returns the current table. A closed map has none: operations call open
// before they pin or lock anything.
func (x *index[K]) open(op string) *table {
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

// lookup returns the node of k, whose hash is h, or nil. The caller is in a
// read-side section. What follows finds the entry where it probably is; find does
// the rest.
func (x *index[K]) lookup(t *table, h uint64, k *K) unsafe.Pointer {
	rep := tagOf(h) * everyByte
	b := t.begin(x.base, h)
	if b == nil {
		return x.find(t, b, h, k)
	}
	for m := match(b.loadLow(), rep) & lowTop; m != 0; m &= m - 1 {
		if r := loadRef(&b.refs[slotOf(m)&7]); r != 0 {
			if n := at(x.base, r); x.is(n, k) {
				return n
			}
		}
	}
	return x.find(t, b, h, k)
}

// find is a look-up that begins in bucket b, which may be nil. It returns nil
// only if the key was in no bucket that it can have been in: doc.go has the
// argument.
func (x *index[K]) find(t *table, b *bucket, h uint64, k *K) unsafe.Pointer {
	rep := tagOf(h) * everyByte
	for {
		var meta uint64
		if b != nil {
			meta = b.loadMeta()
			w := meta
			for c := b; ; {
				for m := match(w, rep) & highTop; m != 0; m &= m - 1 {
					if n := x.node(c, 8+slotOf(m)); n != nil && x.is(n, k) {
						return n
					}
				}
				for m := match(c.loadLow(), rep) & lowTop; m != 0; m &= m - 1 {
					if n := x.node(c, slotOf(m)); n != nil && x.is(n, k) {
						return n
					}
				}
				if c = x.next(c); c == nil {
					break
				}
				w = c.loadMeta()
			}
		}
		// The version is read last, by locate.
		right, now := t.locate(x.base, h)
		current := x.table.Load() // ord:table
		if right == b && (now^meta)&identity == 0 && current == t || current == nil {
			return nil // or closed by now, which Close's caller had to rule out
		}
		if current != t {
			t = current
			right, _ = t.locate(x.base, h)
		}
		b = right
	}
}

// held is a locked chain: the goroutine is pinned, with interrupts disabled.
type held struct {
	t *table
	b *bucket // its first bucket
	s pin.IRQ
}

// lockFor locks the chain that has the entries of hash h.
func (x *index[K]) lockFor(h uint64) (l held) {
	if depcheck.Enabled() {
		depcheck.HardirqsOff()
		x.dep.Acquire(depcheck.Raw, depcheck.Pins2)
	}
	l.s = pin.DisableIRQ()
	for {
		l.t = x.table.Load() // ord:table
		l.b, _ = l.t.locate(x.base, h)
		l.b.lock()
		b, _ := l.t.locate(x.base, h)
		if b == l.b && x.table.Load() == l.t { // ord:table
			break
		}
		l.b.unlock() // it was split, or merged, before we had it
	}
	if depcheck.Enabled() {
		x.dep.Acquired()
	}
	return l
}

func (x *index[K]) unlock(l held) {
	if depcheck.Enabled() {
		x.dep.Release(true)
	}
	l.b.unlock()
	l.s.Restore()
	if depcheck.Enabled() {
		depcheck.HardirqsOn()
		depcheck.Left()
	}
}

// findLocked returns the bucket and the slot of key k in a locked chain, and
// its node. If it is not there, the node is nil.
func (x *index[K]) findLocked(b *bucket, h uint64, k *K) (in *bucket, slot int, n unsafe.Pointer) {
	rep := tagOf(h) * everyByte
	for {
		for m := match(b.loadLow(), rep) & lowTop; m != 0; m &= m - 1 {
			if n = x.node(b, slotOf(m)); n != nil && x.is(n, k) {
				return b, slotOf(m), n
			}
		}
		for m := match(b.loadMeta(), rep) & highTop; m != 0; m &= m - 1 {
			if n = x.node(b, 8+slotOf(m)); n != nil && x.is(n, k) {
				return b, 8 + slotOf(m), n
			}
		}
		r := loadRef(&b.over)
		if r == 0 {
			return b, -1, nil
		}
		b = (*bucket)(at(x.base, r))
	}
}

// node returns the node in a slot, or nil.
func (x *index[K]) node(b *bucket, slot int) unsafe.Pointer {
	if r := loadRef(&b.refs[slot]); r != 0 {
		return at(x.base, r)
	}
	return nil
}

// condition is what must hold for install to store a node.
type condition struct {
	absent bool           // there is no entry
	old    unsafe.Pointer // the entry is this node, if not nil
}

// install makes n the node of key k, if the condition holds: in place of an
// entry, or as a new one. It returns the entry that was there, if any, whether
// it stored n, and false if that takes memory which is not to be had. The caller
// owns what it got back: the old node if n was stored, else n.
func (x *index[K]) install(h uint64, k *K, n unsafe.Pointer, cond condition, f gfp.Flags) (old unsafe.Pointer, stored, ok bool) {
	var spare unsafe.Pointer // a bucket for the end of the chain
	for {
		l := x.lockFor(h)
		b, slot, found := x.findLocked(l.b, h, k)
		switch {
		case found != nil:
			if cond.absent || cond.old != nil && cond.old != found {
				x.unlock(l)
				x.free(spare)
				return found, false, true
			}
			storeRef(&b.refs[slot], x.refOf(n)) // ord:slot
			x.unlock(l)
			x.free(spare)
			return found, true, true
		case cond.old != nil:
			x.unlock(l)
			x.free(spare)
			return nil, false, true
		}
		in, slot, length := x.roomLocked(l.b)
		if in == nil && spare != nil {
			in, slot = (*bucket)(spare), 0
			in.set(slot, tagOf(h), x.refOf(n))
			storeRef(&b.over, x.refOf(spare)) // b is the last; ord:slot
			spare = nil
		} else if in != nil {
			in.set(slot, tagOf(h), x.refOf(n))
		}
		x.unlock(l)
		if in != nil {
			x.free(spare)
			return nil, true, true
		}
		if length < maxChain {
			spare = x.allocBuckets(1, f)
		}
		if spare == nil {
			return nil, false, false
		}
	}
}

// roomLocked returns a free slot of a locked chain, the first, or nil and how
// many buckets the chain has.
func (x *index[K]) roomLocked(b *bucket) (in *bucket, slot, length int) {
	for {
		length++
		if slot = b.free(); slot >= 0 {
			return b, slot, length
		}
		r := loadRef(&b.over)
		if r == 0 {
			return nil, -1, length
		}
		b = (*bucket)(at(x.base, r))
	}
}

// remove takes the entry of key k out of the map, if it is old or old is nil. It
// returns its node, which the caller retires, or nil.
func (x *index[K]) remove(h uint64, k *K, old unsafe.Pointer) unsafe.Pointer {
	l := x.lockFor(h)
	b, slot, n := x.findLocked(l.b, h, k)
	if n == nil || old != nil && old != n {
		x.unlock(l)
		return nil
	}
	b.remove(slot)
	var gone *bucket
	if b != l.b && b.isEmpty() {
		gone = x.unlinkLocked(l.b, b)
	}
	x.unlock(l)
	x.retireBucket(gone)
	return n
}

// unlinkLocked takes an empty bucket out of a locked chain that begins with
// another one. It keeps its link, for readers that are in it.
func (x *index[K]) unlinkLocked(b, empty *bucket) *bucket {
	for at := b; ; {
		r := loadRef(&at.over)
		next := (*bucket)(unsafe.Add(x.base, uintptr(r)<<4))
		if next == empty {
			storeRef(&at.over, loadRef(&empty.over)) // ord:slot
			return empty
		}
		at = next
	}
}

// allocBuckets returns memory for n buckets that are not live, or nil.
func (x *index[K]) allocBuckets(n int, f gfp.Flags) unsafe.Pointer {
	p := x.heap.Kmalloc(n*bucketSize, f|gfp.Zero|gfp.NoWarn)
	if p != nil {
		x.counts.buckets.Add(int64(n)) // ord:stat
	}
	return p
}

// free frees a bucket that no reader has seen. p may be nil.
func (x *index[K]) free(p unsafe.Pointer) {
	if p != nil {
		x.heap.Kfree(p)
		x.counts.buckets.Add(-1) // ord:stat
	}
}

// retireBucket frees a bucket of a chain after a grace period. b may be nil.
func (x *index[K]) retireBucket(b *bucket) {
	if b != nil {
		x.heap.KfreeRCUSized(unsafe.Pointer(b), bucketSize)
		x.counts.buckets.Add(-1) // ord:stat
	}
}

// retire frees a node after a grace period. n may be nil.
func (x *index[K]) retire(n unsafe.Pointer) {
	if n != nil {
		x.heap.KfreeRCUSized(n, x.shape.size(n))
	}
}
