package rcuhash

import (
	"math/bits"
	"slices"
	"unsafe"

	"quiesce/internal/fault"
)

// walk is the state of a walk through a map, which goes through the hashes in
// bit-reversed order. A bucket has the hashes that end in its number, and they
// are consecutive in that order. A split divides such a range, a merge joins two:
// a position says exactly which keys were seen, whatever the table is by then.
type walk struct {
	pos   uint64 // the keys whose reversed hash is below were seen
	ended bool
	nodes []unsafe.Pointer // of the last bucket: the nodes, or entries
	keys  []uint64         // of the entries, in a map with wide buckets
}

// step collects the nodes of the bucket at the walk's position, and moves that
// past the bucket. It returns false at the end. The caller is in a read-side
// section, in which the nodes are valid.
func (x *index[K]) step(w *walk, t *table) bool {
	if w.ended {
		return false
	}
	h := bits.Reverse64(w.pos)
	for {
		b, meta, size := t.cover(x.base, h) // ord:moved
		fault.Delay("moved")
		w.nodes, w.keys = w.nodes[:0], w.keys[:0]
		c := b
		if x.isWide() {
			c = x.collectWide(w, b)
		}
		for ; c != nil; c = x.next(c) {
			for s := range slots {
				if n := x.node(c, s); n != nil {
					w.nodes = append(w.nodes, n)
					if x.isWide() {
						w.keys = append(w.keys, *keyWord(n))
					}
				}
			}
		}
		fault.Delay("moved")
		b2, meta2, size2 := t.cover(x.base, h)             // ord:live,moved
		if now := x.table.Load(); now != t && now != nil { // ord:table
			t = now
			continue
		}
		if b2 != b || size2 != size || (meta^meta2)&identity != 0 {
			continue
		}
		ok := func(o uint64) bool { return (o^h)&(size-1) == 0 && bits.Reverse64(o) >= w.pos }
		if x.isWide() {
			w.keepKeys(func(k uint64) bool { return ok(x.seeds.mix(k)) })
		} else {
			w.keep(func(n unsafe.Pointer) bool { return ok(x.hashOf(n)) })
		}
		width := uint64(1) << (64 - bits.TrailingZeros64(size))
		w.pos = w.pos&^(width-1) + width
		w.ended = w.pos == 0
		return true
	}
}

// keep drops the nodes of which ok is false, and those that were found twice: a
// split or a merge that is under way has the same node in two places.
func (w *walk) keep(ok func(n unsafe.Pointer) bool) {
	kept := w.nodes[:0]
	for _, n := range w.nodes {
		if ok(n) && !slices.Contains(kept, n) {
			kept = append(kept, n)
		}
	}
	w.nodes = kept
}

// keepKeys is keep for a map with wide buckets, where entries that move are copied.
func (w *walk) keepKeys(ok func(k uint64) bool) {
	nodes, keys := w.nodes[:0], w.keys[:0]
	for i, k := range w.keys {
		if ok(k) && !slices.Contains(keys, k) {
			nodes, keys = append(nodes, w.nodes[i]), append(keys, k)
		}
	}
	w.nodes, w.keys = nodes, keys
}

// collectWide collects the entries of a wide bucket, and returns the next of its
// chain. The key of one that dies meanwhile is overwritten, after its tag.
func (x *core) collectWide(w *walk, b *bucket) *bucket {
	for c := b.loadLow() & wideTop; c != 0; c &= c - 1 {
		e := b.entryOf(c)
		tag := c & -c
		fault.Delay("entry")
		if k := loadKey(e); b.loadLow()&tag != 0 { // ord:wide-slot
			w.nodes, w.keys = append(w.nodes, e), append(w.keys, k)
		}
	}
	return x.nextWide(b)
}

// keyIn returns the key of a node or entry that the walk has found; a string is
// copied.
func (x *index[K]) keyIn(w *walk, i int) (k K) {
	if x.isWide() {
		return *(*K)(unsafe.Pointer(&w.keys[i]))
	}
	return x.keyOf(w.nodes[i])
}

// cover returns the live bucket that has the entries of hash h, its meta, and
// the modulus by which all of its hashes are the same.
func (t *table) cover(base unsafe.Pointer, h uint64) (b *bucket, meta, size uint64) {
	size = t.mask + 1
	for {
		i := h & (size - 1)
		if i < size/2 && size/2 >= t.n0 {
			// It has its child's entries too, unless that is live.
			if c := t.bucketAt(base, i+size/2); c == nil || c.loadMeta()&liveBit == 0 { // ord:live
				size /= 2
				continue
			}
		}
		fault.Delay("live")
		if b = t.bucketAt(base, i); b != nil {
			if meta = b.loadMeta(); meta&liveBit != 0 { // ord:live
				return b, meta, size
			}
		}
		size /= 2
	}
}
