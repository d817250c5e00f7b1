package rcuhash

import (
	"math/rand/v2"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/preempt"
	"quiesce/rcu"
)

// A map whose writers may only allocate from raw atomic contexts grows all the
// same, by a goroutine of its own, and one that is emptied there shrinks.
func TestItResizesForRawContexts(t *testing.T) {
	inBothKinds(t, 0, func(t *testing.T, m *Map[uint64, uint64]) {
		n := uint64(0)
		in := func(fn func()) {
			p := preempt.Disable()
			fn()
			p.Enable()
		}
		testkit.Eventually(t, 20*time.Second, "20,000 keys put in raw contexts", func() bool {
			for range 100 {
				in(func() {
					if m.PutFlags(n, n, gfp.NoLocks|gfp.NoWarn) {
						n++
					}
				})
			}
			return n >= 20_000
		})
		testkit.Eventually(t, 20*time.Second, "the map has grown", func() bool {
			in(func() {
				k := rand.Uint64N(n) // each has one of the map's counters say how many there are
				m.Delete(k)
				m.PutFlags(k, k, gfp.NoLocks|gfp.NoWarn)
			})
			return !m.x.table.Load().crowded(int64(n))
		})
		for k := range n + 1 {
			in(func() { m.Delete(k) })
		}
		testkit.Eventually(t, 20*time.Second, "the map has shrunk", func() bool {
			in(func() { m.PutFlags(0, 0, gfp.NoLocks|gfp.NoWarn); m.Delete(0) })
			return m.x.table.Load().live() <= 2*m.x.table.Load().floor
		})
		waitResized(t, &m.x)
		checkIndex(t, &m.x)
	})
}

// Without memory for more buckets the chains grow, until those are as long as
// may be: then Put is refused, and changes nothing.
func TestAPutIsRefusedWhenTheChainIsFull(t *testing.T) {
	inBothKinds(t, 0, func(t *testing.T, m *Map[uint64, uint64]) {
		m.x.table.Load().cursor.Store(frozen) // as while another goroutine makes the next table
		n := uint64(0)
		for m.Put(n, n) {
			n++
		}
		if n < 4*slots*maxChain/2 || n > 4*slots*maxChain || m.Len() != int(n) {
			t.Errorf("refused after %d keys, Len %d", n, m.Len())
		}
		if _, ok := get(m, n); ok {
			t.Error("the refused key is there")
		}
		if !m.Put(0, 9) { // needs no slot
			t.Error("a present key was refused")
		}
		m.x.table.Load().cursor.Store(0)
		if !m.Put(n, n) { // grows first: the chain that was full may still be
			for k := uint64(1); !m.Put(n, n); k++ {
				m.Delete(k)
			}
		}
		checkIndex(t, &m.x)
	})
}

// Small maps share a heap: many of them cost little more than their entries, and
// the last one closes the heap.
func TestSmallMapsShareAHeap(t *testing.T) {
	a := newPages(t, 0)
	maps := 10_000
	if testing.Short() {
		maps = 500
	}
	all := make([]*Map[uint64, uint64], maps)
	for i := range all {
		m, err := New[uint64, uint64](10, WithAllocator(a))
		if err != nil {
			t.Fatal(err)
		}
		all[i] = m
		for k := range uint64(10) {
			all[i].Put(k, k)
		}
	}
	if n := len(all[0].Stats()); n != 3 {
		t.Errorf("%d size classes", n)
	}
	if each := a.Stats().Resident / int64(maps); each > 2048 && !testing.Short() {
		t.Errorf("a map of 10 keys takes %d bytes", each)
	}
	for _, m := range all {
		if m.Len() != 10 {
			t.Errorf("%d keys", m.Len())
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// Raw contexts can't split buckets, and fill the chains. Whoever may split does,
// rather than be refused while there is memory.
func TestAPutSplitsWhatRawContextsLeft(t *testing.T) {
	fill := func(t *testing.T, m *Map[uint64, uint64]) (refused uint64) {
		t.Helper()
		m.x.resizing.Store(true) // its goroutine is slow
		t.Cleanup(func() { m.x.resizing.Store(false) })
		for tries, n := 0, uint64(0); ; n++ {
			if m.PutFlags(n, n, gfp.NoLocks|gfp.NoWarn) {
				continue
			}
			if tries++; tries == 200 { // not for lack of memory at hand
				return n
			}
			m.Delete(n)
			time.Sleep(time.Millisecond / 4)
		}
	}
	for what, put := range map[string]func(m *Map[uint64, uint64], k uint64) bool{
		"Put":         func(m *Map[uint64, uint64], k uint64) bool { return m.Put(k, k) },
		"NoWait":      func(m *Map[uint64, uint64], k uint64) bool { return m.PutFlags(k, k, gfp.NoWait) },
		"PutIfAbsent": func(m *Map[uint64, uint64], k uint64) bool { _, ok := m.PutIfAbsent(k, k); return ok },
		"Compute": func(m *Map[uint64, uint64], k uint64) bool {
			return m.Compute(k, func(*uint64) (uint64, Op) { return k, Replace })
		},
		"Swap": func(m *Map[uint64, uint64], k uint64) (ok bool) {
			rcu.Read(func(g rcu.Guard) { _, ok = m.Swap(g, k, k) })
			return ok
		},
	} {
		t.Run(what, func(t *testing.T) {
			inBothKinds(t, 0, func(t *testing.T, m *Map[uint64, uint64]) {
				k := fill(t, m)
				if !put(m, k) {
					t.Errorf("refused in a map of %d keys", m.Len())
				}
				if v, ok := get(m, k); v != k || !ok {
					t.Errorf("%d, %v", v, ok)
				}
				m.x.resizing.Store(false)
				checkIndex(t, &m.x)
			})
		})
	}
}

// The first table of pages may need chains: keys that collide there, too, don't
// keep a map small, nor does a spare bucket too many get lost.
func TestASmallTableIsLeftThoughItsKeysCollide(t *testing.T) {
	inBothKinds(t, 0, func(t *testing.T, m *Map[uint64, uint64]) {
		var colliding []uint64
		for k := uint64(0); len(colliding) < 5*slots/2; k++ {
			if m.x.hash(&k)%(2*blockBuckets) == 0 {
				colliding = append(colliding, k)
			}
		}
		small := m.x.table.Load()
		for _, k := range colliding { // while nothing is split
			small.cursor.Store(frozen)
			if !m.Put(k, k) {
				t.Fatalf("Put of a key was refused, %d are there", m.Len())
			}
		}
		small.cursor.Store(0)
		for m.x.table.Load().isSmall() {
			if m.x.splitNext(m.x.table.Load(), gfp.NoWait) {
				continue
			}
			t.Fatal("the map stays small")
		}
		for _, k := range colliding {
			if v, ok := get(m, k); v != k || !ok {
				t.Errorf("key %d: %d, %v", k, v, ok)
			}
		}
		checkIndex(t, &m.x)
	})
}

// Close of a map that grew and shrank may run in a callback, as the function
// passed to rcu.Pointer's Replace does.
func TestCloseInACallback(t *testing.T) {
	for _, opts := range [][]Option{nil, {asNodes}} {
		a := newPages(t, 0)
		m, err := New[uint64, uint64](0, append(opts, WithAllocator(a))...)
		if err != nil {
			t.Fatal(err)
		}
		for k := range uint64(5000) {
			m.Put(k, k)
		}
		for k := range uint64(5000) {
			m.Delete(k)
		}
		closed := make(chan error, 1)
		rcu.Call(func() { closed <- m.Close() })
		select {
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("Close does not return")
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}
