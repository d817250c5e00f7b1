package rcuhash

import (
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

// moving is a map whose table has buckets to split, with a bucket whose child gets
// some of its keys.
type moving struct {
	*Map[uint64, uint64]
	t      *table
	at     uint64 // the bucket
	mover  uint64 // its keys
	keeper uint64
}

// newMoving returns one whose next split is that of bucket at. Its children may
// be merged again.
func newMoving(t *testing.T) moving {
	t.Helper()
	m := moving{Map: newNarrow[uint64, uint64](t, 64*perBucket, 0)}
	m.t = m.x.table.Load()
	m.at = uint64(m.t.cursor.Load())
	m.mover, m.keeper = m.key(t, m.t.n), m.key(t, 0)
	m.Put(m.mover, 1)
	m.Put(m.keeper, 2)
	m.t.floor = 1
	return m
}

// key returns a key of the bucket, one that moves if bit is t.n, and stays if it is 0.
func (m *moving) key(t *testing.T, bit uint64) uint64 {
	t.Helper()
	for k := uint64(0); ; k++ {
		if h := m.x.hash(&k); h&(m.t.n-1) == m.at && h&m.t.n == bit && k != m.mover {
			return k
		}
	}
}

func (m *moving) split(t *testing.T) {
	t.Helper()
	if !m.x.splitNext(m.t, gfp.NoWait) {
		t.Fatal("no split")
	}
}

func (m *moving) merge(t *testing.T) {
	t.Helper()
	if !m.x.mergeLast(m.t) {
		t.Fatal("no merge")
	}
}

// looked is a look-up of k that has seen no slot yet, in the bucket where it
// begins.
func (m *moving) looked(k uint64) watched { return m.x.watch(m.t, m.x.hash(&k)) }

// (H-A) A look-up that saw the slots of its bucket before its key came there, and
// is at the end now, looks again: whatever happened in between.
func TestHA_ALookUpIsRepeatedWhenItsKeyHasMoved(t *testing.T) {
	for _, c := range []struct {
		what      string
		child     bool // it begins when the child is live
		hint      bool // and there
		then      []string
		unchanged bool
	}{
		{what: "nothing", unchanged: true},
		{what: "nothing, in the child", child: true, hint: true, unchanged: true},
		{what: "a split", then: []string{"split"}},
		{what: "a split, and a merge", then: []string{"split", "merge"}},
		{what: "a split, a merge and a split", then: []string{"split", "merge", "split"}},
		{what: "a merge, seen from the child", child: true, hint: true, then: []string{"merge"}},
		{what: "a merge and a split, seen from the child", child: true, hint: true, then: []string{"merge", "split"}},
		{what: "a merge, seen from the parent", child: true, then: []string{"merge"}},
		{what: "a merge and a split, seen from the parent", child: true, then: []string{"merge", "split"}},
	} {
		m := newMoving(t)
		if c.child {
			m.split(t)
			if c.hint {
				m.t.joined(m.t.n | (runBuckets - 1))
			}
		}
		w := m.looked(m.mover)
		if parent := m.t.bucketAt(m.x.base, m.at); (w.b == parent) == c.hint {
			t.Fatalf("%s: it begins in the wrong bucket", c.what)
		}
		for _, step := range c.then {
			if step == "split" {
				m.split(t)
			} else {
				m.merge(t)
			}
		}
		if w.missed() == c.unchanged {
			t.Errorf("after %s a look-up that misses is repeated: %v", c.what, !c.unchanged)
		}
		if v, ok := get(m.Map, m.mover); v != 1 || !ok {
			t.Errorf("after %s: %d, %v", c.what, v, ok)
		}
	}
}

// (H-A) The same for a key that a split moves from a further bucket of the chain
// to the first.
func TestHA_ALookUpIsRepeatedWhenItsChainIsShortened(t *testing.T) {
	m := newMoving(t)
	had := map[uint64]bool{m.mover: true, m.keeper: true}
	last := uint64(0)
	for k := uint64(0); len(had) < slots+4; k++ { // movers first
		h := m.x.hash(&k)
		if h&(m.t.n-1) == m.at && !had[k] && (h&m.t.n != 0) == (len(had) < slots+1) {
			had[k], last = true, k
			m.Put(k, k)
		}
	}
	if m.x.next(m.t.bucketAt(m.x.base, m.at)) == nil {
		t.Fatal("there is no chain")
	}
	w := m.looked(last)
	m.split(t)
	b := m.t.bucketAt(m.x.base, m.at)
	if m.x.next(b) != nil {
		t.Fatal("the chain has not become shorter")
	}
	// The version counts both moves: of the movers, and of the keepers.
	if now := b.loadMeta() / versionOne; now != w.meta/versionOne+2 {
		t.Errorf("the version went from %d to %d, want 2 more", w.meta/versionOne, now)
	}
	if !w.missed() {
		t.Error("the look-up is not repeated")
	}
	for k := range had {
		if _, ok := get(m.Map, k); !ok {
			t.Errorf("key %d is lost", k)
		}
	}
	checkIndex(t, &m.x)
}

// (H-A) A look-up that has an old table, whose upper half is gone, finds what is
// in the upper half of the current one.
func TestHA_ALookUpWithAnOldTableEndsInTheCurrentOne(t *testing.T) {
	m := newNarrow[uint64, uint64](t, 0, 0)
	const keys = 3000
	grow := func() {
		for k := range uint64(keys) {
			m.Put(k, k)
		}
	}
	grow()
	m.Put(keys, 0)
	old := m.x.table.Load()
	rcu.Read(func(rcu.Guard) { // which keeps the old table's memory
		for k := range uint64(keys) {
			m.Delete(k)
		}
		testkit.Eventually(t, 20*time.Second, "nobody resizes the map", func() bool { return !m.x.resizing.Load() })
		if m.x.table.Load().n >= old.n {
			t.Fatal("the map has not shrunk")
		}
		for k := range uint64(keys) {
			m.PutFlags(k, k, gfp.NoWait)
		}
		for k := range uint64(keys) {
			if n := m.x.lookup(old, m.x.hash(&k), &k); n == nil {
				t.Fatalf("key %d is not found from an old table", k)
			}
		}
		n := 0
		for w := (walk{}); m.x.step(&w, old); {
			n += len(w.nodes)
		}
		if n != keys+1 {
			t.Errorf("a walk from an old table saw %d keys, want %d", n, keys+1)
		}
	})
}

// A table is replaced when no child of it is being made or unmade, and nobody
// makes one afterwards.
func TestATableIsFrozenWhenItIsAtRest(t *testing.T) {
	m := newMoving(t)
	for m.t.cursor.Load() < int64(m.t.n) {
		m.split(t)
	}
	m.t.cursor.Add(busyOne)
	if m.x.splitNext(m.t, gfp.NoWait); m.x.table.Load() != m.t {
		t.Error("doubled while a child is being made")
	}
	m.t.cursor.Add(-busyOne)
	if !m.x.splitNext(m.t, gfp.NoWait) || m.x.table.Load() == m.t || m.t.cursor.Load() != frozen {
		t.Errorf("not doubled, or its cursor is %d", m.t.cursor.Load())
	}
	if m.x.splitNext(m.t, gfp.NoWait) || m.x.mergeLast(m.t) {
		t.Error("the old table can be changed")
	}
	next := m.x.table.Load()
	next.floor = 1
	next.cursor.Add(busyOne)
	if m.x.mergeLast(next); m.x.table.Load() != next {
		t.Error("halved while a child is being unmade")
	}
	next.cursor.Add(-busyOne)
	if !m.x.mergeLast(next) || m.x.table.Load() == next || next.cursor.Load() != frozen {
		t.Errorf("not halved, or its cursor is %d", next.cursor.Load())
	}
	checkIndex(t, &m.x)
}

// An empty bucket in the middle of a chain leaves it, and the rest stays.
func TestARemovalFromTheMiddleOfAChainKeepsTheRest(t *testing.T) {
	m := newNarrow[uint64, uint64](t, 0, 0)
	tab := m.x.table.Load()
	tab.cursor.Store(frozen) // no splits
	var ks []uint64
	for k := uint64(0); len(ks) < 4*slots; k++ {
		if m.x.hash(&k)&3 == 1 {
			ks = append(ks, k)
			m.Put(k, k)
		}
	}
	for _, k := range ks[slots : 2*slots] {
		m.Delete(k)
	}
	for i, k := range ks {
		if _, ok := get(m, k); ok != (i < slots || i >= 2*slots) {
			t.Errorf("key %d: %v", i, ok)
		}
	}
	if _, length := m.x.freeSlotsLocked(tab.bucketAt(m.x.base, 1)); length != 3 {
		t.Errorf("the chain has %d buckets, want 3", length)
	}
	tab.cursor.Store(0)
	checkIndex(t, &m.x)
}
