package tinylfu

import (
	"math/rand/v2"
	"testing"
)

// newSketch returns a sketch for so many entries that never halves.
func newSketch(entries int) *sketch {
	s := &sketch{}
	s.fit(entries)
	s.period = 1 << 60
	return s
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
	last := uint32(0x12345678)
	s.count(last)
	if s.sweep != 0 {
		t.Fatalf("the sweep is at %d of %d, want 0: a period was over", s.sweep, len(s.blocks))
	}
	for s.sweep < len(s.blocks) {
		was := s.sweep
		s.period = 1 << 60
		for range 15 { // counts that change nothing
			s.halve(sweepBlocks)
		}
		if s.sweep <= was {
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
	s := newSketch(sweepBlocks * entriesPerBlock * 4)
	s.sweep = 0
	s.count(1)
	if s.sweep != sweepBlocks {
		t.Errorf("one count swept %d blocks, want %d", s.sweep, sweepBlocks)
	}
}

func TestGrowingKeepsEstimates(t *testing.T) {
	s := newSketch(100)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		s.count(spread(rng.Uint32N(100)))
	}
	s.sweep = 1 // in the middle of a halving
	s.finish()
	var before [100]int
	for key := range before {
		before[key] = s.estimate(spread(uint32(key)))
	}
	s.fit(100_000)
	for key, n := range before {
		if e := s.estimate(spread(uint32(key))); e != n {
			t.Fatalf("estimate %d after growing, %d before", e, n)
		}
	}
	if b := s.bytes(); b < 8*100_000 || b > 16*100_000 {
		t.Errorf("%d bytes for 100,000 entries; want 8 to 16 for each", b)
	}
}
