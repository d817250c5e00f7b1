package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestTouchGivesAnEntryAnotherTimeToLive(t *testing.T) {
	clk := newClock()
	var gone left // the service calls OnEvict too, after it has counted
	c := newCache(t, Options[string, int]{MaxBytes: 1 << 20, Now: clk.Now, OnEvict: func(_ string, _ int, why Reason) { gone.add(why) }})
	set := func(k string, ttl time.Duration) {
		t.Helper()
		if err := c.SetTTL(k, len(k), ttl); err != nil {
			t.Fatal(err)
		}
	}
	has := func(k string, want bool) {
		t.Helper()
		if v, ok := c.Get(k); ok != want || ok && v != len(k) {
			t.Errorf("Get(%q): %d, %v; want it there: %v", k, v, ok, want)
		}
	}
	if c.Touch("none", time.Minute) {
		t.Error("Touch of a key that is not there")
	}
	set("longer", time.Second)
	set("shorter", time.Hour)
	set("none before", 0)
	set("none after", time.Second)
	set("never", 0)
	set("over", time.Hour)
	before := nodeOfKey(c.x, "longer")
	for k, ttl := range map[string]time.Duration{"longer": time.Minute, "shorter": time.Second, "none before": time.Second, "none after": 0, "never": 0, "over": -1} {
		if !c.Touch(k, ttl) {
			t.Errorf("Touch(%q)", k)
		}
	}
	if nodeOfKey(c.x, "longer") != before {
		t.Error("an entry with a timer has another node")
	}
	has("over", false)
	if c.Touch("over", time.Hour) {
		t.Error("Touch of what has expired")
	}
	clk.add(time.Second - 1)
	for _, k := range []string{"longer", "shorter", "none before", "none after", "never"} {
		has(k, true)
	}
	clk.add(1)
	for k, want := range map[string]bool{"longer": true, "shorter": false, "none before": false, "none after": true, "never": true} {
		has(k, want)
	}
	clk.add(time.Minute)
	has("longer", false)
	has("none after", true)
	eventually(t, "what has expired is freed", func() bool {
		clk.add(time.Second)
		return c.Len() == 2 && gone.n[Expired].Load() == 4
	})
	checkPolicy(t, c.x)
	if s := c.Stats(); s.Sets != 6 || s.Expirations != 4 || s.Replaced != 0 {
		t.Errorf("%+v", s)
	}
	gone.check(t, c.Stats())
	checkStats(t, c.Stats())
}

func TestTouchKeepsValuesOfAnyLength(t *testing.T) {
	clk := newClock()
	c, err := NewBytes(Options[string, []byte]{MaxBytes: 1 << 20, Now: clk.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for n := 0; n < 40_000; n = n*3 + 1 {
		k := fmt.Sprint("key", n)
		if err := c.Set(k, value(k, n)); err != nil {
			t.Fatal(err)
		}
		if !c.Touch(k, time.Hour) {
			t.Fatalf("Touch(%q)", k)
		}
		if v, ok := c.Get(k); !ok || len(v) != n || !isValue(k, v) {
			t.Fatalf("%q has %d bytes, %v; want %d", k, len(v), ok, n)
		}
	}
	clk.add(time.Hour)
	for k := range c.All() {
		t.Errorf("%q is still there", k)
	}
	checkPolicy(t, c.x)
}

// Touch may meet everything that happens to its key, and must not bring back a value
// that was replaced or deleted.
func TestTouchWhileEntriesComeAndGo(t *testing.T) {
	c, err := NewBytes(Options[string, []byte]{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	const keys = 8
	var now [keys]atomic.Uint64 // the value that its writer set last
	var stop atomic.Bool
	var all sync.WaitGroup
	name := func(k int) string { return fmt.Sprint("key", k) }
	for g := range 2 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			for !stop.Load() {
				c.Touch(name(rng.IntN(keys)), time.Duration(rng.IntN(2))*time.Hour)
			}
		})
	}
	steps := 20_000
	if testing.Short() || raceOrPoison {
		steps = 4000
	}
	rng := rand.New(rand.NewPCG(9, 9))
	for i := range steps {
		k := rng.IntN(keys)
		if rng.IntN(4) == 0 {
			c.Delete(name(k))
			now[k].Store(0)
		} else {
			v := fmt.Sprintf("%d%s", i+1, strings.Repeat(" ", 10*(i%3)))
			if err := c.SetTTL(name(k), []byte(v), time.Duration(i%2)*time.Hour); err != nil {
				t.Fatal(err)
			}
			now[k].Store(uint64(i + 1))
		}
		v, ok := c.Get(name(k))
		var got uint64
		if ok {
			_, _ = fmt.Sscan(string(v), &got)
		}
		if got != now[k].Load() {
			t.Fatalf("step %d: %q has value %d, want %d", i, name(k), got, now[k].Load())
		}
	}
	stop.Store(true)
	all.Wait()
	checkStats(t, c.Stats())
	checkPolicy(t, c.x)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestGetOrLoadTTLStoresForAsLongAsTheLoadSays(t *testing.T) {
	clk := newClock()
	c := newCache(t, Options[int, int]{MaxBytes: 1 << 20, Now: clk.Now, TTL: time.Hour})
	b, err := NewBytes(Options[int, []byte]{MaxBytes: 1 << 20, Now: clk.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	for k, ttl := range []time.Duration{time.Second, 0, -1} {
		v, err := c.GetOrLoadTTL(t.Context(), k, func(context.Context, int) (int, time.Duration, error) { return 7, ttl, nil })
		w, err2 := b.GetOrLoadTTL(t.Context(), k, func(context.Context, int) ([]byte, time.Duration, error) { return []byte("7"), ttl, nil })
		if v != 7 || string(w) != "7" || err != nil || err2 != nil {
			t.Errorf("TTL %v: %d, %v; %q, %v", ttl, v, err, w, err2)
		}
	}
	check := func(k int, want bool) {
		t.Helper()
		_, ok := c.Get(k)
		_, ok2 := b.Get(k)
		if ok != want || ok2 != want {
			t.Errorf("key %d is there: %v, %v; want %v", k, ok, ok2, want)
		}
	}
	check(0, true)
	check(1, true)
	check(2, false)
	clk.add(time.Second)
	check(0, false)
	clk.add(24 * time.Hour)
	check(1, true)
	failed := fmt.Errorf("no")
	if _, err := c.GetOrLoadTTL(t.Context(), 5, func(context.Context, int) (int, time.Duration, error) { return 0, 0, failed }); err != failed {
		t.Errorf("the error is %v", err)
	}
	check(5, false)
}

func TestCloseInOnEvictPanicsAndDoesNotHang(t *testing.T) {
	var c *Cache[int, int]
	said := ""
	c = newCache(t, Options[int, int]{MaxBytes: 1 << 20, OnEvict: func(k, _ int, _ Reason) {
		if k == 0 {
			c.Delete(1) // which calls OnEvict in turn
		}
		defer func() { said += fmt.Sprint(recover(), ";") }()
		_ = c.Close()
	}})
	for k := range 2 {
		if err := c.Set(k, k); err != nil {
			t.Fatal(err)
		}
	}
	c.Delete(0)
	if strings.Count(said, "Close called by OnEvict") != 2 {
		t.Errorf("Close said %q, want a panic each time", said)
	}
	if err := c.Set(1, 1); err != nil {
		t.Errorf("the cache is closed: %v", err)
	}
}
