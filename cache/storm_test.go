package cache

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/depcheck"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

// The budget holds, whatever the sizes, and readers keep what they look at.
func TestCB_MemoryStaysBelowTheLimitWhileSizesDrift(t *testing.T) {
	limit := int64(8 << 20)
	if raceOrPoison {
		limit = 3 << 20
	}
	var gone left
	c, err := NewBytes(Options[string, []byte]{
		MaxBytes: limit,
		OnEvict: func(k string, v []byte, why Reason) {
			gone.add(why)
			if !isValue(k, v) {
				t.Errorf("OnEvict of %q, %v: a value of %d bytes is not what was set", k, why, len(v))
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	sizes := []int{20, 5000, 100, 20_000, 400, 1500, 12}
	if !testkit.Long() {
		sizes = sizes[1:4] // a round of small ones is long
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for r := range 1 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(r), 2))
			for !stop.Load() {
				k := fmt.Sprint("key", rng.IntN(200_000))
				g := rcu.ReadLock()
				v, ok := c.GetGuarded(g, k)
				for range 3 {
					if ok && !isValue(k, v) {
						t.Errorf("%q has a value of %d bytes that is not what was set", k, len(v))
					}
					testkit.SpinFor(20 * time.Microsecond)
				}
				g.Unlock()
			}
		})
	}
	rng := rand.New(rand.NewPCG(3, 3))
	for round, size := range sizes {
		stored := int64(0)
		sets, busy := 0, 0
		for ; stored < 2*limit; sets++ {
			n := size/2 + rng.IntN(size)
			k := fmt.Sprint("key", rng.IntN(200_000))
			if err := c.Set(k, value(k, n)); err != nil {
				busy++
			} else if v, ok := c.Get(k); ok && !isValue(k, v) {
				t.Fatalf("Get(%q) after Set", k)
			}
			stored += int64(n) + 64
		}
		// A busy machine may suspend the reader in its section for longer than a Set
		// waits. raceOrPoison builds empty no sparse slabs.
		if busy > sets/20 && !raceOrPoison && !depcheck.Tagged {
			t.Errorf("size %d: %d of %d Sets failed", size, busy, sets)
		}
		if peak := c.x.pages.Stats().Peak; peak > limit {
			t.Errorf("round %d: %d bytes at most, above %d", round, peak, limit)
		}
		payload := int64(0)
		for k, v := range c.All() {
			payload += int64(footprint(len(k)+len(v)+headSize+4)) + 16
		}
		s := c.Stats()
		t.Logf("size %d: %d entries, %d %% of the limit, %+v", size, s.Entries, payload*100/limit, s)
		// Slabs waste up to an eighth, and pages have metadata; large objects are of
		// many classes, each with a slab that is partly filled.
		want := int64(75)
		if size >= 5000 {
			want = 60
		}
		if payload < limit*want/100 && !raceOrPoison {
			t.Errorf("size %d: the entries take %d %% of the limit, want %d", size, payload*100/limit, want)
		}
	}
	stop.Store(true)
	wg.Wait()
	gone.check(t, c.Stats())
	checkStats(t, c.Stats())
	checkPolicy(t, c.x)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
