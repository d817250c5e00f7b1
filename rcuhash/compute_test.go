package rcuhash

import (
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
	"quiesce/slab"
)

// Compute sees what another goroutine did in between, whatever that was, and
// calls its function again: its result is never of an entry that was not there.
func TestComputeLooksAgainIfTheEntryChanged(t *testing.T) {
	t.Run("entries in buckets", func(t *testing.T) { testComputeLooksAgain(t, 7) })
	t.Run("nodes", func(t *testing.T) { testComputeLooksAgain(t, "seven") })
}

func testComputeLooksAgain[K comparable](t *testing.T, k K) {
	type own = Map[K, uint64]
	for what, other := range map[string]func(m *own){
		"replaced":                func(m *own) { m.PutFlags(k, 50, gfp.NoWait) },
		"replaced by an equal":    func(m *own) { m.PutFlags(k, 1, gfp.NoWait) },
		"deleted":                 func(m *own) { m.Delete(k) },
		"deleted, and put again":  func(m *own) { m.Delete(k); m.PutFlags(k, 1, gfp.NoWait) },
		"computed":                func(m *own) { m.PutFlags(k, 60, gfp.NoLocks) },
		"put, if it is not there": func(m *own) { m.PutFlags(k, 2, gfp.NoWait) },
	} {
		for _, present := range []bool{true, false} {
			for _, op := range []Op{Replace, Remove} {
				m := newMap[K, uint64](t, 0, 0)
				if present {
					m.Put(k, 1)
				}
				calls, last := 0, uint64(0)
				ok := m.Compute(k, func(old *uint64) (uint64, Op) {
					if calls++; calls == 1 {
						testkit.Elsewhere(func() { other(m) })
					}
					if last = 0; old != nil {
						last = *old
					}
					return last + 1000, op
				})
				v, there := get(m, k)
				unchanged := !present && what == "deleted" || !present && op == Remove
				if wantCalls := map[bool]int{true: 1, false: 2}[unchanged]; !ok || calls != wantCalls {
					t.Errorf("%s, present %v, op %d: %v after %d calls, want %d", what, present, op, ok, calls, wantCalls)
				}
				switch {
				case op == Replace && v != last+1000:
					t.Errorf("%s, present %v: %d after Replace, fn saw %d last", what, present, v, last)
				case op == Remove && there && !unchanged:
					t.Errorf("%s, present %v: %d is there after Remove", what, present, v)
				}
				if want := map[bool]int{true: 1, false: 0}[there]; m.Len() != want {
					t.Errorf("%s, present %v, op %d: Len %d, want %d", what, present, op, m.Len(), want)
				}
			}
		}
	}
}

// Computes of several goroutines are one after the other.
func TestComputeLosesNoUpdate(t *testing.T) {
	inBothKinds(t, 0, func(t *testing.T, m *Map[uint64, uint64]) {
		const each, keys = 3000, 3
		<-testkit.AsyncN(3, func(int) {
			for i := range each {
				m.Compute(uint64(i%keys), func(old *uint64) (uint64, Op) {
					if old == nil {
						return 1, Replace
					}
					return *old + 1, Replace
				})
			}
		})
		for k := range uint64(keys) {
			if v, _ := get(m, k); v != each {
				t.Errorf("key %d was counted to %d, want %d", k, v, each)
			}
		}
	})
}

// A panic in Compute's function leaves nothing behind: no section, no lock, no
// memory (newMap's Close looks for that).
func TestAPanicInComputeLeavesNothing(t *testing.T) {
	m := newMap[string, uint64](t, 0, 0)
	m.Put("there", 1)
	b := newBytes[string](t, 0, 0)
	b.Put("there", []byte("value"))
	for _, k := range []string{"there", "not there"} {
		testkit.Panics(t, func() { m.Compute(k, func(*uint64) (uint64, Op) { panic("mine") }) }, "mine")
		testkit.Panics(t, func() { b.Compute(k, func([]byte) ([]byte, Op) { panic("mine") }) }, "mine")
		first := true
		testkit.Panics(t, func() { // with memory at hand
			b.Compute(k, func([]byte) ([]byte, Op) {
				if first {
					first = false
					return []byte("new"), Replace
				}
				panic("mine")
			})
		}, "mine")
		var exits sync.WaitGroup
		exits.Go(func() { // as t.FailNow
			m.Compute(k, func(*uint64) (uint64, Op) { runtime.Goexit(); return 0, Keep })
		})
		exits.Wait()
	}
	if preempt.Atomic() {
		t.Fatal("still pinned")
	}
	testkit.Within(t, "a grace period", testkit.Async(rcu.Synchronize))
	if v, ok := get(m, "there"); v != 1 || !ok || m.Len() != 1 || b.Len() != 1 {
		t.Errorf("the map has changed: %d, %v, Len %d", v, ok, m.Len())
	}
	if !m.Delete("there") || !b.Delete("there") {
		t.Error("the key is gone")
	}
}

// At the limit Compute refuses a new value and leaves the map as it is; what takes
// no memory works.
func TestComputeAtTheLimit(t *testing.T) {
	if slab.PoisonEnabled {
		t.Skip("freed objects are in quarantine, from where memory comes back at any time")
	}
	a, err := page.New(page.Config{Name: "test", Reserve: space(), Limit: 1 << 20, ReclaimTimeout: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New[int, [1000]byte](0, WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(m.Close(), a.Close()); err != nil {
			t.Error(err)
		}
	}()
	n := 0
	for last := -1; last != n; { // what the map freed while it grew comes back, and is used up
		last = n
		for m.PutFlags(n, [1000]byte{1}, gfp.Kernel|gfp.NoWarn) {
			n++
		}
		waitResized(t, &m.x)
		m.Barrier()
	}
	if n < 100 {
		t.Fatalf("refused after %d keys", n)
	}
	for _, k := range []int{0, n} {
		calls := 0
		if m.Compute(k, func(old *[1000]byte) ([1000]byte, Op) {
			calls++
			return [1000]byte{2}, Replace
		}) || calls != 1 {
			t.Errorf("key %d: not refused, or %d calls", k, calls)
		}
		if v, ok := get(m, k); ok != (k < n) || ok && v[0] != 1 {
			t.Errorf("key %d: changed by a refused Compute", k)
		}
	}
	if stored, ok := m.PutIfAbsent(n, [1000]byte{}); stored || ok {
		t.Errorf("PutIfAbsent: %v, %v", stored, ok)
	}
	rcu.Read(func(g rcu.Guard) {
		if old, ok := m.Swap(g, 0, [1000]byte{3}); old != nil || ok {
			t.Errorf("Swap: %v, %v", old != nil, ok)
		}
	})
	if !m.Compute(0, func(old *[1000]byte) (v [1000]byte, op Op) { return v, Keep }) ||
		!m.Compute(0, func(old *[1000]byte) (v [1000]byte, op Op) { return v, Remove }) ||
		!m.Compute(n, func(old *[1000]byte) (v [1000]byte, op Op) { return v, Remove }) {
		t.Error("what takes no memory was refused")
	}
	if m.Len() != n-1 {
		t.Errorf("Len %d, want %d", m.Len(), n-1)
	}
	checkIndex(t, &m.x)
}
