package torture

import (
	"fmt"
	"time"

	"quiesce/page"
	"quiesce/rcu"
)

// maps is the part of the maps, which grow and shrink all the time.
//
// Every key of the first two belongs to one writer. It knows what the key has,
// and so what each of its operations must return; and a Put that is refused must
// leave what was there. The first keys stay: they are replaced, and never deleted.
// Every reader finds them, with a stamp that never goes back, and every walk sees
// them once. In the last map all keys are everybody's, and it is cleared now and
// then: its values must be whole, and the counts must agree in the end.
type maps struct {
	s       *session
	pages   *page.Allocator
	table   [3]mapTable
	writers []*mapWriter
	readers []*mapReader
	lost    uint64 // keys that were not there in the end
}

const (
	ownedMaps = 2   // of maps.table
	wildKeys  = 600 // of the last
	batchKeys = 16
)

func newMaps(s *session) (*maps, error) {
	m := &maps{s: s}
	var err error
	m.pages, err = page.New(page.Config{Name: "torture-map", Limit: int64(s.p.mapLimit) << 10, ReclaimTimeout: 20 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	for i := range m.table {
		if i == 1 {
			m.table[i], err = newTexts(m.pages, s.p.mapKeys)
		} else {
			m.table[i], err = newNumbers(m.pages)
		}
		if err != nil {
			return nil, err
		}
	}
	for i := range s.p.mapThreads {
		m.writers = append(m.writers, newMapWriter(m, i))
	}
	for i := range s.p.mapReaders {
		m.readers = append(m.readers, newMapReader(m, i))
	}
	for k := range uint32(s.p.mapStay) {
		for t := range ownedMaps {
			if !m.owner(k).first(t, k) {
				return nil, fmt.Errorf("no memory for %d keys that stay in %d KiB", s.p.mapStay, s.p.mapLimit)
			}
		}
	}
	return m, nil
}

// owner returns the writer to which a key belongs.
func (m *maps) owner(k uint32) *mapWriter { return m.writers[int(k)%len(m.writers)] }

// launch starts the threads.
func (m *maps) launch() {
	for _, w := range m.writers {
		m.s.thread(w.run)
	}
	for _, r := range m.readers {
		m.s.thread(r.run)
	}
}

// ops is how many operations there were so far.
func (m *maps) ops() (n uint64) {
	for _, w := range m.writers {
		n += w.ops.Load()
	}
	for _, r := range m.readers {
		n += r.finds.Load() + r.walks.Load()
	}
	return n
}

// done reports whether there were as many operations as were asked for.
func (m *maps) done() bool {
	return m != nil && m.s.p.mapOps > 0 && m.ops() >= uint64(m.s.p.mapOps)
}

// end compares the maps with what their owners know, and closes them. All threads
// have ended.
func (m *maps) end() {
	for i, t := range m.table {
		seen := make([]int, m.s.p.mapKeys)
		walked, torn := 0, 0
		rcu.Read(func(g rcu.Guard) {
			t.all(g, func(k uint32, v []byte) bool {
				walked++
				seen[k]++
				if _, whole := stampOf(t, k, v); !whole {
					torn++
				}
				return true
			})
		})
		known := walked
		if i < ownedMaps {
			known = 0
			for k := range uint32(m.s.p.mapKeys) {
				w := m.owner(k)
				want, got := w.known[i][k], w.now(t, k)
				times := 0
				if want != 0 {
					known++
					times = 1
				}
				if want != got || seen[k] != times {
					m.lost++
					m.s.fail("maps: the end", "map %d, key %d: stamp %d, want %d; a walk saw it %d times", i, k, got, want, seen[k])
				}
			}
		}
		if n := t.Len(); n != walked || known != walked || torn > 0 {
			m.s.fail("maps: the end", "map %d: Len is %d, a walk saw %d keys, %d of them torn, and %d are known", i, n, walked, torn, known)
		}
	}
	for _, t := range m.table {
		if err := t.Close(); err != nil {
			m.s.fail("leak", "map: %v", err)
		}
	}
	if st := m.pages.Stats(); st.Limit > 0 && st.Peak > st.Limit {
		m.s.fail("accounts", "peak memory of the maps of %d bytes is above the limit of %d", st.Peak, st.Limit)
	}
	if err := m.pages.Close(); err != nil {
		m.s.fail("leak", "maps: %v", err)
	}
}

// MapResult is the part of the maps: operations.
type MapResult struct {
	Ops     uint64 `json:"ops"`
	Puts    uint64 `json:"puts"`
	Refused uint64 `json:"puts_refused"` // for lack of memory
	Deletes uint64 `json:"deletes"`
	Finds   uint64 `json:"lookups"`
	Walks   uint64 `json:"walks"`
	Walked  uint64 `json:"keys_walked"`
	Clears  uint64 `json:"clears"`
	Phases  uint64 `json:"phases"` // of growing, and of shrinking
	Peak    int64  `json:"peak_bytes"`
}

func (m *maps) result() (r MapResult) {
	if m == nil {
		return r
	}
	r.Ops, r.Peak = m.ops(), m.pages.Stats().Peak
	for _, w := range m.writers {
		r.Puts += w.puts.Load()
		r.Refused += w.refused.Load()
		r.Deletes += w.deletes.Load()
		r.Clears += w.clears.Load()
		r.Phases += w.phases.Load()
	}
	for _, d := range m.readers {
		r.Finds += d.finds.Load()
		r.Walks += d.walks.Load()
		r.Walked += d.walked.Load()
	}
	return r
}
