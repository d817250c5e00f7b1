package slab

import (
	"runtime"
	"sync/atomic"

	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// How much the depot holds. In churn the objects of a whole grace period come
// back at once, and are wanted again one sheaf after the other. A depot without
// room for them frees them in bulk, and the allocations that follow take them
// from the slabs again, both under the slabs' lock. How many there are grows with
// the Ps, and with the time that a grace period takes.
//
// So the bound begins at depotBytes and follows the Ps and the misses. A miss
// that counts is an allocation that finds the depot empty soon after a sheaf came
// back from a grace period and found it full: for each one the next such sheaf
// raises the bound by one, up to depotShare for each P. A flood that nobody
// allocates after has no such misses, and is freed in bulk as before: its sheaves
// would be cold. The bound falls back when the cache is idle and when memory is
// short, at once when Ps are gone, and in time when the depot has long had sheaves
// that no allocation came down to: the service settles that.

const (
	depotBytes = 4 << 20 // holds what churn has in flight within a pace on two Ps; untuned
	depotShare = 2 << 20 // of each P; untuned
	// missFor is how long after an overflow a miss counts, in ns. Untuned.
	missFor = 100_000_000
	// settleEvery is how long the service watches, in ns, before it takes back a
	// settlePart of the sheaves that lay in the depot all the while. Where many
	// goroutines share a processor, each has its turn within that. Untuned.
	settleEvery = 1_000_000_000
	settlePart  = 4
)

// depot is the bound of a cache's depot, in sheaves.
type depot struct {
	max      atomic.Int32 // the least bound; only Reserve changes it
	more     atomic.Int32 // what misses added
	misses   atomic.Int32 // that have not raised the bound yet
	overflow atomic.Int64 // when a sheaf last found no room; 0: not since the cache was idle
	share    int32        // for each P; immutable; 0: misses add nothing
	most     int32        // for all Ps; immutable
	low      atomic.Int32 // the fewest sheaves that an allocation left, if misses added any
	settled  int64        // when low began anew; the service's, while draining is set
}

// init sets the bound to bytes of sheaves of perSheaf bytes. If it is to follow the
// Ps it may reach a 64th of the limit, which is 0 if there is none.
func (d *depot) init(bytes, perSheaf, limit int64, follows bool) {
	d.max.Store(sheavesOf(bytes, perSheaf)) // ord:hint
	if follows {
		d.share, d.most = sheavesOf(depotShare, perSheaf), 1<<20
		if limit > 0 {
			d.most = sheavesOf(limit/64, perSheaf)
		}
	}
}

func sheavesOf(bytes, perSheaf int64) int32 {
	return int32(min(max(bytes/perSheaf, 1), 1<<20))
}

// reserve has the depot keep n sheaves.
func (d *depot) reserve(n int32) {
	for old := d.max.Load(); old < n && !d.max.CompareAndSwap(old, n); { // ord:hint
		old = d.max.Load() // ord:hint
	}
}

// bound is how many sheaves the depot keeps.
func (d *depot) bound() int32 { return d.max.Load() + d.more.Load() } // ord:hint

// admits reports whether the depot, which has n sheaves, has room for one that
// comes back after a grace period. It raises the bound if misses showed that it
// should. Context: any.
//
//go:norace
func (d *depot) admits(n int32) bool {
	race.Disable()
	ok := n < d.bound()
	if !ok && d.share > 0 {
		if ok = d.raise(); !ok {
			d.overflow.Store(sys.Nanotime()) // ord:hint
		}
	}
	race.Enable()
	return ok
}

// raise spends a miss on room for a sheaf. A lost race is a miss that is not spent.
//
//go:norace
func (d *depot) raise() bool {
	misses, more := d.misses.Load(), d.more.Load() // ord:hint
	return misses > 0 && more < d.room() &&
		d.misses.CompareAndSwap(misses, misses-1) && d.more.CompareAndSwap(more, more+1) // ord:hint
}

// room is how much misses may add, by the number of Ps.
func (d *depot) room() int32 {
	most := min(int64(d.share)*int64(service.procs.Load()), int64(d.most)) // ord:hint
	return int32(max(most-int64(d.max.Load()), 0))                         // ord:hint
}

// settle takes back what misses added and is not needed: what Ps had that are gone,
// and part of what no allocation came down to for settleEvery. The depot has n
// sheaves. Context: the service.
func (d *depot) settle(n int32, now int64) {
	more := d.more.Load() // ord:hint
	if more == 0 {
		d.settled = now
		if d.low.Load() != 0 { // ord:hint
			d.low.Store(0) // ord:hint
		}
		return
	}
	cut := more - d.room()
	if now-d.settled >= settleEvery {
		d.settled = now
		low := d.low.Swap(n) // ord:hint
		cut = max(cut, min(more, (low+settlePart-1)/settlePart))
	}
	if cut > 0 {
		d.more.CompareAndSwap(more, more-cut) // or in the next turn; ord:hint
	}
}

// missed follows an allocation that found the depot empty. Context: any.
//
//go:norace
func (d *depot) missed() {
	race.Disable()
	if t := d.overflow.Load(); t != 0 && sys.Nanotime()-t < missFor { // ord:hint
		d.misses.Add(1) // ord:hint
	}
	race.Enable()
}

// forget lowers the bound to where it began.
//
//go:norace
func (d *depot) forget() {
	race.Disable()
	if d.overflow.Load() != 0 { // ord:hint
		d.overflow.Store(0) // ord:hint
		d.misses.Store(0)   // ord:hint
		d.more.Store(0)     // ord:hint
	}
	race.Enable()
}

// countProcs has the bounds follow GOMAXPROCS, which takes a lock to read.
func countProcs() { service.procs.Store(int32(runtime.GOMAXPROCS(0))) } // ord:hint
