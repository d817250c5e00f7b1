package cache

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"quiesce/internal/percpu"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/preempt"
)

// keyIn returns the least key from first on that is a shard's.
func keyIn(s *shard, first int) int {
	for k := first; ; k++ {
		if in, _ := shardOfKey(s.c, k); in == s {
			return k
		}
	}
}

// sumOfLimits returns what the shards' limits add up to.
func sumOfLimits(c *core) (sum uint64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		sum += s.limit
		s.mu.Unlock()
	}
	return sum
}

// What holds of a cache holds of one with several shards.
func TestACacheOfSeveralShards(t *testing.T) {
	manyShards(t)
	t.Run("clear", TestClearAndAll)
	t.Run("entries", TestMaxEntries)
	t.Run("load", TestAChangeThatComesWhileALoadIsStoredWins)
	t.Run("lost", TestACacheThatIsNotClosedIsCleanedUp)
	t.Run("negative", TestATimeToLiveThatHasPassed)
	t.Run("service", TestTheServiceFreesWhatExpiredAndEnds)
	t.Run("time", TestTimeToLive)
	t.Run("touch", TestTouchWhileEntriesComeAndGo)
	if testing.Short() && raceOrPoison { // they take long then
		return
	}
	t.Run("allocations", TestNothingIsAllocatedOnTheGoHeap)
	t.Run("bytes", TestSetMaxBytes)
	t.Run("close", TestCloseWhileTheCacheIsUsed)
	t.Run("model", TestCacheAgreesWithAModel)
	t.Run("share", TestCachesShareAnAllocator)
	t.Run("sparse", TestSparseSlabsAreEmptiedWhereEntriesHaveDeadlinesAndWhereNot)
	if testing.Short() {
		return
	}
	t.Run("drift", TestACacheWhoseSizesDriftedHasAsManyHitsAsAFreshOne)
	t.Run("limit", TestCB_MemoryStaysBelowTheLimitWhileSizesDrift)
	t.Run("reader", TestAReaderThatStaysDoesNotEmptyTheCache)
}

func TestTheNumberOfShards(t *testing.T) {
	testkit.KeepProcs(t)
	const mib = 1 << 20
	for _, c := range []struct {
		procs   int
		bytes   int64
		entries uint64
		want    int
	}{
		{2, leastBytes, 0, 1},
		{2, 64*mib - 1, 0, 1},
		{2, 64 * mib, 0, 2},
		{2, 250 * mib, 0, 4},
		{2, mostBytes, 0, 8},
		{3, mostBytes, 0, 8},
		{1, mostBytes, 0, 4},
		{20, mostBytes, 0, 64},
		{2, mostBytes, 1, 1},
		{2, mostBytes, 1<<16 - 1, 1},
		{2, mostBytes, 1 << 16, 2},
		{2, mostBytes, 1 << 30, 8},
		{2, 64 * mib, 1 << 30, 2},
	} {
		runtime.GOMAXPROCS(c.procs)
		if got := shardsFor(c.bytes, c.entries); got != c.want {
			t.Errorf("GOMAXPROCS=%d, %d bytes, %d entries: %d shards, want %d", c.procs, c.bytes, c.entries, got, c.want)
		}
	}
	runtime.GOMAXPROCS(2)
	c := newCache(t, Options[int, int]{MaxBytes: 256 * mib})
	for k := range 1000 {
		if err := c.Set(k, k); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.x.shards); n != 8 || c.Len() != 1000 || c.Bytes() > mib {
		t.Errorf("a cache of 256 MiB has %d shards, %d entries and %d bytes", n, c.Len(), c.Bytes())
	}
	if err := c.SetMaxBytes(leastBytes); err == nil {
		t.Errorf("SetMaxBytes leaves 8 shards %d bytes", leastBytes)
	}
	checkPolicy(t, c.x)
}

// Two shards' fields are a line apart, wherever the first begins.
func TestShardsShareNoLine(t *testing.T) {
	last := unsafe.Offsetof(shard{}.idle) + unsafe.Sizeof(shard{}.idle)
	if gap := unsafe.Sizeof(shard{}) - last; gap < percpu.Line-8 {
		t.Errorf("%d bytes between a shard's last field and the next one's first", gap)
	}
}

func TestShardsHaveEqualParts(t *testing.T) {
	manyShards(t)
	const most = 1003
	c := newCache(t, Options[int, int]{MaxEntries: most})
	if n := len(c.x.shards); n != 8 {
		t.Fatalf("%d shards", n)
	}
	for k := range 10 * most {
		if err := c.Set(k, k); err != nil {
			t.Fatal(err)
		}
		if v, ok := c.Get(k); !ok || v != k || c.Len() > most {
			t.Fatalf("after Set(%d): %d, %v; %d entries", k, v, ok, c.Len())
		}
	}
	if n := sumOfLimits(c.x); n != most || c.Len() != most {
		t.Errorf("the limits add up to %d, and there are %d entries, want %d", n, c.Len(), most)
	}
	for i := range c.x.shards {
		if n := c.x.shards[i].lenLocked(); n < most/8 || n > most/8+1 {
			t.Errorf("shard %d has %d entries", i, n)
		}
	}
	checkPolicy(t, c.x)
}

func TestAHitReachesThePolicyOfItsShardAlone(t *testing.T) {
	manyShards(t)
	c := newCache(t, Options[int, int]{MaxBytes: 1 << 20})
	for i := range c.x.shards {
		s := &c.x.shards[i]
		k := keyIn(s, 1000*i)
		if err := c.Set(k, k); err != nil {
			t.Fatal(err)
		}
		c.x.drain()
		for range ringWords / 2 {
			c.Get(k)
		}
		for j := range c.x.shards {
			if n := c.x.shards[j].pending(); (n != 0) != (i == j) {
				t.Errorf("shard %d has %d hits of a key of shard %d", j, n, i)
			}
		}
		c.x.drain()
		_, hash := shardOfKey(c.x, k)
		for j := range c.x.shards {
			if f := c.x.shards[j].policy.Frequency(hash); i == j && f < 10 || i != j && f != 0 {
				t.Errorf("shard %d says that a key of shard %d was asked for %d times", j, i, f)
			}
		}
	}
	checkPolicy(t, c.x)
}

// While a shard's lock is held, operations on keys of the others do not wait.
func TestShardsDoNotWaitForEachOther(t *testing.T) {
	if !preempt.RT() {
		t.Skip("the holder would keep its P, and the collector wait for it")
	}
	manyShards(t)
	clk := newClock()
	c := newCache(t, Options[int, int]{MaxBytes: 1 << 20, Now: clk.Now})
	for i := range c.x.shards {
		whileHeld(t, &c.x.shards[i], func() {
			other := &c.x.shards[(i+1)%len(c.x.shards)]
			k := keyIn(other, 0)
			for range 100 {
				if err := c.SetTTL(k, k, time.Hour); err != nil {
					t.Error(err)
				}
				if v, ok := c.Get(k); v != k || !ok || !c.Touch(k, time.Second) || !c.Delete(k) {
					t.Errorf("Get(%d) = %d, %v; or Touch or Delete did not find it", k, v, ok)
				}
				if err := c.SetTTL(k, k, time.Second); err != nil {
					t.Error(err)
				}
				clk.add(10 * time.Second)
				other.expire()
				if _, ok := c.Get(k); ok {
					t.Errorf("%d has not expired", k)
				}
			}
		})
	}
	checkPolicy(t, c.x)
}

// whileHeld calls fn while another goroutine holds the lock of a shard.
func whileHeld(t *testing.T, s *shard, fn func()) {
	t.Helper()
	locked, done := make(chan struct{}), make(chan struct{})
	holder := testkit.Async(func() {
		s.mu.Lock()
		close(locked)
		<-done
		s.mu.Unlock()
	})
	defer func() { close(done); <-holder }()
	<-locked
	testkit.Within(t, "operations on keys of another shard", testkit.Async(fn))
}

func TestWhatConcernsAllShardsReachesAll(t *testing.T) {
	manyShards(t)
	pages, err := page.New(page.Config{Limit: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	clk := newClock()
	c, err := New(Options[int, int]{Allocator: pages, Now: clk.Now})
	if err != nil {
		t.Fatal(err)
	}
	// fill gives every shard entries.
	fill := func(ttl time.Duration) {
		t.Helper()
		for k := range 500 {
			if err := c.SetTTL(k, k, ttl); err != nil {
				t.Fatal(err)
			}
		}
		for i := range c.x.shards {
			s := &c.x.shards[i]
			s.mu.Lock()
			if s.lenLocked() == 0 || ttl > 0 != (s.wheel.n > 0) {
				t.Errorf("shard %d has %d entries, %d in its wheel", i, s.lenLocked(), s.wheel.n)
			}
			s.mu.Unlock()
		}
	}
	fill(0)
	c.Clear()
	if s := c.Stats(); c.Len() != 0 || s.Cleared != 500 || s.Entries != 0 {
		t.Errorf("%d entries after Clear: %+v", c.Len(), s)
	}
	fill(time.Minute)
	clk.add(time.Hour)
	eventually(t, "the service has freed all", func() bool { return c.Len() == 0 })
	if s := c.Stats(); s.Expirations != 500 {
		t.Errorf("%+v", s)
	}
	fill(time.Minute)
	checkStats(t, c.Stats())
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	service.mu.Lock()
	for i := range c.x.shards {
		if _, ok := service.shards[&c.x.shards[i]]; ok {
			t.Errorf("the service looks after shard %d of a closed cache", i)
		}
	}
	service.mu.Unlock()
	if n := pages.Stats().InUse; n != 0 {
		t.Errorf("%d bytes are in use after Close", n)
	}
	if err := pages.Close(); err != nil {
		t.Error(err)
	}
}

// Whatever is asked for comes from all shards alike, at once or in small parts.
func TestShardsShrinkAlike(t *testing.T) {
	manyShards(t)
	for _, parts := range []int64{1, 300} {
		c := newCache(t, Options[int, [200]byte]{MaxBytes: 16 << 20})
		for k := range 30_000 {
			if err := c.Set(k, [200]byte{}); err != nil {
				t.Fatal(err)
			}
		}
		var before [mostShards]uint64
		held := int64(0)
		for i := range c.x.shards {
			before[i] = c.x.shards[i].size()
			held += int64(before[i])
		}
		need := held / 4
		for range parts {
			if freed, from := c.x.shrink(need / parts); freed < need/parts || from == 0 {
				t.Fatalf("asked for %d, it gave %d, shards %b", need/parts, freed, from)
			}
		}
		for i := range c.x.shards {
			if left := float64(c.x.shards[i].size()) / float64(before[i]); left < 0.6 || left > 0.9 {
				t.Errorf("in %d parts: of shard %d %.2f are left, of all 0.75", parts, i, left)
			}
		}
		if freed, _ := c.x.shrink(held); freed < held*7/10 || c.Len() != 0 {
			t.Errorf("asked for all, it gave %d of %d, and has %d entries", freed, held, c.Len())
		}
		checkPolicy(t, c.x)
	}
}

// Changes of MaxBytes that come at the same time leave all shards with parts of one.
func TestChangesOfMaxBytesReachAllShards(t *testing.T) {
	manyShards(t)
	c := newCache(t, Options[int, [200]byte]{MaxBytes: 8 << 20})
	for round := range 20 {
		<-testkit.AsyncN(4, func(w int) {
			if err := c.SetMaxBytes(int64(4<<20 + 1001*w + round)); err != nil {
				t.Error(err)
			}
		})
		want := c.Stats().MaxBytes
		if got := sumOfLimits(c.x); got != uint64(want) || c.x.most.Load() != mostOf(want) {
			t.Errorf("the limits add up to %d, MaxBytes is %d; the largest entry is %d", got, want, c.x.most.Load())
		}
	}
}

func TestEveryEntryOfSeveralShardsIsAccountedFor(t *testing.T) {
	manyShards(t)
	var gone left
	c, err := NewBytes(Options[int, []byte]{MaxBytes: 2 << 20, OnEvict: func(_ int, _ []byte, why Reason) { gone.add(why) }})
	if err != nil {
		t.Fatal(err)
	}
	steps := 20_000
	if testing.Short() || raceOrPoison {
		steps = 5000
	}
	var gets atomic.Uint64
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 7))
			v := make([]byte, 1000)
			for range steps {
				k := rng.IntN(20_000)
				switch op := rng.IntN(20); {
				case op < 8:
					c.Get(k)
					gets.Add(1)
				case op < 15:
					_ = c.Set(k, v[:rng.IntN(len(v))])
				case op < 17:
					_ = c.SetTTL(k, v[:rng.IntN(len(v))], time.Duration(rng.IntN(1000))*time.Microsecond)
				case op < 18:
					c.Touch(k, time.Duration(rng.IntN(2))*time.Millisecond)
				case op < 19 || rng.IntN(500) > 0:
					c.Delete(k)
				default:
					c.Clear()
				}
			}
		})
	}
	all.Wait()
	eventually(t, "OnEvict was called for all that expired", func() bool { return gone.n[Expired].Load() == c.Stats().Expirations })
	s := c.Stats()
	gone.check(t, s)
	checkStats(t, s)
	checkPolicy(t, c.x)
	if s.Hits+s.Misses != gets.Load() {
		t.Errorf("%d hits and %d misses of %d Gets", s.Hits, s.Misses, gets.Load())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
