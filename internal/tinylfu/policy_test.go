package tinylfu

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

func TestLinksAre16Bytes(t *testing.T) {
	if n := unsafe.Sizeof(Links{}); n != 16 {
		t.Errorf("Links are %d bytes", n)
	}
	if n := unsafe.Sizeof(Links{}) + 2; n != entryMemory {
		t.Errorf("an entry of a trial has %d bytes, and is counted as %d", n, entryMemory)
	}
}

// ratio makes requests and returns the part of hits.
func (c *cache) ratio(n int, next func() uint32) float64 {
	hits := 0
	for range n {
		if c.get(next(), 1) {
			hits++
		}
	}
	c.check()
	return float64(hits) / float64(n)
}

// loop returns keys from one to another, over and over.
func loop(from, to uint32) func() uint32 {
	at := from
	return func() uint32 {
		if at++; at == to {
			at = from
		}
		return at
	}
}

func TestASmallCacheWorks(t *testing.T) {
	for _, capacity := range []uint64{0, 1, 2, 10, 50} {
		c := newCache(t, 1000, capacity)
		rng := rand.New(rand.NewPCG(1, 1))
		got := c.ratio(20_000, func() uint32 { return uint32(rng.ExpFloat64() * 5) })
		// The keys have probabilities of 0.18, 0.15, … e^-(k/5): the best that can
		// be held make up 1-e^-(capacity/5).
		want := map[uint64]float64{0: 0, 1: 0.05, 2: 0.17, 10: 0.75, 50: 0.99}[capacity]
		if got < want || len(c.held) > int(capacity) {
			t.Errorf("capacity %d: hit ratio %.3f with %d entries, want at least %.2f", capacity, got, len(c.held), want)
		}
	}
}

func TestAScanDoesNotFlushWhatIsHot(t *testing.T) {
	c := newCache(t, 200_000, 1000)
	rng := rand.New(rand.NewPCG(1, 1))
	hot := func() uint32 { return rng.Uint32N(800) }
	c.ratio(20_000, hot)
	c.ratio(100_000, loop(1000, 190_000)) // each key once
	if got := c.ratio(800, hot); got < 0.7 {
		t.Errorf("hit ratio %.2f of hot keys after a scan, want 0.7", got)
	}
}

func TestALoopKeepsWhatFits(t *testing.T) {
	c := newCache(t, 2000, 1000)
	c.ratio(20*1500, loop(0, 1500))
	if got := c.ratio(1500*5, loop(0, 1500)); got < 0.6 {
		t.Errorf("hit ratio %.2f of a loop of 1500 keys with room for 1000, want 0.6 (LRU has none)", got)
	}
}

func TestTheWindowGrowsForRecencyAndShrinksForALoop(t *testing.T) {
	const keys = 200_000
	c := newCache(t, keys, 1000)
	// Each key is requested three times, 400 requests apart, and never again:
	// frequency says nothing.
	next, step := uint32(0), 0
	recent := func() uint32 {
		step++
		if step%3 == 0 {
			next = (next + 1) % (keys - 1000)
		}
		return (next + keys - 1000 - uint32(step%3)*133) % (keys - 1000)
	}
	c.ratio(60_000, recent)
	if got := c.ratio(20_000, recent); got < 0.6 || c.p.Window() < 0.2 {
		t.Errorf("recent keys: hit ratio %.2f with a window of %.2f, want 0.6 and 0.2", got, c.p.Window())
	}
	c.ratio(100_000, loop(keys-1500, keys))
	if got := c.ratio(15_000, loop(keys-1500, keys)); got < 0.5 || c.p.Window() > 0.1 {
		t.Errorf("then a loop: hit ratio %.2f with a window of %.2f, want 0.5 and 0.1", got, c.p.Window())
	}
}

func TestOldHotKeysGiveWayToNewOnes(t *testing.T) {
	c := newCache(t, 10_000, 500)
	rng := rand.New(rand.NewPCG(1, 1))
	for part := range uint32(5) {
		hot := func() uint32 { return part*1000 + rng.Uint32N(450) }
		c.ratio(20_000, hot)
		if got := c.ratio(5000, hot); got < 0.9 {
			t.Errorf("hit ratio %.2f of hot keys after they changed %d times, want 0.9", got, part)
		}
	}
}

func TestALargeEntryDoesNotFlushSmallHotOnes(t *testing.T) {
	c := newCache(t, 20_000, 100_000)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		c.get(rng.Uint32N(800), 100)
	}
	for key := range uint32(500) { // each of half the cache, once
		c.get(10_000+key, 50_000)
		c.get(rng.Uint32N(800), 100)
	}
	hits := 0
	for range 2000 {
		if c.get(rng.Uint32N(800), 100) {
			hits++
		}
	}
	c.check()
	if hits < 1900 {
		t.Errorf("%d of 2000 requests for small entries hit after large ones, want 1900", hits)
	}
	// One that is requested as often as those it takes the place of together stays.
	for range 40 {
		c.get(15_000, 1000)
		for range 20 {
			c.get(rng.Uint32N(800), 100)
		}
	}
	if _, ok := c.held[15_001]; !ok {
		t.Error("a larger entry that is requested more often than ten small ones did not stay")
	}
}

func TestAnEntryAboveTheCapacityLeavesAlone(t *testing.T) {
	c := newCache(t, 100, 1000)
	for key := range uint32(9) {
		c.get(key, 100)
	}
	c.get(50, 1001)
	if len(c.held) != 9 || c.gone != 1 {
		t.Fatalf("%d entries, %d evicted, want 9 and 1", len(c.held), c.gone)
	}
	// Nor does one that became too large.
	c.held[1] = 2000
	c.p.Replace(1, 1, 2000)
	c.evict()
	c.check()
	if _, ok := c.held[1]; ok || len(c.held) != 8 {
		t.Errorf("%d entries, want the 8 others", len(c.held))
	}
}

func TestCapacityChanges(t *testing.T) {
	c := newCache(t, 100_000, 1000)
	rng := rand.New(rand.NewPCG(1, 1))
	next := func() uint32 { return uint32(rng.ExpFloat64() * 500) }
	c.ratio(20_000, next)
	for _, capacity := range []uint64{100, 0, 5000, 10, 2000} {
		c.p.SetCapacity(capacity)
		c.evict()
		c.check()
		c.ratio(40_000, next)
		got := c.ratio(10_000, next)
		if capacity >= 2000 && got < 0.95 {
			t.Errorf("capacity %d: hit ratio %.2f, want 0.95", capacity, got)
		}
		if len(c.held) > int(capacity) {
			t.Errorf("capacity %d: %d entries", capacity, len(c.held))
		}
	}
}

func TestAShrunkenCacheKeepsWhatIsHot(t *testing.T) {
	c := newCache(t, 20_000, 4000)
	rng := rand.New(rand.NewPCG(1, 1))
	hot := func() uint32 { return rng.Uint32N(200) }
	c.ratio(10_000, hot)
	c.ratio(4000, loop(1000, 20_000))
	c.p.SetCapacity(400)
	c.evict()
	if got := c.ratio(200, hot); got < 0.8 {
		t.Errorf("hit ratio %.2f of hot keys after nine tenths of the capacity went, want 0.8", got)
	}
}

func TestSameCallsSameChoices(t *testing.T) {
	run := func() (gone []uint32) {
		c := newCache(t, 5000, 500)
		rng := rand.New(rand.NewPCG(1, 1))
		for range 50_000 {
			key := uint32(rng.ExpFloat64()*1000) % 5000
			if ref := key + 1; c.nodes[ref].Held() {
				c.p.Hit(ref)
				continue
			}
			c.p.Enter(key+1, spread(key), 1)
			for ref, ok := c.p.Evict(); ok; ref, ok = c.p.Evict() {
				gone = append(gone, ref)
			}
		}
		return gone
	}
	a, b := run(), run()
	if len(a) == 0 || len(a) != len(b) {
		t.Fatalf("%d and %d victims", len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("victim %d is %d, then %d", i, a[i], b[i])
		}
	}
}

func TestMemoryIsCounted(t *testing.T) {
	const entries = 100_000
	c := newCache(t, entries, entries)
	c.ratio(entries, loop(0, entries))
	if b := c.p.Bytes(); b < 8*entries || b > 8*entries+80_000 {
		t.Errorf("%d bytes for %d entries; want 8 for each", b, entries)
	}
}

func TestAddOfAnEntryThatIsHeldPanics(t *testing.T) {
	c := newCache(t, 10, 10)
	c.get(1, 1)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	c.p.Enter(2, 1, 1)
}

// BenchmarkPolicy measures a cache of 1 M entries whose keys are all requested
// alike, which is the worst for the machine's caches.
func BenchmarkPolicy(b *testing.B) {
	const entries = 1 << 20
	n := make(nodes, entries+2)
	p := New(n, entries, 1, new(Chunk))
	rng := rand.New(rand.NewPCG(1, 1))
	for key := range uint32(entries) {
		p.Enter(key+1, rng.Uint32(), 1)
		if p.Need() > 0 {
			p.Give(new(Chunk))
		}
	}
	order := make([]uint32, entries)
	for i := range order {
		order[i] = rng.Uint32N(entries) + 1
	}
	b.Run("hit", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			p.Hit(order[i%entries])
		}
	})
	b.Run("hits64", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if at := i % entries; at%64 == 0 {
				p.Hits(order[at : at+64])
			}
		}
	})
	b.Run("add", func(b *testing.B) {
		free := uint32(entries + 1)
		for b.Loop() {
			p.Enter(free, rng.Uint32(), 1)
			free, _ = p.Evict()
		}
	})
}
