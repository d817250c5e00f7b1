package rcuhash

import (
	"unsafe"

	"quiesce/gfp"
	"quiesce/rcu"
)

// debris is what an operation has taken out of a chain. It is retired when the lock
// is released.
type debris struct {
	nodes   [maxChain * slots]unsafe.Pointer
	buckets [maxChain]*bucket
	n, nb   int
}

func (d *debris) add(node unsafe.Pointer, b *bucket) {
	if node != nil {
		d.nodes[d.n] = node
		d.n++
	}
	if b != nil {
		d.buckets[d.nb] = b
		d.nb++
	}
}

// retireAll frees it after a grace period.
func (x *core) retireAll(h uint64, d *debris) {
	for _, n := range d.nodes[:d.n] {
		x.retireWideNode(h, n)
	}
	for _, b := range d.buckets[:d.nb] {
		x.retireBucket(b)
	}
}

// putting is a Put in a map with wide buckets.
type putting struct {
	h, k, v uint64
	cond    condition
	node    unsafe.Pointer // with the entry, if there is no slot; nil: not needed so far
	extra   *bucket        // a bucket for the end of the chain; likewise

	old    unsafe.Pointer // the entry that was there, or the node
	stored bool
	done   bool // else it needs a node, or a spare
	full   bool // the chain can't be longer
	dead   bool // a slot was missing
	left   struct {
		node unsafe.Pointer
		b    *bucket
	}
	home struct {
		node unsafe.Pointer
		b    *bucket
	}
}

// putWide is install for a map with wide buckets. It makes and frees nodes itself.
func (x *core) putWide(h, k, v uint64, cond condition, f gfp.Flags) (old unsafe.Pointer, stored, ok bool) {
	var p putting
	p.h, p.k, p.v, p.cond.absent, p.cond.old = h, k, v, cond.absent, cond.old
	for {
		l := x.lockFor(h)
		x.putWideLocked(l.b, &p)
		x.unlock(l)
		if p.dead {
			p.dead = false
			x.askForGracePeriod()
		}
		if p.done || p.full {
			break
		}
		if p.node == nil {
			if p.node = x.newWideNode(h, k, v, f); p.node == nil {
				break
			}
		} else if p.extra = (*bucket)(x.allocBuckets(1, f)); p.extra == nil {
			break
		}
	}
	x.freeWideNode(h, p.node)
	x.free(unsafe.Pointer(p.extra))
	x.retireWideNode(h, p.left.node)
	x.retireWideNode(h, p.home.node)
	x.retireBucket(p.left.b)
	x.retireBucket(p.home.b)
	return p.old, p.stored, p.done
}

// putWideLocked does what p wants, in a locked chain, if it has what that takes.
func (x *core) putWideLocked(first *bucket, p *putting) {
	at := x.findWideLocked(first, p.h, p.k)
	switch {
	case at.b == nil && p.cond.old != nil,
		at.b != nil && (p.cond.absent || p.cond.old != nil && p.cond.old != at.e):
		p.old, p.done = at.e, true
		return
	}
	to := first.cleanLocked()
	switch {
	case to >= 0 && at.b == nil:
		first.fill(to, p.h, p.k, p.v)
	case to >= 0 && at.b == first:
		// The value must not change in its place.
		first.fill(to, p.h, p.k, p.v)
		first.moved() // ord:moved
		x.killLocked(first, slotBit(at.slot), deadTag)
	case to >= 0:
		first.fill(to, p.h, p.k, p.v)
		first.moved() // ord:moved
		p.left.node, p.left.b = at.e, x.dropLocked(first, at)
	case p.node == nil:
		p.dead = true
		return
	case at.b != nil && at.b != first:
		storeRef(&at.b.refs[at.slot], x.refOf(p.node)) // ord:entry
		p.left.node, p.node = at.e, nil
	default:
		if !x.appendNodeLocked(first, p, at.b == first) {
			return
		}
		if at.b == first {
			first.moved() // ord:moved
			x.killLocked(first, slotBit(at.slot), deadTag)
		}
	}
	p.old, p.stored, p.done = at.e, true, true
	if to >= 0 {
		p.home.node, p.home.b = x.comeHomeLocked(first)
	}
}

// appendNodeLocked puts p's node into the further buckets of a locked chain. There may
// be one more of them for a key that is there.
func (x *core) appendNodeLocked(first *bucket, p *putting, there bool) bool {
	in, slot, length := x.roomLocked(x.nextWide(first))
	switch {
	case in != nil:
		in.set(slot, tagOf(p.h), x.refOf(p.node)) // ord:entry
	case length+1 >= maxChain && !(there && length < maxChain):
		p.full = true
		return false
	case p.extra == nil:
		return false
	default:
		p.extra.set(0, tagOf(p.h), x.refOf(p.node)) // ord:entry
		x.appendWideLocked(first, p.extra)
		p.extra = nil
	}
	p.node = nil
	return true
}

// appendWideLocked puts a bucket at the end of a locked chain.
func (x *core) appendWideLocked(first, last *bucket) {
	if b := x.nextWide(first); b != nil {
		x.appendLocked(b, last)
	} else {
		x.linkLocked(first, last)
	}
}

// removeWide is remove for a map with wide buckets. moved says that the entry may
// have moved since it was old. The caller does not retire what it returns.
func (x *core) removeWide(h, k uint64, old unsafe.Pointer, moved bool) unsafe.Pointer {
	l := x.lockFor(h)
	p := x.findWideLocked(l.b, h, k)
	if p.b == nil || old != nil && old != p.e && !(moved && x.mayBeLocked(l, h, old, p.e)) {
		x.unlock(l)
		return nil
	}
	var node, home unsafe.Pointer
	var gone, gone2 *bucket
	if p.b == l.b {
		x.killLocked(l.b, slotBit(p.slot), deadTag)
	} else {
		node, gone = p.e, x.dropLocked(l.b, p)
	}
	home, gone2 = x.comeHomeLocked(l.b)
	x.unlock(l)
	x.retireWideNode(h, node)
	x.retireWideNode(h, home)
	x.retireBucket(gone)
	x.retireBucket(gone2)
	return p.e
}

// mayBeLocked reports whether the entry e of hash h may be old, which was at another
// place: its value is the same, and old's slot, if it was in one, says that it moved.
// The caller is in the section in which it found old.
func (x *core) mayBeLocked(l held, h uint64, old, e unsafe.Pointer) bool {
	if *(*uint64)(old) != *(*uint64)(e) {
		return false
	}
	for i := h & l.t.mask; ; i = parent(i) {
		if b := l.t.bucketAt(x.base, i); b != nil {
			if d := uintptr(old) - uintptr(unsafe.Pointer(b)); d < 1<<wideShift {
				return b.tagAt(int(d-wideHead)/entrySize) == movedTag
			}
		}
		if i == 0 {
			return true // a node, or in a small table that was left
		}
	}
}

// storeWide is store for a map with wide buckets. The old value stays where it is
// until a grace period has ended.
func (x *index[K]) storeWide(h, k, v uint64, cond condition, f gfp.Flags) (old unsafe.Pointer, stored, ok bool) {
	for again := true; again; again = !ok && x.makeRoom(f) {
		old, stored, ok = x.putWide(h, k, v, cond, f)
	}
	if !ok && f.CanSleep() && x.unclean.Load() { // ord:resizing
		x.waitFreed() // the bucket's child may have had too few clean slots
		for again := true; again; again = !ok && x.makeRoom(f) {
			old, stored, ok = x.putWide(h, k, v, cond, f)
		}
	}
	if stored {
		x.stored(h, old, 0, f)
	}
	return old, stored, ok
}

// deleteWide is delete for a map with wide buckets.
func (x *index[K]) deleteWide(h, k uint64, old unsafe.Pointer, moved bool) unsafe.Pointer {
	e := x.removeWide(h, k, old, moved)
	if e != nil {
		if keys := x.counts.add(h, -1, 0); x.table.Load().isSparse(keys) { // ord:table
			x.shrink(keys)
		}
	}
	return e
}

// computeWide is Compute of a map with wide buckets.
func (m *Map[K, V]) computeWide(k K, fn func(old *V) (V, Op)) bool {
	x, h, word := &m.x, m.x.hash(&k), integer(&k)
	return x.attempts(h, func() attempt {
		g := rcu.ReadLock()
		defer g.Unlock()
		old := x.lookupWide(x.open("Compute"), h, word)
		v, op := fn(m.valueOf(old))
		switch {
		case op == Replace:
			_, stored, ok := x.putWide(h, word, wordOf(&v), condition{absent: old == nil, old: old}, gfp.NoLocks|gfp.NoWarn)
			if !stored {
				return attempt{noRoom: !ok}
			}
			if old == nil {
				return attempt{done: true, ok: true, keys: 1}
			}
		case op == Remove && old != nil:
			if x.removeWide(h, word, old, false) == nil {
				return attempt{}
			}
			return attempt{done: true, ok: true, keys: -1}
		}
		return attempt{done: true, ok: true}
	})
}

// wordOf returns a value of at most 8 bytes as the word that an entry has.
func wordOf[V any](v *V) (w uint64) {
	if unsafe.Sizeof(*v) <= 8 {
		*(*V)(unsafe.Pointer(&w)) = *v
	}
	return w
}

// lookupBatchWide is lookupBatch for a map with wide buckets.
func (x *core) lookupBatchWide(t *table, ks []uint64, b *batch) {
	var meta, low [batchKeys]uint64
	for i, k := range ks {
		h := x.seeds.mix(k)
		b.hash[i&15] = h
		b.bucket[i&15] = t.beginAt(x.base, h, wideShift)
	}
	for i := range ks {
		c := b.bucket[i&15]
		meta[i&15] = c.loadMeta() // first: see begin
		low[i&15] = peekWord(unsafe.Pointer(c))
	}
	for i, k := range ks {
		c, h := b.bucket[i&15], b.hash[i&15]
		var n unsafe.Pointer
		if m := wideCandidates(low[i&15], tagOf(h)*everyByte); m != 0 {
			if e := c.entryOf(m); peekWord(unsafe.Pointer(keyWord(e))) == k {
				n = e
			} else if m &= m - 1; m != 0 {
				n = c.findWide(tagOf(h)*everyByte, k)
			}
		}
		if n == nil {
			n = x.lookFurtherWide(k, t, h, c, meta[i&15])
		}
		b.node[i&15] = n
	}
}
