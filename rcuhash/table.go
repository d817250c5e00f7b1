package rcuhash

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"quiesce/internal/percpu"
)

// table says where the buckets are. It is immutable but for what is atomic.
//
// Bucket i of a table with 2n buckets is the same memory as bucket i of the one
// with n buckets before it, if i < n. Bucket i+n is its child: it becomes live
// when its parent is split, and until then the parent has its entries. The
// parent of a bucket is the number without the highest bit; the first table's
// buckets are live from the start.
type table struct {
	mask  uint64 // of the number of a bucket
	half  uint64 // of that of one which has a child in this table
	n     uint64 // half of the buckets: those which have a child
	dir   []run  // where the buckets are, 64 to each
	n0    uint64 // of the first table of this kind: small, or of pages
	floor int64  // the map does not shrink below so many live buckets
	_     [percpu.Line]byte

	first atomic.Uint64 // where look-ups begin: buckets below are probably live
	_     [percpu.Line]byte

	starved atomic.Int64 // no attempt to grow with fewer keys, since there was no memory; 0: none failed
	cursor  atomic.Int64 // how many children are live, and, in units of busyOne, how many of them are being made or unmade
}

const (
	busyOne = 1 << 32
	// frozen is the cursor of a table that is not the current one any more:
	// nobody makes or unmakes a child in it.
	frozen = -1
)

// run is the place of 64 buckets, a page, or 0: there is no memory yet, and none
// of them is live. A small table has one run of smallBuckets: 512 bytes. Larger
// tables get their pages in blocks of as many buckets as there are, and of 8 pages
// from 512 on, so that growing is smooth.
//
// The place is a distance from the allocator's base in bytes.
type run struct{ at atomic.Uint64 }

const (
	smallBuckets = 8 // half of them children
	runShift     = 6
	runBuckets   = 1 << runShift
	blockBuckets = 8 * runBuckets

	// maxBuckets bounds a table, which then takes 64 GiB: the size of an
	// allocator's range.
	maxBuckets = 1 << 30
)

// newTable returns a table of 2n buckets, without memory.
func newTable(n, n0 uint64, floor int64) *table {
	return &table{mask: 2*n - 1, half: n - 1, n: n, n0: n0, floor: floor, dir: make([]run, max(2*n>>runShift, 1))}
}

// isSmall reports whether the buckets are no pages.
func (t *table) isSmall() bool { return t.n < runBuckets }

// live returns the number of buckets that are live.
func (t *table) live() int64 {
	c := t.cursor.Load() // ord:hint
	return int64(t.n) + max(c, 0)%busyOne
}

// blockOf returns the first run and the number of buckets of the block that bucket
// i is in.
func (t *table) blockOf(i uint64) (first uint64, buckets int) {
	switch {
	case t.isSmall():
		return 0, smallBuckets
	case i >= blockBuckets:
		return i / blockBuckets * (blockBuckets / runBuckets), blockBuckets
	case i < runBuckets:
		return 0, runBuckets
	}
	from := uint64(1) << (bits.Len64(i) - 1) // as many as there were
	return from >> runShift, int(from)
}

// parent returns the number of the bucket that has the entries of bucket i if
// that is not live. i is not 0.
func parent(i uint64) uint64 { return i &^ (1 << (bits.Len64(i) - 1)) }

// at returns the address of a reference.
func at(base unsafe.Pointer, r ref) unsafe.Pointer {
	return unsafe.Add(base, uintptr(r)<<4)
}

// bucketAt returns bucket i, or nil if it has no memory yet.
func (t *table) bucketAt(base unsafe.Pointer, i uint64) *bucket {
	if i>>runShift >= uint64(len(t.dir)) {
		return nil
	}
	off := t.dir[i>>runShift].at.Load() // ord:run
	if off == 0 {
		return nil
	}
	return (*bucket)(unsafe.Add(base, off+i%runBuckets*uint64(bucketSize)))
}

// beginAt returns the number of the bucket in which a look-up begins: the hash's
// own, or the parent of that if it is not below first. Half of the look-ups in a
// table that grows take either way, so there is no branch.
func (t *table) beginAt(h uint64) uint64 {
	i := h & t.mask
	own := uint64(int64(i-t.first.Load()) >> 63) // all ones if i is below; ord:hint
	return i & (t.half | own)
}

// begin returns that bucket. It may have no memory, or not be the right one: a
// look-up that misses asks locate.
func (t *table) begin(base unsafe.Pointer, h uint64) *bucket {
	return t.bucketAt(base, t.beginAt(h))
}

// locate returns the live bucket that has the entries of hash h, with its meta.
func (t *table) locate(base unsafe.Pointer, h uint64) (b *bucket, meta uint64) {
	for i := h & t.mask; ; i = parent(i) {
		if b = t.bucketAt(base, i); b != nil {
			if meta = b.loadMeta(); meta&liveBit != 0 { // ord:live
				return b, meta
			}
		}
	}
}
