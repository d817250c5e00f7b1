package cache

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/testkit"
)

// left counts what OnEvict was told, by reason.
type left struct{ n [reasons]atomic.Uint64 }

func (l *left) add(why Reason) { l.n[why].Add(1) }

// check compares with Stats.
func (l *left) check(t *testing.T, s Stats) {
	t.Helper()
	want := [reasons]uint64{s.Evictions, s.Expirations, s.Deletes, s.Replaced, s.Cleared, s.Dropped}
	for why := range reasons {
		if got := l.n[why].Load(); got != want[why] {
			t.Errorf("OnEvict was called %d times with %v, Stats has %d", got, why, want[why])
		}
	}
}

// values of Bytes say what they are.
func value(key string, n int) []byte {
	return []byte(strings.Repeat(key+";", n/(len(key)+1)+1)[:n])
}

func isValue(key string, v []byte) bool { return string(v) == string(value(key, len(v))) }

// A model: what the cache has must be what was last set, whatever it has evicted.
func TestCacheAgreesWithAModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			type entry struct {
				v        uint64
				deadline time.Time
			}
			clock := newClock()
			var mu sync.Mutex // the service calls OnEvict too
			model := map[uint64]entry{}
			var setting atomic.Uint64 // a key whose old value may be evicted for the new one
			var gone left
			c := newCache(t, Options[uint64, [8]uint64]{
				MaxBytes: 256 << 10,
				Now:      clock.Now,
				OnEvict: func(k uint64, v [8]uint64, why Reason) {
					mu.Lock()
					defer mu.Unlock()
					gone.add(why)
					if v[0] != k {
						t.Errorf("OnEvict(%d, %v, %v)", k, v, why)
					}
					e, ok := model[k]
					if why == Evicted && (!ok || e.v != v[1]) && k != setting.Load() {
						t.Errorf("%d was evicted with value %d, and has %d", k, v[1], e.v)
					}
					if e.v == v[1] && (why == Evicted || why == Expired) {
						delete(model, k)
					}
				},
			})
			put := func(k uint64, e entry) {
				mu.Lock()
				defer mu.Unlock()
				model[k] = e
			}
			drop := func(k uint64) {
				mu.Lock()
				defer mu.Unlock()
				delete(model, k)
			}
			rng := rand.New(rand.NewPCG(seed, 1))
			keys := []uint64{20, 1500, 5000, 20000}[seed]
			for i := range uint64(60_000) {
				k := rng.Uint64N(keys)
				now := clock.Now()
				mu.Lock()
				e, ok := model[k]
				mu.Unlock()
				ok = ok && (e.deadline.IsZero() || now.Before(e.deadline))
				setting.Store(k)
				switch op := rng.IntN(100); {
				case op < 40:
					v, got := c.Get(k)
					if got != ok || got && (v[0] != k || v[1] != e.v) {
						t.Fatalf("Get(%d) = %v, %v; want %v, %v", k, v[:2], got, e.v, ok)
					}
				case op < 70:
					put(k, entry{v: i})
					if err := c.Set(k, [8]uint64{k, i}); err != nil {
						t.Fatal(err)
					}
				case op < 80:
					ttl := time.Duration(rng.ExpFloat64() * float64(time.Minute))
					if op == 70 {
						ttl *= 1000
					}
					e := entry{v: i}
					if ttl > 0 {
						e.deadline = now.Add(ttl)
					}
					put(k, e)
					if err := c.SetTTL(k, [8]uint64{k, i}, ttl); err != nil {
						t.Fatal(err)
					}
				case op < 85:
					if !ok {
						put(k, entry{v: i})
					}
					stored, err := c.SetIfAbsent(k, [8]uint64{k, i})
					if err != nil || stored == ok {
						t.Fatalf("SetIfAbsent(%d) = %v, %v; it is there: %v", k, stored, err, ok)
					}
				case op < 95:
					if c.Delete(k) != ok {
						t.Fatalf("Delete(%d) = %v", k, !ok)
					}
					drop(k)
				case op < 99:
					clock.add(time.Duration(rng.ExpFloat64() * float64(time.Second)))
				case i%10 == 0:
					clock.add(time.Duration(rng.ExpFloat64() * float64(time.Hour)))
					c.x.expire()
				}
				if i == 30_000 && seed%2 == 0 {
					c.Clear()
					mu.Lock()
					clear(model)
					mu.Unlock()
				}
			}
			c.x.expire()
			// The service may have taken some out by then, and tell of them a moment later.
			testkit.Eventually(t, 20*time.Second, "OnEvict was called for all that expired", func() bool {
				return gone.n[Expired].Load() == c.Stats().Expirations
			})
			now := clock.Now()
			mu.Lock()
			defer mu.Unlock()
			for k, e := range model {
				if !e.deadline.IsZero() && !now.Before(e.deadline) {
					// The wheel frees what is older than a tick.
					if now.Sub(e.deadline) > 1<<tickBits {
						t.Errorf("%d expired %v ago, and is still there", k, now.Sub(e.deadline))
					}
					delete(model, k)
				}
			}
			n := 0
			for k, v := range c.All() {
				if e, ok := model[k]; !ok || e.v != v[1] || v[0] != k {
					t.Errorf("All shows %d: %v; want %v, %v", k, v[:2], e, ok)
				}
				n++
			}
			if n != len(model) {
				t.Errorf("All shows %d entries, the model has %d", n, len(model))
			}
			gone.check(t, c.Stats())
			checkPolicy(t, c.x)
		})
	}
}

// checkPolicy checks that map, policies and wheels have the same entries.
func checkPolicy(t *testing.T, c *core) {
	t.Helper()
	have := make([]int, len(c.shards))
	c.index.Walk(func(n nodePointer) { have[c.shardOf(uint64(headerOf(n).mapHash())).i]++ }, func() bool { return true })
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		if got := s.lenLocked(); got != have[i] {
			t.Errorf("the map has %d entries of shard %d, its policy %d with the guest", have[i], i, got)
		}
		n += s.lenLocked()
		s.mu.Unlock()
	}
	if got := c.index.Len(); got != n {
		t.Errorf("the map has %d entries, the policies %d with the guests", got, n)
	}
}

func TestCloseWhileTheCacheIsUsed(t *testing.T) {
	for range 20 {
		c, err := New(Options[int, [10]int]{MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		started := make(chan struct{}, 4)
		done := testkit.AsyncN(4, func(w int) {
			defer func() {
				if r := recover(); r != nil && !strings.Contains(fmt.Sprint(r), "of a closed cache") {
					t.Error(r)
				}
			}()
			for i := 0; ; i++ {
				if err := c.Set(i%5000, [10]int{i}); err != nil {
					return
				}
				c.Get(i * 7 % 5000)
				c.View(i*11%5000, func(v *[10]int) {})
				if i == 1000 {
					started <- struct{}{}
				}
			}
		})
		for range 4 {
			<-started
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		testkit.Within(t, "the users end", done)
	}
}
