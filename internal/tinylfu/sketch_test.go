package tinylfu

import (
	"math/rand/v2"
	"testing"
)

// newSketch returns a sketch for so many entries that never halves.
func newSketch(entries int) *sketch {
	s := &sketch{period: 1 << 60}
	s.resize(entries)
	return s
}

// resize fits the sketch to so many entries, with as many chunks as it wants.
func (s *sketch) resize(entries int) {
	for was := -1; was != s.n; {
		for ; s.need(entries, 0) > 0; s.give(new(Chunk)) {
		}
		was = s.n
		s.fit(entries, 0)
	}
	for s.take() != nil {
	}
}

func TestEstimatesAreAtLeastTheCountAndRarelyMore(t *testing.T) {
	const entries = 10_000
	s := newSketch(entries)
	rng := rand.New(rand.NewPCG(1, 2))
	counted := map[uint32]int{}
	for range 4 * entries {
		h := spread(uint32(rng.ExpFloat64() * entries / 4))
		counted[h]++
		s.count(h)
	}
	over := 0
	for h, n := range counted {
		switch e := s.estimate(h); {
		case e < min(n, 15):
			t.Fatalf("estimate %d, counted %d", e, n)
		case e > min(n, 15):
			over++
		}
	}
	if over > len(counted)/10 {
		t.Errorf("%d of %d estimates are above the count", over, len(counted))
	}
	seen := 0
	for key := range uint32(1000) {
		if s.estimate(spread(1<<30+key)) > 1 {
			seen++
		}
	}
	if seen > 100 {
		t.Errorf("%d of 1000 hashes never counted have estimates above 1", seen)
	}
}

func TestCountersStopAt15(t *testing.T) {
	s := newSketch(8)
	for range 40 {
		s.count(42)
	}
	if e := s.estimate(42); e != 15 || s.counted != 15 {
		t.Errorf("estimate %d, %d counted; want 15, 15: what changes no counter does not age the sketch", e, s.counted)
	}
}

func TestAPeriodHalvesEveryCounterOnce(t *testing.T) {
	const entries = 5000 // several steps of the sweep
	s := newSketch(entries)
	for h := range uint32(entries) {
		for range h % 16 {
			s.count(h * 0x9e3779b9)
		}
	}
	before := make([]int, entries)
	for h := range before {
		before[h] = s.estimate(uint32(h) * 0x9e3779b9)
	}
	s.period = s.counted + 1
	s.count(0x12345678)
	if s.sweep != s.n {
		t.Fatalf("the sweep is at %d of %d, want all: a period was over", s.sweep, s.n)
	}
	for s.sweep > 0 {
		was := s.sweep
		s.halve(sweepBlocks)
		if s.sweep >= was {
			t.Fatal("the sweep stands still")
		}
	}
	for h, n := range before {
		if e := s.estimate(uint32(h) * 0x9e3779b9); e < n/2 || e > n/2+1 {
			t.Fatalf("estimate %d after the halving of %d", e, n)
		}
	}
}

func TestACountAdvancesTheSweepByABoundedStep(t *testing.T) {
	s := newSketch(sweepBlocks * blockBytes / entryBytes * 4)
	s.sweep = s.n
	s.count(1)
	if swept := s.n - s.sweep; swept != sweepBlocks {
		t.Errorf("one count swept %d blocks, want %d", swept, sweepBlocks)
	}
}

func TestGrowingKeepsEstimates(t *testing.T) {
	s := newSketch(100)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		s.count(spread(rng.Uint32N(100)))
	}
	var before [100]int
	for key := range before {
		before[key] = s.estimate(spread(uint32(key)))
	}
	s.resize(100_000)
	for key, n := range before {
		if e := s.estimate(spread(uint32(key))); e != n {
			t.Fatalf("estimate %d after growing, %d before", e, n)
		}
	}
	if b := s.bytes(); b < 8*100_000 || b > 8*100_000+blockBytes*chunkBlocks {
		t.Errorf("%d bytes for 100,000 entries; want 8 for each", b)
	}
}

// While a sweep is under way some blocks are halved and others are not yet. Blocks
// split and join then as well, and each counter is halved once.
func TestSplitsAndJoinsDuringASweepHalveOnce(t *testing.T) {
	const entries = 20_000
	for _, to := range []int{100_000, 2000} {
		for part := range 5 {
			s := newSketch(entries)
			for h := range uint32(1000) {
				for range h % 15 {
					s.count(spread(h))
				}
			}
			var before [1000]int
			for h := range before {
				before[h] = s.estimate(spread(uint32(h)))
			}
			s.sweep = s.n
			s.halve(s.n * part / 4)
			s.resize(to)
			s.finish()
			for h, n := range before {
				// Joined blocks share counters; a bit may have been dropped and come back.
				if e := s.estimate(spread(uint32(h))); e < n/2 || to > entries && e > n/2 {
					t.Fatalf("from %d to %d entries with %d/4 swept: estimate %d after the halving of %d", entries, to, part, e, n)
				}
			}
		}
	}
}

func TestJoiningKeepsWhatWasCounted(t *testing.T) {
	s := newSketch(200_000)
	rng := rand.New(rand.NewPCG(5, 6))
	counted := map[uint32]int{}
	for range 5000 {
		h := spread(rng.Uint32N(1000))
		counted[h]++
		s.count(h)
	}
	for n := 150_000; n > 1; n = n * 2 / 3 {
		s.resize(n)
		if most := s.wanted(n, 0) + excess(s.wanted(n, 0)); s.n > most || len(s.chunks) > most/chunkBlocks+1 {
			t.Fatalf("%d blocks in %d chunks for %d entries", s.n, len(s.chunks), n)
		}
		for h, had := range counted {
			if e := s.estimate(h); e < min(had, 15) {
				t.Fatalf("estimate %d with %d blocks; it was counted %d times", e, s.n, had)
			}
		}
	}
	s.resize(200_000) // the memory that came back has nothing of before
	low := 0
	for h := range uint32(1000) {
		if s.estimate(spread(1<<20+h)) < 15 {
			low++
		}
	}
	if low == 0 {
		t.Error("all counters are at their most")
	}
}

func TestTheMarkIsNotPartOfTheHash(t *testing.T) {
	s := newSketch(1000)
	for h := range uint32(100) {
		s.count(spread(h))
	}
	for h := range uint32(100) {
		if a, b := s.estimate(spread(h)), s.estimate(spread(h)^markBit); a != b {
			t.Fatalf("estimates %d and %d", a, b)
		}
	}
	l := NewLinks(7, true)
	l.setHash(6)
	if l.Hash() != 6 || !l.Marked() {
		t.Errorf("hash %d, marked %v; want 6, true", l.Hash(), l.Marked())
	}
	if l.setHash(8); l.Hash() != 8 || !l.Marked() {
		t.Errorf("hash %d, marked %v; want 8, true", l.Hash(), l.Marked())
	}
}

func TestTheSketchOfSmallEntriesIsSmall(t *testing.T) {
	s := &sketch{lean: true}
	const n = 1 << 20
	for _, c := range []struct{ size, bytes int }{{32, 2}, {54 * 3, 3}, {54 * 8, 8}, {4096, 8}} {
		if got := s.wanted(n, uint64(c.size*n)) * blockBytes / n; got != c.bytes {
			t.Errorf("%d bytes for entries of %d; want %d", got, c.size, c.bytes)
		}
	}
	if got := s.wanted(512, 512*32); got != chunkBlocks {
		t.Errorf("%d blocks for 512 small entries, want %d: there is a whole chunk", got, chunkBlocks)
	}
}

func TestWithoutMemoryTheSketchStaysAsItIs(t *testing.T) {
	s := &sketch{period: 1 << 60}
	s.give(new(Chunk))
	for h := range uint32(50_000) {
		s.fit(50_000, 0)
		s.count(spread(h))
	}
	if s.n != chunkBlocks || s.need(50_000, 0) != 97 || s.take() != nil {
		t.Errorf("%d blocks, %d chunks needed; want %d, 97", s.n, s.need(50_000, 0), chunkBlocks)
	}
}
