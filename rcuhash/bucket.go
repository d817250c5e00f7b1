package rcuhash

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"quiesce/internal/fault"
	"quiesce/internal/sys"
)

// bucket is one cache line: a tag of one byte and a reference for each slot. A
// slot is free if its tag is 0, and has an entry if its reference is not. Entries that find no free slot are in further
// buckets, linked by over. All words are atomic; a writer holds the lock of the
// first bucket of the chain.
type bucket struct {
	low  uint64 // tags of slots 0 to 7
	meta uint64 // tags of slots 8 to 10; in the first bucket of a chain also what follows
	over ref
	refs [slots]ref
}

// Parts of meta.
const (
	lockBit  = 1 << 24
	liveBit  = 1 << 25 // the bucket has the entries of its index; 0: those are in its parent
	highTags = 1<<24 - 1

	// A bucket that is live has the entries whose hashes end in its number, in as many
	// bits as there are in that: one less before it is split. It says which the
	// highest of these bits is, and what that has to be. The others are right wherever a table
	// leads a hash.
	ownShift   = 32
	ownOne     = 1 << 37 // the bit is 1
	ownMask    = ownOne<<1 - 1<<ownShift
	versionOne = 1 << 38 // the rest is the version

	// identity is what stays the same while no entry moves to another slot. A
	// look-up that misses compares it with what it saw first.
	identity = liveBit | 1<<64 - 1<<ownShift
)

// ownBy returns that part of a meta for hashes whose bit n, a power of two, is that of
// the number i.
func ownBy(n, i uint64) uint64 {
	m := uint64(bits.TrailingZeros64(n)) << ownShift
	if i&n != 0 {
		m |= ownOne
	}
	return m
}

// owns reports whether a bucket with that meta is live and has the entries of hash h,
// which a table has led there.
func owns(meta, h uint64) bool {
	return meta&liveBit != 0 && (h>>(meta>>ownShift&31)^meta/ownOne)&1 == 0
}

const (
	bucketShift = 6
	bucketSize  = 1 << bucketShift // of a bucket that is not wide: see wide.go
	// maxChain bounds the buckets of a chain, and with it how long a writer
	// keeps the lock. With random hashes a chain of three is rare, unless there
	// is no memory to split buckets.
	maxChain = 8

	everyByte = 0x0101010101010101
	topBits   = 0x8080808080808080
)

// tagOf returns the tag of a hash, which is not 0: its top bits, which the
// number of the bucket does not depend on.
func tagOf(h uint64) uint64 { return h>>57 | 0x80 }

// match sets the top bit of each byte of w that is equal to the byte that fills
// rep. It may also do so for a byte above such a one: the key decides.
func match(w, rep uint64) uint64 {
	x := w ^ rep
	return (x - everyByte) &^ x
}

const (
	lowTop  = topBits & (1<<(8*min(slots, 8)) - 1)
	highTop = topBits & (1<<(8*(slots-min(slots, 8))) - 1)
)

// candidates has a bit for each slot of the bucket whose tag fills rep: slotOf
// says which. One loop over them, rather than one over each word, has no branch
// that depends on where the key is.
func candidates(low, meta, rep uint64) uint64 {
	return match(low, rep)&lowTop>>7 | match(meta, rep)&highTop>>6
}

// slotOf returns the number of the lowest slot in m.
func slotOf(m uint64) int {
	c := bits.TrailingZeros64(m)
	return c>>3 | c&1<<3
}

// refAt returns the reference of a slot, which is below slots.
func (b *bucket) refAt(slot int) *ref {
	return (*ref)(unsafe.Add(unsafe.Pointer(b), int(unsafe.Offsetof(b.refs))+slot*int(unsafe.Sizeof(b.over))))
}

func (b *bucket) loadLow() uint64  { return atomic.LoadUint64(&b.low) }  // ord:entry
func (b *bucket) loadMeta() uint64 { return atomic.LoadUint64(&b.meta) } // ord:entry,live,moved,bucket-lock

// candidates returns those of this bucket.
func (b *bucket) candidates(rep uint64) uint64 { return candidates(b.loadLow(), b.loadMeta(), rep) }

func (b *bucket) lock() {
	for i := uint32(0); ; i++ {
		m := b.loadMeta()
		if m&lockBit == 0 && atomic.CompareAndSwapUint64(&b.meta, m, m|lockBit) { // ord:bucket-lock
			return
		}
		if i < 64 {
			sys.Pause(min((i+1)*4, 64))
		} else {
			sys.Yield()
		}
	}
}

func (b *bucket) tryLock() bool {
	m := b.loadMeta()
	return m&lockBit == 0 && atomic.CompareAndSwapUint64(&b.meta, m, m|lockBit) // ord:bucket-lock
}

// lockIfOwner is tryLock of a bucket that has to own the entries of hash h.
func (b *bucket) lockIfOwner(h uint64) bool {
	m := b.loadMeta()
	return m&lockBit == 0 && owns(m, h) && atomic.CompareAndSwapUint64(&b.meta, m, m|lockBit) // ord:bucket-lock,live
}

// The bucket's chain is locked for all that follows.

// unlock is a full barrier, unlike the stores before it: what a goroutine wrote is
// there for all before its next look-up, in this map or another, begins.
func (b *bucket) unlock() { atomic.StoreUint64(&b.meta, b.loadMeta()&^lockBit) } // ord:bucket-lock,done

// moved changes the version, after entries were copied to other slots and
// before they leave their old ones.
func (b *bucket) moved() { storeWord(&b.meta, b.loadMeta()+versionOne) } // ord:moved

// movedAs is moved of a bucket that owns by bit n of its number i from now on.
func (b *bucket) movedAs(n, i uint64) {
	storeWord(&b.meta, b.loadMeta()&^ownMask+versionOne|ownBy(n, i)) // ord:moved,live
}

// becomeLive makes bucket i live, which owns by bit n of that.
func (b *bucket) becomeLive(n, i uint64) {
	storeWord(&b.meta, b.loadMeta()&^ownMask|liveBit|ownBy(n, i)) // ord:live
}

// free returns a free slot of this bucket, or -1.
func (b *bucket) free() int {
	if m := ^b.loadLow()&lowTop>>7 | ^b.loadMeta()&highTop>>6; m != 0 {
		return slotOf(m)
	}
	return -1
}

// set fills a free slot. The entry is there from the moment that the reference
// is, for look-ups, which go by the tag first, and for walks, which do not.
func (b *bucket) set(slot int, tag uint64, r ref) {
	b.tag(slot, tag)
	fault.Delay("entry")
	storeRef(&b.refs[slot], r) // ord:entry
}

// remove clears a slot. The entry is gone from the moment that the reference is.
func (b *bucket) remove(slot int) {
	storeRef(&b.refs[slot], 0) // ord:entry
	fault.Delay("entry")
	b.tag(slot, 0)
}

func (b *bucket) tag(slot int, tag uint64) {
	w, shift := &b.low, slot*8
	if slot >= 8 {
		w, shift = &b.meta, shift-64
	}
	storeWord(w, atomic.LoadUint64(w)&^(0xff<<shift)|tag<<shift) // ord:entry
}

// tagAt returns the tag of a slot.
func (b *bucket) tagAt(slot int) uint64 {
	if slot >= 8 {
		return b.loadMeta() >> (slot*8 - 64) & 0xff
	}
	return b.loadLow() >> (slot * 8) & 0xff
}

// used returns how many slots are in use.
func (b *bucket) used() int {
	return bits.OnesCount64(b.loadLow()&lowTop) + bits.OnesCount64(b.loadMeta()&highTop)
}

// isEmpty reports whether no slot is in use.
func (b *bucket) isEmpty() bool { return b.loadLow() == 0 && b.loadMeta()&highTags == 0 }
