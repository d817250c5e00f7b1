package rcuhash

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/cookie"
	"quiesce/internal/fault"
	"quiesce/internal/sys"
	"quiesce/rcu"
)

// A wide bucket is two cache lines. It begins with the words of a bucket, low and
// meta, which have other parts here, and has wideSlots entries: a value of at most
// 8 bytes, and its key. doc.go has the rules by which a slot is used again.
//
//	low   the tags, one byte each: 0 if the slot was not used since the bucket
//	      was made, dead until its grace period has ended, or that of a hash;
//	      the top byte says which tags further buckets may have (farBit)
//	meta  the place of the chain's next bucket in units of 64 bytes (wideOver),
//	      the lock, live and the version
//
// The further buckets of the chain are narrow ones, of nodes.
const (
	wideShift = 7
	wideSlots = 7
	wideOver  = 1<<24 - 1 | 0x3f<<26

	wideHead  = 16 // bytes before the first entry
	entrySize = 16
	entryKey  = 8 // where the key is in an entry; the value is at 0

	// The tag of a slot whose entry was removed or replaced is deadTag, and that of
	// one whose entry moved is movedTag. Its key is the cookie after which the slot
	// can be used again; the value stays until then.
	deadTag  = 1
	movedTag = 2
	wideTop  = topBits >> 8

	farBits = 0xff << 56
)

// farBit returns the bit of low that is set while a further bucket of the chain has a
// tag with the same three lowest bits: most look-ups that miss need no look there.
// tag may be a hash's 7 bits without the top one.
func farBit(tag uint64) uint64 { return 1 << (56 + tag&7) }

// isWide reports whether the map's buckets are wide.
func (x *core) isWide() bool { return wideBuckets && x.shape.kind == wideKey }

// wideCandidates has the top bit of each byte set whose slot's tag fills rep.
func wideCandidates(low, rep uint64) uint64 { return match(low, rep) & wideTop }

// entryOf returns the entry in the slot of the lowest candidate.
func (b *bucket) entryOf(candidates uint64) unsafe.Pointer {
	// Slot s has bit 8s+7.
	return unsafe.Add(unsafe.Pointer(b), bits.TrailingZeros64(candidates)*2+wideHead-14)
}

// entryAt returns the entry in a slot.
func (b *bucket) entryAt(slot int) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(b), wideHead+slot*entrySize)
}

// keyWord returns the key of an entry, or the cookie of a dead one.
func keyWord(e unsafe.Pointer) *uint64 { return (*uint64)(unsafe.Add(e, entryKey)) }

// loadKey loads it.
func loadKey(e unsafe.Pointer) uint64 { return atomic.LoadUint64(keyWord(e)) } // ord:wide-slot

// nextWide returns the second bucket of the chain of a wide one, or nil.
func (x *core) nextWide(b *bucket) *bucket {
	m := b.loadMeta() // ord:overflow
	if m &= wideOver; m == 0 {
		return nil
	}
	return (*bucket)(at(x.base, ref(m&(1<<24-1)|m>>2&^(1<<24-1))<<2))
}

// second returns the second bucket of a chain, or nil.
func (x *core) second(first *bucket) *bucket {
	if x.isWide() {
		return x.nextWide(first)
	}
	return x.next(first)
}

// linkLocked makes next, which may be nil, the second bucket of a locked chain.
func (x *core) linkLocked(b, next *bucket) {
	m := b.loadMeta() &^ wideOver
	if next != nil {
		r := uint64(x.refOf(unsafe.Pointer(next)) >> 2)
		m |= r&(1<<24-1) | r>>24<<26
	}
	storeWord(&b.meta, m) // ord:overflow
}

// lookupWide is index.get of a map with wide buckets.
func (x *core) lookupWide(t *table, h, k uint64) unsafe.Pointer {
	b := t.beginAt(x.base, h, wideShift)
	meta := b.loadMeta() // first: see begin
	if e := b.findWide(tagOf(h)*everyByte, k); e != nil {
		return e
	}
	if x.isWithoutWide(t, h, b, meta) {
		return nil
	}
	return x.lookFurtherWide(k, t, h, b, meta)
}

// findWide returns the entry of k in a wide bucket, or nil.
func (b *bucket) findWide(rep, k uint64) unsafe.Pointer {
	for c := wideCandidates(b.loadLow(), rep); c != 0; c &= c - 1 {
		if e := b.entryOf(c); loadKey(e) == k {
			return e
		}
	}
	return nil
}

// isWithoutWide is stayed of a wide bucket whose further buckets have no key with the
// tag: most misses end with that. What left these since the tags were loaded changed the
// version, if it was not deleted. stayed is written out, because with a call of it the
// compiler does not inline this, and misses take an eighth longer.
func (x *core) isWithoutWide(t *table, h uint64, b *bucket, meta uint64) bool {
	return owns(meta, h) && b.loadLow()&farBit(h>>57) == 0 &&
		(b.loadMeta()^meta)&identity == 0 && x.table.Load() == t // ord:moved,live,overflow,table
}

// lookFurtherWide is lookFurther for a wide bucket.
//
//go:noinline
func (x *core) lookFurtherWide(k uint64, t *table, h uint64, b *bucket, meta uint64) unsafe.Pointer {
	rep := tagOf(h) * everyByte
	for {
		if c := x.nextWide(b); c != nil {
			if n := x.lookInChain(c, rep, k); n != nil {
				return n
			}
		}
		if t, b, meta = x.missed(t, h, b, meta); b == nil {
			return nil
		}
		if e := b.findWide(rep, k); e != nil {
			return e
		}
	}
}

// lookInChain returns the node of k in narrow buckets, or nil.
func (x *core) lookInChain(b *bucket, rep, k uint64) unsafe.Pointer {
	for ; b != nil; b = x.next(b) {
		for m := b.candidates(rep); m != 0; m &= m - 1 {
			if n := x.node(b, slotOf(m)); n != nil && *(*uint64)(unsafe.Add(n, entryKey)) == k {
				return n
			}
		}
	}
	return nil
}

// The chain is locked for all that follows.

// isClean reports whether a slot that is not live, of a bucket with these tags, can be
// used.
func (b *bucket) isClean(low uint64, slot int) bool {
	return low>>(8*slot)&0xff == 0 || cookie.Done(loadKey(b.entryAt(slot)))
}

// cleanLocked returns the first slot that can be used, or -1.
func (b *bucket) cleanLocked() int { return b.cleanIn(b.loadLow(), wideTop) }

// cleanIn returns the first slot that can be used of those that have their top bit in
// mask, or -1. low are the bucket's tags.
func (b *bucket) cleanIn(low, mask uint64) int {
	for c := ^low & mask; c != 0; c &= c - 1 {
		if slot := bits.TrailingZeros64(c) >> 3; b.isClean(low, slot) {
			return slot
		}
	}
	return -1
}

// cleanCountLocked returns how many slots can be used.
func (b *bucket) cleanCountLocked() (n int) {
	low := b.loadLow()
	for c := ^low & wideTop; c != 0; c &= c - 1 {
		if b.isClean(low, bits.TrailingZeros64(c)>>3) {
			n++
		}
	}
	return n
}

// fill writes an entry to a clean slot. Look-ups find it by its tag.
func (b *bucket) fill(slot int, h, k, v uint64) {
	shift := slot * 8 & 63
	low := b.loadLow()&^(0xff<<shift) | tagOf(h)<<shift
	storeEntry(b.entryAt(slot), k, v, &b.low, low)
}

// killLocked ends the entries in slots, of which each has its lowest bit in a byte
// of mask, with tag. Where an entry is in another slot by now, the version was changed before.
func (x *core) killLocked(b *bucket, mask, tag uint64) {
	low := b.loadLow()
	// A read-modify-write: the cookie is that of a grace period that begins later.
	atomic.SwapUint64(&b.low, low&^(mask*0xff)|mask*tag) // ord:wide-slot
	fault.Delay("entry")
	x.buryLocked(b, low, mask)
}

// killWideLocked is killLocked of the entry e, whose tag is at shift of low, the
// bucket's tags.
func (x *core) killWideLocked(b *bucket, low uint64, e unsafe.Pointer, shift int, tag uint64) {
	shift &= 63
	atomic.SwapUint64(&b.low, low&^(0xff<<shift)|deadTag<<shift) // ord:wide-slot
	fault.Delay("entry")
	pokeWord(keyWord(e), x.cookieFor(cookie.Take(), tag)) // ord:wide-slot
	fault.Delay("entry")
}

// cookieFor returns c, or a later cookie, that is no key of a tag: a reader that has
// loaded the tag before may still compare the key, and must not take the cookie for
// the one that it looks for.
func (x *core) cookieFor(c, tag uint64) uint64 {
	for tagOf(x.seeds.mix(c))^tag <= 1 {
		c += 2 // a later grace period does as well
	}
	return c
}

// buryLocked stores the cookies of slots that have just died, whose tags are in low.
func (x *core) buryLocked(b *bucket, low, mask uint64) {
	c := cookie.Take()
	for ; mask != 0; mask &= mask - 1 {
		shift := bits.TrailingZeros64(mask)
		storeWord(keyWord(b.entryAt(shift>>3)), x.cookieFor(c, low>>shift&0xff)) // ord:wide-slot
		fault.Delay("entry")
	}
}

// slotBit is a slot in the masks of killLocked.
func slotBit(slot int) uint64 { return 1 << (8 * slot) }

// place is where an entry is, in a chain of a wide bucket.
type place struct {
	b    *bucket // nil: there is none
	slot int
	e    unsafe.Pointer // the entry, or the node
}

// findWideLocked returns the place of k.
func (x *core) findWideLocked(first *bucket, h, k uint64) place {
	rep := tagOf(h) * everyByte
	for c := wideCandidates(first.loadLow(), rep); c != 0; c &= c - 1 {
		if e := first.entryOf(c); *keyWord(e) == k {
			return place{first, bits.TrailingZeros64(c) >> 3, e}
		}
	}
	if first.loadLow()&farBit(rep) == 0 {
		return place{}
	}
	for b := x.nextWide(first); b != nil; b = x.next(b) {
		for m := b.candidates(rep); m != 0; m &= m - 1 {
			if n := x.node(b, slotOf(m)); *keyWord(n) == k {
				return place{b, slotOf(m), n}
			}
		}
	}
	return place{}
}

// dropLocked clears the slot of a node, and takes its bucket out of the chain if
// that is empty. It returns such a bucket.
func (x *core) dropLocked(first *bucket, p place) (gone *bucket) {
	p.b.remove(p.slot)
	if p.b.isEmpty() {
		if gone = p.b; x.nextWide(first) == gone {
			x.linkLocked(first, x.next(gone))
		} else {
			x.unlinkLocked(x.nextWide(first), gone)
		}
	}
	fault.Delay("entry")
	low := first.loadLow()
	if now := low&^farBits | x.farLocked(first); now != low {
		storeWord(&first.low, now) // ord:overflow
		fault.Delay("entry")
	}
	return gone
}

// farLocked returns the bits that the tags in the further buckets of a chain need.
func (x *core) farLocked(first *bucket) (far uint64) {
	for b := x.nextWide(first); b != nil; b = x.next(b) {
		for s := range slots {
			if tag := b.tagAt(s); tag != 0 {
				far |= farBit(tag)
			}
		}
	}
	return far
}

// setFar puts a node of a tag into a free slot of a further bucket. The chain's first
// bucket says so before.
func (x *core) setFar(first, b *bucket, slot int, tag uint64, node unsafe.Pointer) {
	if low := first.loadLow(); low&farBit(tag) == 0 {
		storeWord(&first.low, low|farBit(tag)) // ord:overflow
		fault.Delay("entry")
	}
	b.set(slot, tag, x.refOf(node)) // ord:entry
}

// comeHomeLocked moves a node's entry to a clean slot of the first bucket, if there
// are both. It returns what the caller retires.
func (x *core) comeHomeLocked(first *bucket) (node unsafe.Pointer, gone *bucket) {
	b := x.nextWide(first)
	if b == nil {
		return nil, nil
	}
	to := first.cleanLocked()
	if to < 0 {
		return nil, nil
	}
	p := place{b: b}
	for p.e = x.node(b, 0); p.e == nil; p.e = x.node(b, p.slot) {
		if p.slot++; p.slot == slots {
			return nil, nil // an empty bucket, which its remover takes out
		}
	}
	k := *keyWord(p.e)
	first.fill(to, x.seeds.mix(k), k, *(*uint64)(p.e))
	first.moved() // ord:moved
	fault.Delay("moved")
	return p.e, x.dropLocked(first, p)
}

// allHomeLocked moves the entries of as many nodes as there are clean slots.
func (x *core) allHomeLocked(first *bucket, d *debris) {
	for {
		n, gone := x.comeHomeLocked(first)
		if n == nil {
			return
		}
		d.add(n, gone)
	}
}

// askEvery is how long after a request for a grace period the next is made, in ns. A
// grace period interrupts the processors that run goroutines, for some 20 microseconds
// in all; entries that find no clean slot meanwhile are nodes. Untuned.
const askEvery = 1_000_000

// askForGracePeriod asks for a grace period, which slots wait for. Context: any.
func (x *core) askForGracePeriod() {
	now, asked := sys.Nanotime(), x.asked.Load()                    // ord:stat
	if now-asked > askEvery && x.asked.CompareAndSwap(asked, now) { // ord:stat
		rcu.StartPoll()
	}
}

// newWideNode returns a node for an entry that finds no slot, or nil.
func (x *core) newWideNode(k, v uint64, f gfp.Flags) unsafe.Pointer {
	n := x.allocNode(0, entrySize, f)
	if n != nil {
		*(*uint64)(n), *keyWord(n) = v, k
	}
	return n
}
