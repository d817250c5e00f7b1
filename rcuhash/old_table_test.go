package rcuhash

import (
	"testing"

	"quiesce/gfp"
	"quiesce/rcu"
)

// leftSmall returns a map that has left its first table, which is returned as
// well, in a section that began before.
func leftSmall(t *testing.T) (m *Map[uint64, uint64], first *table, leave func()) {
	t.Helper()
	m = newNarrow[uint64, uint64](t, 0, 0)
	m.Put(0, 0)
	first = m.x.table.Load()
	g := rcu.ReadLock()
	for k := uint64(1); m.x.table.Load() == first; k++ {
		if !m.PutFlags(k, k, gfp.NoWait) {
			t.Fatal("no memory")
		}
	}
	return m, first, g.Unlock
}

// (H-A) A look-up that began in the small table finds what is in the next one.
func TestHA_ALookUpThatBeganInTheSmallTableEndsInTheNext(t *testing.T) {
	m, first, leave := leftSmall(t)
	defer leave()
	for k := range uint64(1000) {
		v, ok := get(m, k)
		n := m.x.lookup(first, m.x.hash(&k), &k)
		if p := m.valueOf(n); (p != nil) != ok || p != nil && *p != v {
			t.Errorf("key %d: %v, want %d, %v", k, p, v, ok)
		}
	}
}

// (H-A) A walk that began in the small table ends in the next one.
func TestHA_AWalkThatBeganInTheSmallTableEndsInTheNext(t *testing.T) {
	m, first, leave := leftSmall(t)
	defer leave()
	n := 0
	for w := (walk{}); m.x.step(&w, first); {
		n += len(w.nodes)
	}
	if n != m.Len() {
		t.Errorf("a walk saw %d keys of %d", n, m.Len())
	}
}
