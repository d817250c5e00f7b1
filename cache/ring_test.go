package cache

import (
	"math/rand/v2"
	"testing"

	"quiesce/internal/pin"
	"quiesce/internal/testkit"
)

// forge notes a hit that never was.
func (s *shard) forge(hash, ref uint32) {
	p := pin.Disable()
	s.c.rings.Register(p.CPU.ID()) // or Close leaves it as it is for the next owner of the memory
	r := s.c.ringOf(p.CPU.ID(), s.i)
	if w := &r.words[r.at%ringWords]; *w == 0 {
		*w = uint64(hash)<<32 | uint64(ref)
		r.at++
	}
	p.Enable()
}

func (s *shard) drain() {
	s.mu.Lock()
	for range 1 + s.c.rings.Used() {
		s.drainLocked(1)
	}
	s.mu.Unlock()
}

func (c *core) drain() {
	for i := range c.shards {
		c.shards[i].drain()
	}
}

// pending returns how many hits are in the rings of a shard.
func (s *shard) pending() (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.c.rings.Used() {
		r := s.c.ringOf(id, s.i)
		n += r.at - r.seen
	}
	return n
}

// A word of a ring may be older than what is at its place by now.
func TestAStaleRingEntryIsNotFollowed(t *testing.T) {
	t.Run("a shard", testStaleRingEntries)
	manyShards(t)
	t.Run("8 shards", testStaleRingEntries)
}

func testStaleRingEntries(t *testing.T) {
	c := newCache(t, Options[uint64, [6]uint64]{MaxBytes: 1 << 20})
	const keys = 2000
	for k := range uint64(keys) {
		if err := c.Set(k, [6]uint64{k}); err != nil {
			t.Fatal(err)
		}
	}
	c.x.drain()
	// Words that name what was there, from another key's hash: those of live
	// entries, of the middle of entries, of buckets and of free memory.
	rng := rand.New(rand.NewPCG(1, 1))
	refs := map[uint32]bool{}
	c.x.index.Walk(func(n nodePointer) { refs[c.x.numbers.ref(n)] = true }, func() bool { return true })
	sum := func(first uint64) (sum int) {
		for k := range uint64(keys) {
			sum += frequency(c.x, first+k)
		}
		return sum
	}
	before := sum(0)
	for ref := range refs {
		for _, r := range []uint32{ref, ref + 1, ref - 1, ref ^ 1<<12} {
			hash := rng.Uint32()
			if s := c.x.shardOf(uint64(hash)); last(s, r) {
				s.forge(hash, r)
				s.drain()
			}
		}
	}
	if got := sum(0); got != before {
		t.Errorf("the frequencies of the entries changed from %d to %d", before, got)
	}
	checkPolicy(t, c.x)

	// Hits on entries that have left since, and whose memory has others by now.
	type word struct{ hash, ref uint32 }
	var words []word
	for k := range uint64(keys) {
		_, hash := shardOfKey(c.x, k)
		words = append(words, word{hash >> 1, refOfKey(c.x, k)})
	}
	for k := range uint64(keys) {
		c.Delete(k)
	}
	c.m.Barrier()
	now := map[uint32]bool{}
	for k := range uint64(keys) {
		k += keys
		if err := c.Set(k, [6]uint64{k}); err != nil {
			t.Fatal(err)
		}
		now[refOfKey(c.x, k)] = true
	}
	before = sum(keys)
	reused := 0
	for _, w := range words {
		if now[w.ref] {
			reused++
		}
		if s := c.x.shardOf(uint64(w.hash)); last(s, w.ref) {
			s.forge(w.hash, w.ref)
			s.drain()
		}
	}
	if got := sum(keys); got != before || reused < keys/10 {
		t.Errorf("the frequencies changed from %d to %d; %d of %d entries lie where others did", before, got, reused, keys)
	}
	checkPolicy(t, c.x)
	c.Clear()
	checkPolicy(t, c.x)
	if n := c.Len(); n != 0 {
		t.Errorf("%d entries after Clear", n)
	}
}

func TestHitsOfManyGoroutinesReachThePolicy(t *testing.T) {
	c := newCache(t, Options[int, int]{MaxBytes: 1 << 20})
	if err := c.Set(1, 1); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		c.Get(1)
	}
	c.x.drain()
	if f := frequency(c.x, 1); f < 5 {
		t.Errorf("an entry that was asked for a thousand times has a frequency of %d", f)
	}
}

// While only values of present keys are replaced, nothing is evicted: a Set leaves the
// hits in the ring, and readers drain one full ring of some. The Set after that of a new
// key drains.
func TestHitsAreASampleWhileNoNewKeyIsStored(t *testing.T) {
	testkit.Procs(t, 1)
	c := newCache(t, Options[uint64, [6]uint64]{MaxBytes: 1 << 20})
	set := func(k uint64) {
		if err := c.Set(k, [6]uint64{k}); err != nil {
			t.Fatal(err)
		}
	}
	for k := range uint64(100) {
		set(k)
	}
	c.x.drain()
	const hits = ringWords / 2
	for range hits {
		c.Get(7)
	}
	pending := c.x.shards[0].pending
	for range 10 {
		set(7)
	}
	if n := pending(); n != hits {
		t.Errorf("%d of %d hits are in the ring after Sets of a key that is there", n, hits)
	}
	set(1000)
	set(7)
	if n := pending(); n != 0 {
		t.Errorf("%d hits are in the ring after Sets of a new key and of another", n)
	}
}
