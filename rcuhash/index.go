package rcuhash

import (
	"hash/maphash"
	"unsafe"

	"quiesce/gfp"
)

// index is a hash map from keys to nodes: what Map and Bytes share. They know
// what else is in a node.
type index[K comparable] struct{ core }

// hash returns the hash of a key.
func (x *index[K]) hash(k *K) uint64 {
	switch x.shape.kind {
	case wordKey, intKey, wideKey:
		return x.seeds.mix(integer(k))
	case stringKey:
		return maphash.String(x.seeds.other, text(k))
	}
	return maphash.Comparable(x.seeds.other, *k)
}

// hashOf returns the hash of a node's key.
func (x *index[K]) hashOf(n unsafe.Pointer) uint64 {
	if x.shape.kind == stringKey {
		return maphash.String(x.seeds.other, x.shape.key(n))
	}
	return x.hash((*K)(unsafe.Add(n, x.shape.keyAt)))
}

// is reports whether n is the node of key k.
func (x *index[K]) is(n unsafe.Pointer, k *K) bool {
	if x.shape.kind == stringKey {
		return x.shape.key(n) == text(k)
	}
	return *(*K)(unsafe.Add(n, x.shape.keyAt)) == *k
}

// get returns the node of k, or nil. The caller is in a read-side section.
func (x *index[K]) get(k *K) unsafe.Pointer {
	switch x.shape.kind {
	case wordKey:
		return x.lookupWord(integer(k))
	case wideKey:
		h := x.seeds.mix(integer(k))
		return x.lookupWide(x.open("Get"), h, integer(k))
	case stringKey:
		return x.lookupString(text(k), "Get")
	}
	return x.lookup(x.open("Get"), x.hash(k), k)
}

// lookup is get for any kind of key, whose hash is h.
func (x *index[K]) lookup(t *table, h uint64, k *K) unsafe.Pointer {
	rep := tagOf(h) * everyByte
	b, meta := x.begin(t, h)
	for {
		for c := b; c != nil; c = x.next(c) {
			for m := c.candidates(rep); m != 0; m &= m - 1 {
				if n := x.node(c, slotOf(m)); n != nil && x.is(n, k) {
					return n
				}
			}
		}
		if t, b, meta = x.missed(t, h, b, meta); b == nil {
			return nil
		}
	}
}

// findLocked returns the bucket and the slot of key k in a locked chain, and
// its node. If it is not there, the node is nil and the bucket is the last.
func (x *index[K]) findLocked(b *bucket, h uint64, k *K) (in *bucket, slot int, n unsafe.Pointer) {
	rep := tagOf(h) * everyByte
	for {
		for m := b.candidates(rep); m != 0; m &= m - 1 {
			if slot = slotOf(m); x.is(x.node(b, slot), k) {
				return b, slot, x.node(b, slot)
			}
		}
		next := x.next(b)
		if next == nil {
			return b, -1, nil
		}
		b = next
	}
}

// condition is what must hold for install to store a node.
type condition struct {
	absent bool           // there is no entry
	old    unsafe.Pointer // the entry is this node, if not nil
}

// install makes n the node of key k, if the condition holds: in place of an
// entry, or as a new one. It returns the entry that was there, if any, whether
// it stored n, and false if there is no memory for that. The caller
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
			storeRef(&b.refs[slot], x.refOf(n)) // ord:entry
			x.unlock(l)
			x.free(spare)
			return found, true, true
		case cond.old != nil:
			x.unlock(l)
			x.free(spare)
			return nil, false, true
		}
		in, slot, length := x.roomLocked(l.b)
		full := in == nil && length >= maxChain
		if in == nil && !full && spare != nil {
			in, slot = (*bucket)(spare), 0
			in.set(slot, tagOf(h), x.refOf(n))
			storeRef(&b.over, x.refOf(spare)) // b is the last; ord:overflow
			spare = nil
		} else if in != nil {
			in.set(slot, tagOf(h), x.refOf(n))
		}
		x.unlock(l)
		if in != nil || full {
			x.free(spare)
			return nil, in != nil, in != nil
		}
		if spare = x.allocBuckets(1, f); spare == nil {
			return nil, false, false
		}
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
