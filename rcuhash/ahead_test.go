package rcuhash

import (
	"testing"
	"time"

	"quiesce/internal/fault"
	"quiesce/internal/testkit"
)

// The arrays of a large table's next are made by a goroutine before they are needed,
// and then used.
func TestALargeTablesNextIsMadeAhead(t *testing.T) {
	if fault.Resize() {
		t.Skip("a map that grows at every change has another table by the time")
	}
	inBothKinds(t, 0, func(t *testing.T, m *Map[uint64, uint64]) {
		key := uint64(0)
		put := func(until func(*table) bool) *table {
			for ; !until(m.x.table.Load()); key++ {
				m.Put(key, key)
			}
			return m.x.table.Load()
		}

		early := put(func(t *table) bool { return t.n >= aheadFrom && t.live() >= int64(2*t.n-t.n/16) })
		testkit.Eventually(t, 20*time.Second, "the arrays of the next table are made", func() bool {
			a := early.ahead.Load()
			return a != nil && len(a.dir) == 4*int(early.n)/runBuckets && len(a.begin) == len(a.dir)
		})
		made := early.ahead.Load()

		late := put(func(t *table) bool { return t != early })
		if late.n != 2*early.n || &late.dir[0] != &made.dir[0] || &late.begin[0] != &made.begin[0] {
			t.Errorf("a table of %d parents with other arrays than those that were made", late.n)
		}
		checkIndex(t, &m.x)
		if late.ahead.Load() != nil {
			t.Error("the next table is made before the last eighth of this is split")
		}
	})
}

// The table is doubled though its next has not been made: the goroutine had no
// processor.
func TestATableIsDoubledWithoutWaitingForItsNext(t *testing.T) {
	inBothKinds(t, 1000, func(t *testing.T, m *Map[uint64, uint64]) {
		first := m.x.table.Load()
		first.ahead.Store(new(arrays))
		for k := range uint64(10_000) {
			m.Put(k, k)
		}
		if m.x.table.Load() == first {
			t.Error("the table has not been doubled")
		}
		checkIndex(t, &m.x)
	})
}
