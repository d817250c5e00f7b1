package rcuhash

import (
	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
)

// Growing and shrinking, one bucket at a time. doc.go has the argument.

// The map grows while there are more than perBucket keys for each live bucket,
// and shrinks while there are fewer than sparse. A bucket that is not split yet
// has up to twice as many as those that are. Untuned.
//
// The table of a cache is dense, because what it takes the entries lack: with 9 keys
// for each bucket of 11 slots it has 8 to 9 bytes for a key, chains included, and up
// to a sixth of the keys are in a chain's second bucket.
const (
	perBucket = slots * 5 / 10
	sparse    = 1
	dense     = slots * 9 / 11
	denseLess = slots * 3 / 11
	// atOnce is how many buckets an insertion splits, or a removal merges, at
	// most: twice as many as come to be needed. In a table of few runs it is all
	// of a run.
	atOnce = 2

	// aheadFrom is how many parents a table has whose next is prepared. Untuned.
	aheadFrom = 1 << 15

	// scale is the unit of the two numbers that a table compares with.
	scale = 16

	// perWide is perBucket times scale, of a wide bucket.
	perWide = 78
)

// A table has growAt/scale keys for each parent when its first bucket is split, and
// half as many more for each child that is live. So all are split long before the
// next doubling. At one rate, those that are not would have twice as many keys as the
// others, and their further buckets take about as much memory as the children do.

// bucketsFor returns how many live buckets a map has for so many keys.
func (x *core) bucketsFor(keys int) int {
	per, n := perBucket*scale, 1
	if x.isWide() {
		per = perWide
	}
	step := per / 2
	for keys *= scale; n*(per+step) < keys; {
		n *= 2
	}
	return n + max(keys-n*per+step-1, 0)/step
}

// resizeAt sets when the table grows and shrinks. Tests have it do so at every
// change: at 1/16 of a key for each live bucket and more, and at any.
func (t *table) resizeAt(thrifty, always bool) {
	t.growAt, t.shrinkAt = perBucket*scale, sparse*scale
	if t.shift == wideShift {
		t.growAt = perWide
	}
	t.growStep = t.growAt / 2
	switch {
	case always:
		t.growAt, t.growStep, t.shrinkAt = 1, 1, 1<<20
	case thrifty:
		t.growAt, t.growStep, t.shrinkAt = dense*scale, dense*scale, denseLess*scale
	}
}

// grow splits buckets if the keys are too many for those that the map has. f
// says how memory may be allocated; the map works without.
func (x *index[K]) grow(keys int64, f gfp.Flags) {
	for n := range atOnce + runBuckets {
		t := x.table.Load() // ord:table
		if !(n < atOnce && t.crowded(keys) || n > 0 && t.midRun()) {
			return
		}
		if !x.splitNext(t, f) {
			if !f.CanLock() {
				x.resizeLater()
			}
			return
		}
		x.makeAhead(t)
	}
}

// makeAhead has a goroutine make the arrays of the next table of a large one, of
// which 7/8 are split. They are megabytes, which the system has yet to give, and the
// Put that made them would take milliseconds.
func (x *index[K]) makeAhead(t *table) {
	if t.n < aheadFrom || t.live() < int64(2*t.n-t.n/8) || t.ahead.Load() != nil || 4*t.n > maxBuckets || // ord:publish
		!t.ahead.CompareAndSwap(nil, new(arrays)) { // ord:publish
		return
	}
	x.waiting.Add(1) // ord:resizing
	sys.Go(func() {
		a := arraysFor(2 * t.n)
		for i := 0; i < len(a.dir); i += page.Size / 8 { // touched, not only promised
			setNew(&a.begin[i], 0)
			setNew(&a.dir[i].at, 0)
		}
		t.ahead.Store(a)  // ord:publish
		x.waiting.Add(-1) // ord:resizing
	})
}

// makeRoom splits one more bucket of a dense map, for an insertion that found no room:
// raw contexts, which can't, leave long chains, and so does growing that was put off for
// lack of memory. It reports whether it is worth another try.
func (x *index[K]) makeRoom(f gfp.Flags) bool {
	t := x.table.Load() // ord:table
	keys, _ := x.counts.sum()
	if !f.CanLock() || !t.dense(keys) {
		return false
	}
	c := t.cursor.Load()                                                                           // ord:cursor
	return x.splitNext(t, f&^gfp.Kernel|gfp.NoWarn) || x.table.Load() != t || t.cursor.Load() != c // ord:table,cursor
}

// awaitRoom is makeRoom for an insertion that found no room again. It waits for the memory
// that the split takes: where chains have their full length nothing else makes room.
//
// Context: task; not pinned.
func (x *index[K]) awaitRoom() {
	t := x.table.Load() // ord:table
	if keys, _ := x.counts.sum(); t.dense(keys) {
		x.splitNext(t, gfp.Kernel|gfp.NoWarn)
	}
}

// shrink merges buckets if the keys are few for those that the map has.
func (x *index[K]) shrink(keys int64) {
	for n := range atOnce + runBuckets {
		t := x.table.Load() // ord:table
		if !(n < atOnce && t.isSparse(keys) || n > 0 && t.live() > t.floor && t.midRun()) {
			return
		}
		if preempt.Atomic() {
			x.resizeLater()
			return
		}
		if !x.mergeLast(t) {
			return
		}
	}
}

// crowded reports whether the map should grow now.
func (t *table) crowded(keys int64) bool {
	return t.dense(keys) && keys >= t.starved.Load() // ord:hint
}

// dense reports whether the map should grow once there is memory.
func (t *table) dense(keys int64) bool {
	n := int64(t.n)
	return keys*scale > n*t.growAt+(t.live()-n)*t.growStep
}

// hunger puts off the next attempt to grow, because there was no memory for it.
func (x *core) hunger(t *table) {
	keys, _ := x.counts.sum()
	t.starved.Store(keys + max(keys/64, 16)) // ord:hint
}

// isSparse reports whether the map should shrink.
func (t *table) isSparse(keys int64) bool {
	live := t.live()
	return keys*scale < live*t.shrinkAt && live > t.floor
}

// resizeWhenClean has the map grow or shrink after a grace period, when dead slots can
// be used again. Context: any.
func (x *index[K]) resizeWhenClean() {
	if x.unclean.Load() || x.unclean.Swap(true) { // ord:resizing
		return
	}
	x.waiting.Add(1) // ord:resizing
	sys.Go(func() {
		rcu.Synchronize()
		x.unclean.Store(false) // ord:resizing
		x.resizeLater()
		x.waiting.Add(-1) // ord:resizing
	})
}

// resizeLater has a goroutine do what a writer may not do in its context:
// allocate, and make a table. Context: any.
func (x *index[K]) resizeLater() {
	if x.resizing.Load() || x.resizing.Swap(true) { // ord:resizing
		return
	}
	sys.Go(func() {
		for did := true; did; {
			did = false
			if t := x.table.Load(); t != nil { // ord:table
				keys, _ := x.counts.sum()
				more := t.growAt > t.shrinkAt // else one step is all: there is no end
				switch {
				case t.crowded(keys):
					did = x.splitNext(t, gfp.NoWait) && more
				case t.isSparse(keys):
					did = x.mergeLast(t) && more
				}
			}
		}
		x.resizing.Store(false) // ord:resizing
	})
}
