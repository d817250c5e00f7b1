package rcuhash

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"quiesce/internal/fault"
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
	start atomic.Uint64   // mask, or half: of the number with which a look-up begins
	begin []atomic.Uint64 // for each run of buckets, where look-ups begin: as in dir, less what bucket 0 is before
	mask  uint64          // of the number of a bucket
	n     uint64          // half of the buckets: those which have a child
	dir   []run           // where the buckets are, 64 to each
	n0    uint64          // of the first table of this kind: small, or of pages
	floor int64           // the map does not shrink below so many live buckets
	shift uint8           // a bucket has 1 << shift bytes

	// In units of 1/scale: the table grows if there are more keys than growAt for each
	// parent and growStep for each live child, and shrinks if there are fewer than
	// shrinkAt for each live bucket.
	growAt, growStep, shrinkAt int64
	_                          [percpu.Line]byte

	starved atomic.Int64 // no attempt to grow with fewer keys, since there was no memory; 0: none failed
	cursor  atomic.Int64 // how many children are live, and, in units of busyOne, how many of them are being made or unmade

	ahead atomic.Pointer[arrays] // of the next table; empty while they are being made, and nil before
}

// arrays are those of a table: its begin and dir.
type arrays struct {
	begin []atomic.Uint64
	dir   []run
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

// arraysFor returns those of a table of 2n buckets.
func arraysFor(n uint64) *arrays {
	runs := max(2*n>>runShift, 1)
	return &arrays{begin: make([]atomic.Uint64, runs), dir: make([]run, runs)}
}

// newTable returns a table of 2n buckets, without memory.
func (x *core) newTable(n, n0 uint64, floor int64) *table {
	return x.tableWith(arraysFor(n), n, n0, floor)
}

// tableWith is newTable with arrays that nobody else has.
func (x *core) tableWith(a *arrays, n, n0 uint64, floor int64) *table {
	t := &table{mask: 2*n - 1, n: n, n0: n0, floor: floor, shift: x.shift(), dir: a.dir, begin: a.begin}
	if t.start.Store(t.mask); t.isSmall() { // ord:hint
		t.start.Store(n - 1) // ord:hint
	}
	t.resizeAt(x.owned(), fault.Resize())
	return t
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
	return (*bucket)(unsafe.Add(base, off+i%runBuckets<<t.shift))
}

// Look-ups begin in a bucket that is found with two loads. For a run of which not
// all buckets are live, it is in the run of their parents, so some have to look
// further. Tables of few runs don't stay in between for long (midRun). In a small
// table, which is one run, the number tells.

// beginAt returns the bucket in which a look-up begins. It has memory, but may not
// be the right one: a look-up that misses asks locate. shift is t's, which look-ups
// of one kind of table know.
func (t *table) beginAt(base unsafe.Pointer, h uint64, shift uint8) *bucket {
	i := h & t.start.Load()                                                                 // ord:hint
	begin := peekWord(unsafe.Add(unsafe.Pointer(unsafe.SliceData(t.begin)), i>>runShift*8)) // which has it: no check; ord:run
	return (*bucket)(unsafe.Add(base, begin+i<<(shift&63)))
}

// beginIn has look-ups for a run begin in that run, or in the parents'.
func (t *table) beginIn(r, run uint64) { t.begin[r].Store(t.beginOf(r, run)) } // ord:hint

func (t *table) beginOf(r, run uint64) uint64 {
	return t.dir[run].at.Load() - r*runBuckets<<t.shift // ord:run
}

// setNew stores a word of a table that nobody has yet. A Store is a locked instruction,
// and a table may have a hundred thousand.
func setNew(w *atomic.Uint64, v uint64) { *(*uint64)(unsafe.Pointer(w)) = v }

// copyDir takes over where the buckets are that t and another table have in common.
// Nobody has t yet.
func (t *table) copyDir(other *table) {
	for i := range min(len(t.dir), len(other.dir)) {
		setNew(&t.dir[i].at, other.dir[i].at.Load()) // ord:run
	}
}

// ready has look-ups begin in the first n buckets, which are live, in full runs.
// Nobody has the table yet.
func (t *table) ready(n uint64) {
	half := t.n >> runShift // 0 in a small table, which is one run
	for r := range uint64(len(t.begin)) {
		from := r
		if r >= half && (r+1)<<runShift > n {
			from -= half // the parents
		}
		setNew(&t.begin[r], t.beginOf(r, from))
	}
	if t.isSmall() && n == 2*t.n {
		t.start.Store(t.mask) // ord:hint
	}
}

// joined is called when bucket i, a child, is live.
func (t *table) joined(i uint64) {
	switch {
	case t.isSmall():
		if i == t.mask {
			t.start.Store(t.mask) // ord:hint
		}
	case i%runBuckets == runBuckets-1:
		t.beginIn(i>>runShift, i>>runShift)
	}
}

// leaves is called when bucket i, the last child, will not be live.
func (t *table) leaves(i uint64) {
	switch {
	case t.isSmall():
		t.start.Store(t.n - 1) // ord:hint
	case i%runBuckets == runBuckets-1:
		t.beginIn(i>>runShift, parent(i)>>runShift)
	}
}

// midRun reports whether a table of few runs has one of which some buckets are
// live: it is worth the effort to complete it.
func (t *table) midRun() bool {
	c := t.cursor.Load() // ord:hint
	return t.n >= runBuckets && t.n <= blockBuckets && c > 0 && c%runBuckets != 0
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
