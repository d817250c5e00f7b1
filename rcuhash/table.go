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
	n      uint64    // half of the buckets: those which have a child in this table
	dir    []segment // where the buckets are
	start            // where the first table began
	_      [percpu.Line]byte
	first  atomic.Uint64 // where look-ups begin: buckets below are probably live
	_      [percpu.Line]byte
	cursor atomic.Int64 // how many children are live, and, in units of busyOne, how many of them are being made or unmade
}

const (
	busyOne = 1 << 32
	// frozen is the cursor of a table that is not the current one any more:
	// nobody makes or unmakes a child in it.
	frozen = -1
)

// start is how many buckets the first table had, which are live for ever: 4, or a
// power of two from 64 on, and perhaps some of their children.
type start struct {
	n0   uint64
	s0   uint8 // binary logarithm of the buckets in pages at first: 6 to segShift
	lead uint8 // 1: the first 4 buckets are in memory of their own, in place of those in the first page
}

// segment is a place of buckets, or 0: its memory is not there yet, and none of
// its buckets is live. Segments have 512 buckets, 32 KiB, so that growing is
// smooth. The buckets below come in blocks that double, from a page on, and the
// first four may be in 256 bytes, so that a small map is small.
type segment struct{ at ref }

const (
	leadBuckets = 4
	pageShift   = 6 // 64 buckets are a page
	segShift    = 9
	segBuckets  = 1 << segShift

	// maxBuckets bounds a table, which then takes 64 GiB: the size of an
	// allocator's range.
	maxBuckets = 1 << 30
)

func (t *table) mask() uint64 { return 2*t.n - 1 }

// live returns the number of buckets that are live.
func (t *table) live() int64 {
	c := t.cursor.Load() // ord:hint
	return int64(t.n) + max(c, 0)%busyOne
}

// segmentOf returns the index of the segment of bucket i, and the bucket's number
// in it.
func (t *table) segmentOf(i uint64) (seg, in uint64) {
	lead, s0 := uint64(t.lead), uint64(t.s0)
	if i >= segBuckets {
		return lead + segShift - s0 + i>>segShift, i % segBuckets
	}
	l := uint64(bits.Len64(i >> s0))
	if l > 0 {
		return lead + l, i - 1<<(s0+l-1)
	}
	if i < leadBuckets {
		return 0, i
	}
	return lead, i
}

// sizeOf returns the number of buckets of a segment.
func (s *start) sizeOf(seg uint64) int {
	switch lead := uint64(s.lead); {
	case seg < lead:
		return leadBuckets
	case seg == lead:
		return 1 << s.s0
	default:
		return 1 << min(uint64(s.s0)+seg-lead-1, segShift)
	}
}

// segments returns how many segments buckets 0 to n-1 take. n is a power of two,
// and at least n0.
func (s *start) segments(n uint64) uint64 {
	lead, s0 := uint64(s.lead), uint64(s.s0)
	switch {
	case n > segBuckets:
		return lead + segShift - s0 + n>>segShift
	case n > leadBuckets:
		return lead + uint64(bits.Len64((n-1)>>s0)) + 1
	}
	return 1
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
	seg, in := t.segmentOf(i)
	if seg >= uint64(len(t.dir)) {
		return nil
	}
	r := loadRef(&t.dir[seg].at) // ord:segment
	if r == 0 {
		return nil
	}
	return (*bucket)(unsafe.Add(at(base, r), in*uint64(bucketSize)))
}

// begin returns the bucket in which a look-up begins. It may have no memory, or
// not be the right one: a look-up that misses asks locate.
func (t *table) begin(base unsafe.Pointer, h uint64) *bucket {
	i := h & t.mask()
	below := i & (t.n - 1)
	if i >= t.first.Load() { // ord:hint
		i = below
	}
	return t.bucketAt(base, i)
}

// locate returns the live bucket that has the entries of hash h, with its meta.
func (t *table) locate(base unsafe.Pointer, h uint64) (b *bucket, meta uint64, i uint64) {
	for i = h & t.mask(); ; i = parent(i) {
		if b = t.bucketAt(base, i); b != nil {
			if meta = b.loadMeta(); meta&liveBit != 0 {
				return b, meta, i
			}
		}
	}
}
