package holds

import (
	"math/bits"
	"runtime"
)

// A histogram's buckets: sub for each power of two, so that one is 6 % wide.
const (
	subBits = 4
	sub     = 1 << subBits
	// Buckets is their number, up to nine seconds.
	Buckets = (33 - subBits + 1) * sub
)

// Bucket returns the bucket of a time.
func Bucket(ns int64) int {
	if ns < sub {
		return int(max(ns, 0))
	}
	e := bits.Len64(uint64(ns)) - subBits - 1
	return min(e*sub+int(ns>>e), Buckets-1)
}

// BucketTime returns the shortest time of a bucket.
func BucketTime(b int) int64 {
	if b < sub {
		return int64(b)
	}
	e := b/sub - 1
	return int64(b%sub+sub) << e
}

// Counts are the sections of one kind. Times are in ns.
type Counts struct {
	N       uint64
	Hist    []uint64 // by Bucket
	Longest int64
}

// Site is what was measured at one place.
type Site struct {
	Counts
	ID    int // the same from Start to Start
	Kind  Kind
	Name  string          // of the lock
	Stack []runtime.Frame // the innermost first
}

// Long is the time in ns from which a section's end is noted.
const Long = 50_000

// Data is what was measured.
type Data struct {
	Sites   []Site // by where they began
	Ends    []Site // those of at least Long, by where they ended
	Control Counts // empty sections, all along
	Reading int64  // what one reading of the clock takes at least, in ns
	Foreign int64  // holds that another goroutine ended, which are not measured
}
