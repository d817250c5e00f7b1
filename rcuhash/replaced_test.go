//go:build delay

package rcuhash

import (
	"testing"

	"quiesce/internal/fault"
)

// doubled returns a map that has doubled its table, with both tables, and a key that
// has left the bucket where the first table has it. That bucket is live still.
func doubled(t *testing.T, m *Map[uint64, uint64]) (first, next *table, mover uint64) {
	t.Helper()
	x := &m.x
	for first = x.table.Load(); first.live() < int64(2*first.n); {
		x.split(t, first)
	}
	if first.isSmall() || !x.double(first) {
		t.Fatal("the map did not double")
	}
	next = x.table.Load()
	for x.hash(&mover)&next.mask != next.n {
		mover++
	}
	m.Put(mover, 1)
	x.split(t, next)
	return first, next, mover
}

// A writer loads the table and is suspended, before it locks a bucket, for as long as
// the map takes to double and to split the bucket.
func TestAWriterThatLoadedATableBeforeItWasReplacedWritesToTheNext(t *testing.T) {
	const size = runBuckets * 9 / 2 // keys for which a table has runBuckets parents
	for name, m := range map[string]*Map[uint64, uint64]{
		"narrow": newNarrow[uint64, uint64](t, size, 0),
		"wide":   newMap[uint64, uint64](t, size, 0),
	} {
		t.Run(name, func(t *testing.T) {
			first, next, mover := doubled(t, m)
			x := &m.x
			write := func(op func()) {
				t.Helper()
				x.table.Store(first) // until the writer has loaded it
				did := false
				fault.At(func(tag string) {
					if tag == "table" && x.table.CompareAndSwap(first, next) {
						did = true
					}
				})
				op()
				if fault.At(nil); !did {
					t.Fatal("the table was not replaced")
				}
			}
			write(func() { m.Put(mover, 2) })
			if v, ok := get(m, mover); v != 2 || !ok || m.Len() != 1 {
				t.Errorf("after a Put of 2: %d, %v, and %d keys", v, ok, m.Len())
			}
			write(func() { m.Delete(mover) })
			if v, ok := get(m, mover); ok || m.Len() != 0 {
				t.Errorf("after a Delete: %d, and %d keys", v, m.Len())
			}
			checkIndex(t, x)
		})
	}
}

// A writer finds that a bucket's child is not live, and is suspended, before it locks
// the bucket, for as long as the split takes that makes it live.
func TestAWriterThatLookedBeforeABucketWasSplitWritesToTheChild(t *testing.T) {
	const size = runBuckets * 9 / 2
	for name, m := range map[string]*Map[uint64, uint64]{
		"narrow": newNarrow[uint64, uint64](t, size, 0),
		"wide":   newMap[uint64, uint64](t, size, 0),
	} {
		t.Run(name, func(t *testing.T) {
			_, next, mover := doubled(t, m)
			child := next.bucketAt(m.x.base, next.n)
			changesMeanwhile(t, m, mover, func() { child.meta &^= liveBit }, func() { child.meta |= liveBit })
			checkIndex(t, &m.x)
		})
	}
}

// A writer finds that a bucket is live, and is suspended, before it locks it, for as
// long as its merge takes.
func TestAWriterThatLookedBeforeABucketWasMergedWritesToTheParent(t *testing.T) {
	const size = runBuckets * 9 / 2
	for name, m := range map[string]*Map[uint64, uint64]{
		"narrow": newNarrow[uint64, uint64](t, size, 0),
		"wide":   newMap[uint64, uint64](t, size, 0),
	} {
		t.Run(name, func(t *testing.T) {
			_, next, mover := doubled(t, m)
			child := next.bucketAt(m.x.base, next.n)
			if !m.x.mergeLast(next) || next.bucketAt(m.x.base, next.n) != child {
				t.Fatal("not merged, or without memory now")
			}
			changesMeanwhile(t, m, mover, func() { child.meta |= liveBit }, func() { child.meta &^= liveBit })
			checkIndex(t, &m.x)
		})
	}
}

// changesMeanwhile puts and deletes a key that the map has. Each time a writer sees what
// before makes of the map, and what after makes of it once it takes a lock.
func changesMeanwhile(t *testing.T, m *Map[uint64, uint64], k uint64, before, after func()) {
	t.Helper()
	write := func(op func()) {
		t.Helper()
		before()
		did := false
		fault.At(func(tag string) {
			if tag == "table" && !did {
				did = true
				after()
			}
		})
		op()
		if fault.At(nil); !did {
			t.Fatal("nothing changed meanwhile")
		}
	}
	write(func() { m.Put(k, 2) })
	if v, ok := get(m, k); v != 2 || !ok || m.Len() != 1 {
		t.Errorf("after a Put of 2: %d, %v, and %d keys", v, ok, m.Len())
	}
	write(func() { m.Delete(k) })
	if v, ok := get(m, k); ok || m.Len() != 0 {
		t.Errorf("after a Delete: %d, and %d keys", v, m.Len())
	}
}
