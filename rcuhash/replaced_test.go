//go:build delay

package rcuhash

import (
	"testing"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/rcu"
)

// doubled returns a map that has doubled its table, with both tables, and a key that
// has left the bucket where the first table has it. That bucket is live still.
func doubled(t *testing.T, m *Map[uint64, uint64]) (first, next *table, mover uint64) {
	t.Helper()
	x := &m.x
	for first = x.table.Load(); first.live() < int64(2*first.n); {
		x.split(t, first)
	}
	if first.isSmall() || !x.double(first, gfp.NoWait) {
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
	inBothKinds(t, size, func(t *testing.T, m *Map[uint64, uint64]) {
		writeToTheNext(t, m, doubled)
		checkIndex(t, &m.x)
	})
}

// The same with a table whose entries are copied: its own stay what they were.
func TestAWriterThatLoadedASmallTableBeforeItWasReplacedWritesToTheNext(t *testing.T) {
	inBothKinds(t, 0, func(t *testing.T, m *Map[uint64, uint64]) {
		m.Put(1, 1)
		rcu.Read(func(rcu.Guard) { // so long its memory stays
			writeToTheNext(t, m, left)
		})
		checkIndex(t, &m.x)
	})
}

// left returns a map's small table, the one that it was left for, and a key.
func left(t *testing.T, m *Map[uint64, uint64]) (first, next *table, k uint64) {
	t.Helper()
	for first = m.x.table.Load(); first.live() < int64(2*first.n); {
		m.x.split(t, first)
	}
	if !first.isSmall() || !m.x.leaveSmall(first, gfp.NoWait) {
		t.Fatal("the map did not leave a small table")
	}
	return first, m.x.table.Load(), 1
}

// writeToTheNext puts and deletes a key that the map has by writers that have loaded the
// first of two tables when the next one comes.
func writeToTheNext(t *testing.T, m *Map[uint64, uint64], replaced func(*testing.T, *Map[uint64, uint64]) (first, next *table, k uint64)) {
	first, next, mover := replaced(t, m)
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
	write(func() { m.PutFlags(mover, 2, gfp.NoWait) })
	if v, ok := get(m, mover); v != 2 || !ok || m.Len() != 1 {
		t.Fatalf("after a Put of 2: %d, %v, and %d keys", v, ok, m.Len())
	}
	write(func() { m.Delete(mover) })
	if v, ok := get(m, mover); ok || m.Len() != 0 {
		t.Errorf("after a Delete: %d, and %d keys", v, m.Len())
	}
}

// A writer is led to a bucket, and is suspended, before it locks that, for as long as
// its split takes.
func TestAWriterThatLookedBeforeABucketWasSplitWritesToTheChild(t *testing.T) {
	const size = runBuckets * 9 / 2
	inBothKinds(t, size, func(t *testing.T, m *Map[uint64, uint64]) {
		_, next, mover := doubled(t, m)
		b, child := next.bucketAt(m.x.base, 0), next.bucketAt(m.x.base, next.n)
		changesMeanwhile(t, m, mover, func() {
			b.movedAs(next.n/2, 0)
			child.meta &^= liveBit
		}, func() {
			child.becomeLive(next.n, next.n)
			b.movedAs(next.n, 0)
		})
		checkIndex(t, &m.x)
	})
}

// A writer is led to a child, and is suspended, before it locks that, for as long as
// its merge takes.
func TestAWriterThatLookedBeforeABucketWasMergedWritesToTheParent(t *testing.T) {
	const size = runBuckets * 9 / 2
	inBothKinds(t, size, func(t *testing.T, m *Map[uint64, uint64]) {
		_, next, mover := doubled(t, m)
		child := next.bucketAt(m.x.base, next.n)
		if !m.x.mergeLast(next) || next.bucketAt(m.x.base, next.n) != child {
			t.Fatal("not merged, or without memory now")
		}
		r := next.n >> runShift
		changesMeanwhile(t, m, mover, func() {
			next.beginIn(r, r)
			child.meta |= liveBit
		}, func() {
			next.beginIn(r, 0)
			child.meta &^= liveBit
		})
		checkIndex(t, &m.x)
	})
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
