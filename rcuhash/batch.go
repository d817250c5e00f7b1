package rcuhash

import (
	"fmt"
	"unsafe"
)

// batchKeys is how many look-ups overlap: processors have some 12 to 48 misses
// in flight.
const batchKeys = 16

// batch has the look-ups of one GetBatch that overlap.
type batch struct {
	hash   [batchKeys]uint64
	bucket [batchKeys]*bucket
	node   [batchKeys]unsafe.Pointer // where the key probably is, then where it is
}

// lookupBatch looks up at most batchKeys keys, in three rounds: each touches
// memory that those of one key would have to wait for.
func (x *index[K]) lookupBatch(t *table, ks []K, b *batch) {
	for i := range ks {
		h := x.hash(&ks[i])
		b.hash[i&15] = h
		b.bucket[i&15] = t.beginAt(x.base, h, bucketShift)
	}
	for i := range ks {
		var n unsafe.Pointer
		if c := b.bucket[i&15]; c != nil {
			if m := c.candidates(tagOf(b.hash[i&15]) * everyByte); m != 0 {
				n = x.node(c, slotOf(m))
			}
		}
		b.node[i&15] = n
	}
	for i := range ks {
		if n := b.node[i&15]; n == nil || !x.is(n, &ks[i]) {
			b.node[i&15] = x.lookup(t, b.hash[i&15], &ks[i])
		}
	}
}

// checkBatch panics if there is no room for what is found.
func checkBatch(keys, values int) {
	if values < keys {
		panic(fmt.Sprintf("quiesce/rcuhash: GetBatch of %d keys with room for %d values", keys, values))
	}
}
