package cache

import (
	"errors"
	"math"
	"strconv"
	"testing"
	"time"

	"quiesce/rcu"
)

// newCache makes a cache for a test, and closes it at the end.
func newCache[K comparable, V any](t testing.TB, o Options[K, V]) *Cache[K, V] {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		checkStats(t, c.Stats())
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// checkStats checks the identity of Stats.
func checkStats(t testing.TB, s Stats) {
	t.Helper()
	if left := s.Evictions + s.Expirations + s.Deletes + s.Replaced + s.Cleared + s.Dropped; s.Sets != left+uint64(s.Entries) {
		t.Errorf("%d entries were stored, %d left, and %d are there: %+v", s.Sets, left, s.Entries, s)
	}
}

func TestSetIsSeenByTheNextGet(t *testing.T) {
	c := newCache(t, Options[uint64, [100]byte]{MaxBytes: 1 << 20})
	for i := range uint64(50_000) {
		if err := c.Set(i, [100]byte{byte(i), byte(i >> 8)}); err != nil {
			t.Fatal(i, err)
		}
		if v, ok := c.Get(i); !ok || v[0] != byte(i) || v[1] != byte(i>>8) {
			t.Fatalf("Get(%d) = %v, %v", i, v[:2], ok)
		}
	}
	s := c.Stats()
	if s.Bytes > 1<<20 {
		t.Errorf("%+v", s)
	}
	t.Logf("%+v", s)
}

func TestGetViewAndGetGuardedAgree(t *testing.T) {
	c := newCache(t, Options[string, [3]int]{MaxBytes: 1 << 20})
	for i := range 100 {
		if err := c.Set(strconv.Itoa(i), [3]int{i, 2 * i, 3 * i}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 {
		k := strconv.Itoa(i)
		v, ok := c.Get(k)
		seen := c.View(k, func(p *[3]int) {
			if *p != v {
				t.Errorf("View of %s shows %v, Get %v", k, *p, v)
			}
		})
		g := rcu.ReadLock()
		p, q := c.GetGuarded(g, k), c.GetKey(g, []byte(k))
		if ok != (i < 100) || seen != ok || (p != nil) != ok || p != q || ok && (*p != v || v[2] != 3*i) {
			t.Errorf("%s: Get %v, %v, View %v, GetGuarded %v, GetKey %v", k, v, ok, seen, p, q)
		}
		g.Unlock()
	}
	if s := c.Stats(); s.Hits != 400 || s.Misses != 400 {
		t.Errorf("%+v", s)
	}
}

// A large value is copied in a section that may be preempted.
func TestGetCopiesValuesOfAnySize(t *testing.T) {
	c := newCache(t, Options[int, [pinnedCopy + 8]byte]{MaxBytes: 1 << 20})
	want := [pinnedCopy + 8]byte{0: 1, pinnedCopy + 7: 2}
	if err := c.Set(1, want); err != nil {
		t.Fatal(err)
	}
	if v, ok := c.Get(1); v != want || !ok {
		t.Error("Get returns another value:", ok)
	}
	if _, ok := c.Get(2); ok {
		t.Error("Get of a key that is not there")
	}
	if s := c.Stats(); s.Hits != 1 || s.Misses != 1 {
		t.Errorf("%+v", s)
	}
}

func TestDeleteAndSetIfAbsent(t *testing.T) {
	c := newCache(t, Options[int, int]{MaxBytes: 1 << 20})
	if stored, err := c.SetIfAbsent(1, 10); !stored || err != nil {
		t.Error(stored, err)
	}
	if stored, err := c.SetIfAbsent(1, 11); stored || err != nil {
		t.Error(stored, err)
	}
	if v, ok := c.Get(1); v != 10 || !ok {
		t.Error(v, ok)
	}
	if !c.Delete(1) || c.Delete(1) {
		t.Error("Delete is true once")
	}
	if _, ok := c.Get(1); ok || c.Len() != 0 {
		t.Error("still there")
	}
}

func TestTimeToLive(t *testing.T) {
	now := newClock()
	c := newCache(t, Options[int, int]{MaxBytes: 1 << 20, TTL: time.Hour, Now: now.Now})
	set := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	set(c.Set(1, 1))
	set(c.SetTTL(2, 2, time.Second))
	set(c.SetTTL(3, 3, 0))
	there := func() (got [3]bool) {
		for i := range got {
			_, got[i] = c.Get(i + 1)
		}
		return got
	}
	if got := there(); got != [3]bool{true, true, true} {
		t.Error(got)
	}
	now.add(time.Second - 1)
	if got := there(); got != [3]bool{true, true, true} {
		t.Error("1 ns before the first deadline", got)
	}
	now.add(1)
	if got := there(); got != [3]bool{true, false, true} {
		t.Error("at the first deadline", got)
	}
	if stored, err := c.SetIfAbsent(2, 22); !stored || err != nil {
		t.Error("what has expired is not absent", stored, err)
	}
	now.add(time.Hour)
	if got := there(); got != [3]bool{false, false, true} {
		t.Error("at the last deadline", got)
	}
	if c.Delete(1) {
		t.Error("Delete of what has expired")
	}
	c.x.expire()
	if s := c.Stats(); s.Entries != 1 || s.Expirations != 3 {
		t.Errorf("%+v", s)
	}
}

// What is left of a time that has passed is negative: such an entry is not for ever.
func TestATimeToLiveThatHasPassed(t *testing.T) {
	now := newClock()
	var left []Reason
	c := newCache(t, Options[int, int]{MaxBytes: 1 << 20, TTL: time.Hour, Now: now.Now, OnEvict: func(_, _ int, why Reason) { left = append(left, why) }})
	for _, ttl := range []time.Duration{-1, -time.Hour, math.MinInt64} {
		if err := c.Set(1, 1); err != nil {
			t.Fatal(err)
		}
		if err := c.SetTTL(1, 2, ttl); err != nil {
			t.Fatal(err)
		}
		if v, ok := c.Get(1); ok {
			t.Errorf("after SetTTL of %v: %d is there", ttl, v)
		}
	}
	now.add(time.Second)
	c.x.expire()
	if s := c.Stats(); s.Sets != 6 || s.Entries != 0 || s.Replaced != 3 || s.Expirations != 3 || len(left) != 6 {
		t.Errorf("%+v; OnEvict: %v", s, left)
	}
}

func TestTheServiceFreesWhatExpiredAndEnds(t *testing.T) {
	c := newCache(t, Options[int, int]{MaxBytes: 1 << 20})
	for i := range 1000 {
		if err := c.SetTTL(i, i, time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all have expired", func() bool { return c.Len() == 0 })
	eventually(t, "the service has ended", func() bool {
		service.mu.Lock()
		defer service.mu.Unlock()
		return !service.armed
	})
	if s := c.Stats(); s.Expirations != 1000 {
		t.Errorf("%+v", s)
	}
}

func TestClearAndAll(t *testing.T) {
	c := newCache(t, Options[int, int]{MaxBytes: 1 << 20})
	for i := range 1000 {
		if err := c.Set(i, i*i); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[int]bool{}
	for k, v := range c.All() {
		if v != k*k || seen[k] {
			t.Errorf("%d: %d, seen %v", k, v, seen[k])
		}
		seen[k] = true
	}
	if len(seen) != 1000 || c.Len() != 1000 {
		t.Error(len(seen), c.Len())
	}
	c.Clear()
	if s := c.Stats(); s.Entries != 0 || s.Cleared != 1000 || c.Len() != 0 {
		t.Errorf("%+v, Len %d", s, c.Len())
	}
}

func TestClosed(t *testing.T) {
	c, err := New(Options[int, int]{MaxBytes: 1 << 20, Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := c.Set(1, 1); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if c.Len() != 0 || c.Bytes() != 0 {
		t.Error(c.Len(), c.Bytes())
	}
	for name, op := range map[string]func(){
		"Get":    func() { c.Get(1) },
		"View":   func() { c.View(1, func(*int) {}) },
		"Delete": func() { c.Delete(1) },
		"Clear":  func() { c.Clear() },
		"All":    func() { c.All()(func(int, int) bool { return true }) },
	} {
		func() {
			defer func() {
				if r := recover(); r == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			op()
		}()
	}
}

func TestNothingIsAllocatedOnTheGoHeap(t *testing.T) {
	c := newCache(t, Options[uint64, [64]byte]{MaxBytes: 4 << 20})
	s := newCache(t, Options[string, [64]byte]{MaxBytes: 4 << 20})
	name := "some key that is not short"
	for i := range uint64(60_000) { // until the policy has all that it needs
		if c.Set(i, [64]byte{}) != nil || s.Set(strconv.Itoa(int(i)), [64]byte{}) != nil {
			t.Fatal("Set")
		}
	}
	i := uint64(0)
	for op, fn := range map[string]func(){
		"Get":         func() { c.Get(i) },
		"Get, string": func() { s.Get(name) },
		"View":        func() { c.View(i, func(v *[64]byte) {}) },
		"Set":         func() { _ = c.Set(i, [64]byte{}); i++ },
		"Set, string": func() { _ = s.Set(name, [64]byte{}) },
		"Delete":      func() { c.Delete(i); i++ },
	} {
		if n := testing.AllocsPerRun(1000, fn); n != 0 {
			t.Errorf("%s allocates %v times", op, n)
		}
	}
}
