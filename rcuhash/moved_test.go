package rcuhash

import (
	"testing"

	"quiesce/gfp"
	"quiesce/rcu"
)

// between is a map of pages whose next split is that of bucket 0, with a key that
// will move to its child.
func between(t *testing.T) (m *Map[uint64, uint64], tab *table, mover uint64) {
	t.Helper()
	m = newNarrow[uint64, uint64](t, runBuckets*perBucket, 0)
	tab = m.x.table.Load()
	if tab.n != runBuckets || tab.cursor.Load() != 0 {
		t.Fatalf("a table of %d parents and %d children", tab.n, tab.cursor.Load())
	}
	for m.x.hash(&mover)&tab.mask != tab.n {
		mover++
	}
	m.Put(mover, 1)
	return m, tab, mover
}

func (x *index[K]) split(t *testing.T, tab *table) {
	t.Helper()
	if !x.splitNext(tab, gfp.Kernel) {
		t.Fatal("no split")
	}
}

func (x *index[K]) merge(t *testing.T, tab *table) {
	t.Helper()
	if !x.mergeLast(tab) {
		t.Fatal("no merge")
	}
}

// (H-A) While not all buckets of a run are live, look-ups begin in their parents.
func TestHA_ALookUpThatBeginsInTheParentOfASplitBucketLooksInTheChild(t *testing.T) {
	inBothKinds(t, runBuckets*9/2, func(t *testing.T, m *Map[uint64, uint64]) {
		tab := m.x.table.Load()
		var mover uint64
		for m.x.hash(&mover)&tab.mask != tab.n {
			mover++
		}
		m.Put(mover, 1)
		m.x.split(t, tab)
		if b := tab.beginAt(m.x.base, m.x.hash(&mover), tab.shift); b != tab.bucketAt(m.x.base, 0) {
			t.Fatal("it does not begin in the parent")
		}
		if v, ok := get(m, mover); v != 1 || !ok {
			t.Errorf("Get: %d, %v", v, ok)
		}
		found := make([]*uint64, 1)
		rcu.Read(func(g rcu.Guard) {
			if m.GetBatch(g, []uint64{mover}, found); found[0] == nil || *found[0] != 1 {
				t.Errorf("GetBatch: %v", found[0])
			}
		})
		if !m.Delete(mover) || m.Len() != 0 {
			t.Error("Delete does not find it")
		}
		checkIndex(t, &m.x)
	})
}

// (H-A) Each of these look-ups has seen a bucket, and what happens then takes the
// key from where it was, or brings it to where the look-up had looked already. It
// has to look again, in the right bucket.
func TestHA_ALookUpThatMissesSeesThatEntriesMoved(t *testing.T) {
	for _, c := range []struct {
		name     string
		before   string // splits and merges before the look-up
		inChild  bool   // where it begins
		during   string
		endChild bool // where the key is in the end
	}{
		{"a split takes the key away", "", false, "s", true},
		{"a split and a merge bring it back to another slot", "", false, "sm", false},
		{"a merge brings it to where the look-up has been", "s", false, "m", false},
		{"a merge takes it away", "s", true, "m", false},
		{"a merge and a split bring it back to the child", "s", true, "ms", true},
		{"the hint is old: the child is not live any more", "sm", true, "", false},
		{"the hint is old: the child is live", "s", false, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, tab, mover := between(t)
			x := &m.x
			do := func(steps string) {
				t.Helper()
				for _, s := range steps {
					if s == 's' {
						x.split(t, tab)
					} else {
						x.merge(t, tab)
					}
				}
			}
			do(c.before)
			// No section: nothing is freed here.
			parent := tab.bucketAt(x.base, 0)
			w := watched{x: &x.core, t: tab, hash: x.hash(&mover), b: parent}
			if c.inChild {
				w.b = tab.bucketAt(x.base, tab.n)
			}
			w.meta = w.b.loadMeta()
			do(c.during)
			if !w.missed() {
				t.Fatal("the key is taken to be absent")
			}
			if inChild := w.b != parent; inChild != c.endChild {
				t.Errorf("looks again in the child: %v, want %v", inChild, c.endChild)
			}
			if w.missed() {
				t.Error("looks again, and nothing has changed")
			}
			if _, _, n := x.findLocked(w.b, w.hash, &mover); n == nil {
				t.Error("the key is not there")
			}
		})
	}
}

// (H-C) While the movers are in both buckets, and until the parent is rid of them,
// the child is locked: nobody deletes one there that new readers find in the
// parent.
func TestHC_TheChildIsLockedUntilTheMoversHaveLeftTheParent(t *testing.T) {
	m, tab, mover := between(t)
	x := &m.x
	if !x.ensure(tab, tab.n, gfp.Kernel) {
		t.Fatal("no memory")
	}
	l := x.lockFor(x.hash(&mover))
	child := tab.bucketAt(x.base, tab.n)
	var e entries
	x.entriesLocked(l.b, &e)
	x.splitLocked(tab, l.b, child, &e, e.movers(tab.n), nil)
	if m := child.loadMeta(); m&liveBit == 0 || m&lockBit == 0 {
		t.Errorf("the child is live: %v, locked: %v", m&liveBit != 0, m&lockBit != 0)
	}
	if !l.b.isEmpty() {
		t.Error("the mover is still in the parent")
	}
	tab.cursor.Add(1)
	child.unlock()
	x.unlock(l)
	checkIndex(t, x)
}

// (H-A) No table replaces one whose entries are being moved.
func TestHA_ATableStaysWhileABucketIsSplitOrMerged(t *testing.T) {
	m, tab, _ := between(t)
	x := &m.x
	for range tab.n {
		x.split(t, tab)
	}
	tab.cursor.Add(busyOne) // a split that has not ended
	if x.splitNext(tab, gfp.Kernel) || x.table.Load() != tab {
		t.Error("the map doubled while a bucket was split")
	}
	tab.cursor.Add(-busyOne)
	if !x.splitNext(tab, gfp.Kernel) || x.table.Load() == tab {
		t.Fatal("the map did not double")
	}
	tab = x.table.Load()
	tab.cursor.Add(busyOne) // a merge that has not ended
	if x.mergeLast(tab) || x.table.Load() != tab {
		t.Error("the map halved while a bucket was merged")
	}
	tab.cursor.Add(-busyOne)
	if !x.mergeLast(tab) || x.table.Load() == tab {
		t.Error("the map did not halve")
	}
	checkIndex(t, x)
}

// (H-A) A bucket that becomes empty leaves its chain, and those after it stay, for
// those that look and for those that are in it.
func TestHA_ABucketThatLeavesItsChainLeavesTheRest(t *testing.T) {
	m := newNarrow[uint64, uint64](t, 0, 0)
	x := &m.x
	tab := x.table.Load()
	tab.cursor.Store(frozen) // so that chains grow
	n := uint64(0)
	for ; n < uint64(tab.n)*slots*4; n++ {
		m.Put(n, n)
	}
	first := tab.bucketAt(x.base, 0)
	second := x.next(first)
	third := x.next(second)
	g := rcu.ReadLock()
	for k := range n {
		l := x.lockFor(x.hash(&k))
		in, _, _ := x.findLocked(l.b, x.hash(&k), &k)
		x.unlock(l)
		if in == second {
			m.Delete(k)
		}
	}
	if x.next(first) != third || x.next(second) != third {
		t.Error("the second bucket is still in the chain, or has lost its link")
	}
	g.Unlock()
	tab.cursor.Store(0)
	checkIndex(t, x)
}
