package rcuhash

import (
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/rcu"
)

func filledMap(t *testing.T, keys int, opts ...Option) *Map[int, int] {
	t.Helper()
	m := newMapWith[int, int](t, 0, 0, opts...)
	for k := range keys {
		m.Put(k, k)
	}
	return m
}

// A loop over All may be left, and may be in another one.
func TestALoopMayBeLeftAndNested(t *testing.T) {
	const keys = 200
	m := filledMap(t, keys)
	g := rcu.ReadLock()
	defer g.Unlock()
	for stop := range 5 {
		n := 0
		for range m.All(g) {
			if n++; n > stop {
				break
			}
		}
		if n != stop+1 {
			t.Errorf("%d steps, want %d", n, stop+1)
		}
	}
	all := m.All(g)
	pairs := 0
	for range all { // one iterator may run twice, and within itself
		for range all {
			pairs++
		}
	}
	if pairs != keys*keys {
		t.Errorf("%d pairs, want %d", pairs, keys*keys)
	}
}

// A walk in which its own loop makes the map grow, and shrink, sees the keys that
// stay once, and ends.
func TestAWalkThatChangesTheMapSeesKeysThatStayOnce(t *testing.T) {
	const stay, come = 100, 3000
	walks := map[string]func(m *Map[int, int], fn func(k int, v *int) bool){
		"All":   func(m *Map[int, int], fn func(int, *int) bool) { rcu.Read(func(g rcu.Guard) { m.All(g)(fn) }) },
		"Range": func(m *Map[int, int], fn func(int, *int) bool) { m.Range(fn) },
	}
	for name, walk := range walks {
		for at := range stay { // the step in which the map grows
			if at > 20 && at%13 != 0 {
				continue
			}
			var opts []Option
			if at%2 == 1 {
				opts = []Option{asNodes}
			}
			m := filledMap(t, stay, opts...)
			var seen [stay]int
			steps := 0
			walk(m, func(k int, v *int) bool {
				if k >= stay {
					return true
				}
				if seen[k]++; *v != k {
					t.Errorf("%s: key %d has value %d", name, k, *v)
				}
				switch steps++; steps {
				case at + 1:
					for i := range come {
						if !m.PutFlags(stay+i, i, gfp.NoLocks|gfp.NoWarn) && !m.PutFlags(stay+i, i, gfp.NoWait) {
							t.Error("no memory")
						}
					}
				case at + 20:
					for i := range come {
						m.Delete(stay + i)
					}
				}
				return true
			})
			for k, n := range seen {
				if n != 1 {
					t.Errorf("%s, grown at step %d: key %d was seen %d times", name, at, k, n)
				}
			}
			waitResized(t, &m.x)
			checkIndex(t, &m.x)
		}
	}
}

// A walk ends in a map from which its loop deletes what it sees, and leaves it
// empty.
func TestAWalkMayDeleteWhatItSees(t *testing.T) {
	const keys = 5000
	for _, m := range []*Map[int, int]{filledMap(t, keys), filledMap(t, keys, asNodes)} {
		n := 0
		m.Range(func(k int, _ *int) bool {
			if n++; !m.Delete(k) {
				t.Errorf("key %d is gone", k)
			}
			return true
		})
		if n != keys || m.Len() != 0 {
			t.Errorf("%d keys were seen, %d are left", n, m.Len())
		}
		waitResized(t, &m.x)
		checkIndex(t, &m.x)
	}
}

// Range stops when its function says so, or panics, and its section ends; it is
// in one while the function runs.
func TestRangeEndsItsSection(t *testing.T) {
	m := filledMap(t, 1000)
	for stop := range 200 {
		n := 0
		m.Range(func(int, *int) bool { n++; return n <= stop })
		if n != stop+1 {
			t.Errorf("%d steps, want %d", n, stop+1)
		}
	}
	testkit.Panics(t, func() { m.Range(func(int, *int) bool { panic("mine") }) }, "mine")
	testkit.Within(t, "a grace period", testkit.Async(rcu.Synchronize))
	m.Range(func(int, *int) bool { return false })
	testkit.Within(t, "a grace period", testkit.Async(rcu.Synchronize))
	m.Range(func(k int, v *int) bool {
		if k == 500 {
			c := rcu.StartPoll()
			m.Delete(k)
			for range 100 {
				if rcu.Poll(c) {
					t.Error("a grace period ended in Range's section")
				}
			}
			if *v != 500 {
				t.Errorf("the value became %d", *v)
			}
		}
		return true
	})
}

// A grace period ends while Range walks a large map.
func TestRangeHoldsUpNoGracePeriod(t *testing.T) {
	m := filledMap(t, 100_000)
	var done <-chan struct{}
	steps, ended := 0, false
	m.Range(func(int, *int) bool {
		if done == nil {
			done = testkit.Async(rcu.Synchronize)
		}
		if steps++; steps%sectionKeys == 0 {
			time.Sleep(time.Millisecond)
		}
		ended = testkit.IsClosed(done)
		return !ended
	})
	if !ended {
		t.Error("no grace period ended in a walk of 100,000 keys")
	}
	<-done
}

// At the limit a Put in Range's own section would wait for that section: it is
// refused at once, however long others are ready to wait.
func TestAPutInRangeIsRefusedAtOnce(t *testing.T) {
	if depcheck.Tagged {
		t.Skip("lockdep reports the Put itself")
	}
	const keys = 500
	a, err := page.New(page.Config{Limit: 4 << 20, Name: "small", ReclaimTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New[uint64, [500]byte](keys, WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	for k := range uint64(keys) {
		m.Put(k, [500]byte{})
	}
	refused := false
	m.Range(func(k uint64, v *[500]byte) bool {
		for range 100_000 { // 50 MB
			if refused = !m.Put(k, *v); refused {
				break
			}
		}
		return false
	})
	if !refused {
		t.Error("12 times the limit was put in one section")
	}
	if !m.Put(keys, [500]byte{}) || m.Len() != keys+1 {
		t.Errorf("a Put after Range is refused; %d keys of %d", m.Len(), keys+1)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}
