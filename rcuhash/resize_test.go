package rcuhash

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/testkit"
	"quiesce/preempt"
	"quiesce/rcu"
)

// A map without a size grows to what it is given and shrinks again: every key is
// found after every phase, by Get, GetBatch, All and Range, and the memory comes
// back.
func TestItGrowsAndShrinks(t *testing.T) {
	most := 200_000
	if testing.Short() {
		most = 20_000
	}
	inBothKinds(t, 0, func(t *testing.T, m *Map[uint64, uint64]) {
		empty := m.Bytes()
		have := 0
		check := func() {
			t.Helper()
			checkIndex(t, &m.x)
			var ks [100]uint64
			var vs [100]*uint64
			g := rcu.ReadLock()
			defer g.Unlock()
			for k := 0; k < most; k += len(ks) {
				for i := range ks {
					ks[i] = uint64(k + i)
				}
				m.GetBatch(g, ks[:], vs[:])
				for i, k := range ks {
					v := m.Get(g, k)
					if v != vs[i] || (v != nil) != (k < uint64(have)) || v != nil && *v != k*3 {
						t.Fatalf("with %d keys: key %d: Get %p, GetBatch %p", have, k, v, vs[i])
					}
				}
			}
			n, sum := 0, uint64(0)
			for k, v := range m.All(g) {
				n++
				sum += k
				if *v != k*3 {
					t.Fatalf("key %d has value %d", k, *v)
				}
			}
			if n != have || sum != uint64(have)*uint64(max(have, 1)-1)/2 || m.Len() != have {
				t.Fatalf("All saw %d keys, Len is %d, want %d", n, m.Len(), have)
			}
		}
		for _, to := range []int{1, 10, 100, 1000, most / 2, most, most / 3, 50, most / 10, 0} {
			for ; have < to; have++ {
				if !m.Put(uint64(have), uint64(have)*3) {
					t.Fatal("no memory")
				}
			}
			for ; have > to; have-- {
				if !m.Delete(uint64(have - 1)) {
					t.Fatalf("key %d is gone", have-1)
				}
			}
			check()
		}
		waitResized(t, &m.x)
		if n := m.Bytes(); n > empty+2*runBuckets<<m.x.shift() { // the least that has pages
			t.Errorf("an emptied map has %d bytes, a new one %d", n, empty)
		}
	})
}

// A map with a size has its buckets from the start, and keeps them.
func TestASizeIsRoomFromTheStart(t *testing.T) {
	sizes := []int{0, 1, 24, 25, 100, 3072, 3073, 5000, 100_000}
	if testing.Short() {
		sizes = sizes[:8]
	}
	for _, size := range sizes {
		m := newMap[uint32, uint32](t, size, 0)
		checkIndex(t, &m.x)
		before := m.x.table.Load()
		live := before.live()
		for k := range uint32(size) {
			m.Put(k, k)
		}
		if after := m.x.table.Load(); after != before || live*perBucket < int64(size) {
			t.Errorf("size %d: %d buckets, and the table changed: %v", size, live, after != before)
		}
		for k := range uint32(size) {
			m.Delete(k)
		}
		if n := m.x.table.Load().live(); n != live {
			t.Errorf("size %d: %d buckets after all was deleted, want %d", size, n, live)
		}
		checkIndex(t, &m.x)
	}
}

// (H-A), and walks: keys that stay are found by every look-up, and seen once by
// every walk, while others come and go so fast that the map grows and shrinks
// all the time.
func TestHA_KeysThatStayAreFoundWhileTheMapGrowsAndShrinks(t *testing.T) {
	inBothKinds(t, 0, func(t *testing.T, m *Map[uint64, uint64]) {
		const stay = 300
		churn := uint64(20_000)
		if testing.Short() {
			churn = 4000
		}
		for k := range uint64(stay) {
			m.Put(k, k+1)
		}
		var stop atomic.Bool
		var looked, walked, turned atomic.Int64
		fail := func(f string, args ...any) {
			stop.Store(true)
			t.Errorf(f, args...)
		}
		readers := testkit.AsyncN(2, func(r int) {
			rnd := rand.New(rand.NewPCG(1, uint64(r)))
			var ks [batchKeys]uint64
			var vs [batchKeys]*uint64
			for !stop.Load() {
				for i := range ks {
					ks[i] = rnd.Uint64N(stay)
				}
				g := rcu.ReadLock()
				for _, k := range ks {
					if v := m.Get(g, k); v == nil || *v != k+1 {
						fail("Get did not find key %d, which stays", k)
					}
				}
				m.GetBatch(g, ks[:], vs[:])
				for i, k := range ks {
					if vs[i] == nil || *vs[i] != k+1 {
						fail("GetBatch did not find key %d, which stays", k)
					}
				}
				g.Unlock()
				looked.Add(1)
			}
		})
		walkers := testkit.AsyncN(2, func(r int) {
			for !stop.Load() {
				var seen [stay]int
				see := func(k uint64, v *uint64) bool {
					if k < stay {
						seen[k]++
					}
					return true
				}
				if r == 0 {
					m.Range(see)
				} else {
					rcu.Read(func(g rcu.Guard) { m.All(g)(see) })
				}
				for k, n := range seen {
					if n != 1 {
						fail("a walk saw key %d, which stays, %d times", k, n)
					}
				}
				walked.Add(1)
			}
		})
		writers := testkit.AsyncN(2, func(r int) {
			from := uint64(1000 + r*1_000_000)
			for !stop.Load() {
				for k := range churn {
					m.PutFlags(from+k, k, gfp.NoWait)
					if k%64 == 0 {
						m.Put(k/64%stay, k/64%stay+1) // the same value, in a new node
					}
				}
				for k := range churn {
					if k%3 == 0 {
						s := preempt.DisableIRQ()
						m.Delete(from + k)
						s.Restore()
					} else {
						m.Delete(from + k)
					}
				}
				turned.Add(1)
			}
		})
		d := 500 * time.Millisecond
		if testkit.Long() {
			d = 3 * time.Second
		}
		for end := time.Now().Add(d); time.Now().Before(end) && !stop.Load(); {
			time.Sleep(10 * time.Millisecond)
		}
		stop.Store(true)
		<-readers
		<-walkers
		<-writers
		if m.Len() != stay {
			t.Errorf("%d keys are left, want %d", m.Len(), stay)
		}
		waitResized(t, &m.x)
		checkIndex(t, &m.x)
		t.Logf("%d rounds of look-ups, %d walks, %d times up and down", looked.Load(), walked.Load(), turned.Load())
	})
}

// Writers lose nothing: each has keys of its own, and knows what is in the map.
func TestWritersLoseNothingWhileTheMapGrowsAndShrinks(t *testing.T) {
	m := newMap[string, uint64](t, 0, 0)
	rounds := 30
	if testing.Short() {
		rounds = 4
	}
	<-testkit.AsyncN(3, func(w int) {
		rnd := rand.New(rand.NewPCG(3, uint64(w)))
		mine := map[string]uint64{}
		key := func(i int) string { return fmt.Sprintf("%d/%d", w, i) }
		for round := range rounds {
			span := []int{20, 3000, 500}[round%3]
			for range 5000 {
				k := key(rnd.IntN(span))
				v, had := mine[k]
				switch rnd.IntN(6) {
				case 0, 1:
					v = rnd.Uint64()
					if !m.Put(k, v) {
						t.Errorf("no memory")
					}
					mine[k] = v
				case 2:
					stored, ok := m.PutIfAbsent(k, 7)
					if !ok || stored == had {
						t.Errorf("PutIfAbsent(%s): %v, %v; it was there: %v", k, stored, ok, had)
					}
					if stored {
						mine[k] = 7
					}
				case 3:
					m.Compute(k, func(old *uint64) (uint64, Op) {
						if (old != nil) != had || had && *old != v {
							t.Errorf("Compute(%s) found %v, want %d, %v", k, old, v, had)
						}
						return v + 1, Replace
					})
					mine[k] = v + 1
				default:
					if m.Delete(k) != had {
						t.Errorf("Delete(%s) is not %v", k, had)
					}
					delete(mine, k)
				}
			}
			for i := range 3000 {
				v, ok := get(m, key(i))
				if want, had := mine[key(i)]; ok != had || v != want {
					t.Errorf("%s: %d, %v; want %d, %v", key(i), v, ok, want, had)
				}
			}
			for k := range mine {
				if round%3 == 1 {
					m.Delete(k)
					delete(mine, k)
				}
			}
		}
	})
	waitResized(t, &m.x)
	checkIndex(t, &m.x)
}

// A map that leaves its first, small table keeps every key for readers and
// writers, again and again.
func TestHA_KeysAreFoundWhileAMapLeavesItsSmallTable(t *testing.T) {
	a := newPages(t, 0)
	rounds := 300
	if testkit.Long() {
		rounds = 2000
	}
	for round := range rounds {
		opts := []Option{WithAllocator(a)}
		if round%2 == 1 {
			opts = append(opts, asNodes)
		}
		m, err := New[uint64, uint64](0, opts...)
		if err != nil {
			t.Fatal(err)
		}
		m.Put(0, 1)
		var stop atomic.Bool
		reader := testkit.Async(func() {
			for !stop.Load() {
				if v, ok := get(m, 0); !ok || v != 1 {
					t.Errorf("the first key: %d, %v", v, ok)
					return
				}
			}
		})
		<-testkit.AsyncN(2, func(w int) {
			for k := range uint64(80) {
				m.Put(1+2*k+uint64(w), k)
			}
		})
		stop.Store(true)
		<-reader
		if m.Len() != 161 || m.x.table.Load().isSmall() {
			t.Fatalf("%d keys, small: %v", m.Len(), m.x.table.Load().isSmall())
		}
		checkIndex(t, &m.x)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// A map that is made to resize at every change does so: every insertion splits,
// up to 16 buckets a key, and every deletion merges.
func TestItResizesAtEveryChange(t *testing.T) {
	fault.SetResize(true)
	defer fault.SetResize(false)
	inBothKinds(t, 0, func(t *testing.T, m *Map[uint64, uint64]) {
		const keys = 200
		for k := range uint64(keys) {
			before := m.x.table.Load().live()
			m.Put(k, k)
			if now := m.x.table.Load().live(); now <= before && now < 16*int64(k+1) {
				t.Errorf("key %d: %d live buckets after %d", k, now, before)
			}
		}
		checkIndex(t, &m.x)
		for k := range uint64(keys) {
			before := m.x.table.Load().live()
			if !m.Delete(k) {
				t.Errorf("key %d is lost", k)
			}
			if now := m.x.table.Load().live(); now >= before && now > m.x.table.Load().floor {
				t.Errorf("key %d deleted: %d live buckets after %d", k, now, before)
			}
		}
		checkIndex(t, &m.x)
	})
}
