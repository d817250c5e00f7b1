package rcuhash

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/cookie"
	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
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

// retireAll frees it after a grace period, and counts the nodes. The operation has put
// so many into the map.
func (x *core) retireAll(h uint64, d *debris, put int) {
	if n := put - d.n; n != 0 {
		x.counts.add(h, 0, int64(n)*entrySize)
	}
	for _, n := range d.nodes[:d.n] {
		x.heap.KfreeRCUSized(n, entrySize)
	}
	for _, b := range d.buckets[:d.nb] {
		x.retireBucket(b)
	}
}

// putWide is install for a map with wide buckets. It makes and frees nodes itself.
//
// The processor overlaps the cache misses of two operations if both fit its window of
// a few hundred instructions, so an entry that has its place in the first bucket is
// stored with as few as can be: calls of small functions would double them.
func (x *core) putWide(h, k, v uint64, cond condition, f gfp.Flags) (old unsafe.Pointer, stored, ok bool) {
	l := x.lockFor(h)
	b, tag := l.b, tagOf(h)
	meta, low := b.loadMeta(), b.loadLow() // no others change them
	var from int                           // 8 times the slot of old
	for c := wideCandidates(low, tag*everyByte); c != 0; c &= c - 1 {
		if e := b.entryOf(c); *keyWord(e) == k {
			old, from = e, (bits.TrailingZeros64(c)-7)&63
			break
		}
	}
	if old == nil && low&farBit(tag) != 0 {
		return x.putWideFurther(l, h, k, v, cond, f)
	}
	if cond.absent && old != nil || cond.old != nil && cond.old != old {
		x.unlock(l)
		return old, false, true
	}
	to := ^low & wideTop
	for ; to != 0; to &= to - 1 {
		if low>>((bits.TrailingZeros64(to)-7)&63)&0xff == 0 || cookie.Done(loadKey(b.entryOf(to))) {
			break
		}
	}
	if to == 0 || meta&wideOver != 0 && b.cleanIn(low, to&(to-1)) >= 0 { // else an entry can come home
		return x.putWideFurther(l, h, k, v, cond, f)
	}
	shift := (bits.TrailingZeros64(to) - 7) & 63
	low = low&^(0xff<<shift) | tag<<shift
	storeEntry(b.entryOf(to), k, v, &b.low, low)
	if old != nil {
		// The value must not change in its place.
		meta += versionOne
		pokeWord(&b.meta, meta) // ord:moved
		fault.Delay("moved")
		// killWideLocked once more: as a call it is 20 instructions longer.
		atomic.SwapUint64(&b.low, low&^(0xff<<from)|deadTag<<from) // ord:wide-slot
		fault.Delay("entry")
		pokeWord(keyWord(old), x.cookieFor(cookie.Take(), tag)) // ord:wide-slot
		fault.Delay("entry")
	}
	if depcheck.Enabled() {
		x.unlockChecked(l)
	} else {
		pokeWord(&b.meta, meta&^lockBit) // ord:bucket-lock,done
		l.s.Restore()
	}
	return old, true, true
}

// putting is a Put in a wide bucket that has further ones, or will have.
type putting struct {
	h, k, v uint64
	node    unsafe.Pointer // with the entry, if there is no slot; nil: not needed so far
	extra   *bucket        // a bucket for the end of the chain; likewise
	debris  debris
	put     int  // nodes
	done    bool // else it needs a node, or a spare
	full    bool // the chain can't be longer
	dead    bool // a slot was missing
}

// putWideFurther is putWide from when the chain is locked.
//
//go:noinline
func (x *core) putWideFurther(l held, h, k, v uint64, cond condition, f gfp.Flags) (old unsafe.Pointer, stored, ok bool) {
	p := putting{h: h, k: k, v: v}
	var was place
	for ; ; l = x.lockFor(h) {
		if was = x.findWideLocked(l.b, h, k); !cond.holds(was.e) {
			x.unlock(l)
			break
		}
		x.putWideLocked(l.b, was, l.b.cleanLocked(), &p)
		x.unlock(l)
		if p.done || p.full {
			break
		}
		if p.node == nil {
			if p.node = x.newWideNode(k, v, f); p.node == nil {
				break
			}
		} else if p.extra = (*bucket)(x.allocBuckets(1, f)); p.extra == nil {
			break
		}
	}
	if p.dead {
		x.askForGracePeriod()
	}
	x.freeNode(p.node)
	x.free(unsafe.Pointer(p.extra))
	x.retireAll(h, &p.debris, p.put)
	return was.e, p.done, p.done || !p.full && !cond.holds(was.e)
}

// holds reports whether the condition allows to store an entry where e, which may be
// nil, is now.
func (c *condition) holds(e unsafe.Pointer) bool {
	return !(c.absent && e != nil) && (c.old == nil || c.old == e)
}

// putWideLocked does what p wants, in a locked chain, if it has what that takes. was
// is the place of the entry that it replaces, and to a clean slot, or -1.
func (x *core) putWideLocked(first *bucket, was place, to int, p *putting) {
	switch {
	case to >= 0:
		first.fill(to, p.h, p.k, p.v)
	case !x.haveNodeLocked(p):
		return
	case was.b != nil && was.b != first:
		storeRef(&was.b.refs[was.slot], x.refOf(p.node)) // ord:entry
		p.debris.add(was.e, nil)
		p.node, p.put, p.done = nil, 1, true
		return
	case !x.appendNodeLocked(first, p, was.b == first):
		return
	}
	p.done = true
	if was.b != nil {
		// The value must not change in its place.
		first.moved() // ord:moved
		if was.b == first {
			x.killLocked(first, slotBit(was.slot), deadTag)
		} else {
			p.debris.add(was.e, x.dropLocked(first, was))
		}
	}
	if to >= 0 {
		x.allHomeLocked(first, &p.debris)
	}
}

// haveNodeLocked reports whether p has its node. It may make that in any context.
func (x *core) haveNodeLocked(p *putting) bool {
	p.dead = true
	if p.node == nil {
		p.node = x.newWideNode(p.k, p.v, gfp.NoLocks|gfp.NoWarn)
	}
	return p.node != nil
}

// appendNodeLocked puts p's node into the further buckets of a locked chain. There may
// be one more of them for a key that is there.
func (x *core) appendNodeLocked(first *bucket, p *putting, there bool) bool {
	in, slot, length := x.roomLocked(x.nextWide(first))
	switch {
	case in != nil:
		x.setFar(first, in, slot, tagOf(p.h), p.node)
	case length+1 >= maxChain && !(there && length < maxChain):
		p.full = true
		return false
	default:
		if p.extra == nil {
			p.extra = (*bucket)(x.allocBuckets(1, gfp.NoLocks))
		}
		if p.extra == nil {
			return false
		}
		x.setFar(first, p.extra, 0, tagOf(p.h), p.node)
		x.appendWideLocked(first, p.extra)
		p.extra = nil
	}
	p.node, p.put = nil, 1
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
func (x *core) removeWide(h, k uint64, old unsafe.Pointer, moved bool) (e unsafe.Pointer) {
	l := x.lockFor(h)
	b, tag := l.b, tagOf(h)
	meta, low := b.loadMeta(), b.loadLow() // no others change them
	for c := wideCandidates(low, tag*everyByte); c != 0; c &= c - 1 {
		if e = b.entryOf(c); *keyWord(e) != k {
			continue
		}
		if meta&wideOver != 0 && b.cleanIn(low, wideTop) >= 0 {
			return x.removeWideFurther(l, h, k, old, moved) // an entry can come home
		}
		if old != nil && old != e && !(moved && x.mayBeLocked(l, h, old, e)) {
			x.unlockAt(l, meta)
			return nil
		}
		x.killWideLocked(b, low, e, bits.TrailingZeros64(c)-7, tag)
		x.unlockAt(l, meta)
		return e
	}
	if low&farBit(tag) != 0 {
		return x.removeWideFurther(l, h, k, old, moved)
	}
	x.unlockAt(l, meta)
	return nil
}

// removeWideFurther is removeWide from when a chain is locked that has further buckets.
//
//go:noinline
func (x *core) removeWideFurther(l held, h, k uint64, old unsafe.Pointer, moved bool) unsafe.Pointer {
	p := x.findWideLocked(l.b, h, k)
	if p.b == nil || old != nil && old != p.e && !(moved && x.mayBeLocked(l, h, old, p.e)) {
		x.unlock(l)
		return nil
	}
	var d debris
	if p.b == l.b {
		x.killLocked(l.b, slotBit(p.slot), deadTag)
	} else {
		d.add(p.e, x.dropLocked(l.b, p))
	}
	x.allHomeLocked(l.b, &d)
	x.unlock(l)
	x.retireAll(h, &d, 0)
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
	if old, stored, ok = x.putWide(h, k, v, cond, f); !ok {
		old, stored, ok = x.storeWideAgain(h, k, v, cond, f)
	}
	if stored && old == nil {
		x.stored(h, nil, 0, f)
	}
	return old, stored, ok
}

// putWideEnds is the rest of a Put of a key that was not there, or for which putWide
// had no room.
//
//go:noinline
func (x *index[K]) putWideEnds(h, k, v uint64, ok bool, f gfp.Flags) bool {
	if !ok {
		var old unsafe.Pointer
		if old, _, ok = x.storeWideAgain(h, k, v, condition{}, f); !ok || old != nil {
			return ok
		}
	}
	x.stored(h, nil, 0, f)
	return true
}

// storeWideAgain is storeWide after an attempt that found no room.
//
//go:noinline
func (x *index[K]) storeWideAgain(h, k, v uint64, cond condition, f gfp.Flags) (old unsafe.Pointer, stored, ok bool) {
	for !ok && x.makeRoom(f) {
		old, stored, ok = x.putWide(h, k, v, cond, f)
	}
	if !ok && f.CanSleep() && x.unclean.Load() { // ord:resizing
		x.waitFreed() // the bucket's child may have had too few clean slots
		for again := true; again; again = !ok && x.makeRoom(f) {
			old, stored, ok = x.putWide(h, k, v, cond, f)
		}
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
		if n == nil && !x.isWithoutWide(t, h, c, meta[i&15]) {
			n = x.lookFurtherWide(k, t, h, c, meta[i&15])
		}
		b.node[i&15] = n
	}
}
