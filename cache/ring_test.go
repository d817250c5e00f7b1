package cache

import (
	"math/rand/v2"
	"testing"

	"quiesce/internal/pin"
)

// forge notes a hit that never was.
func (c *core) forge(hash, ref uint32) {
	p := pin.Disable()
	c.rings.Register(p.CPU.ID()) // or Close leaves it as it is for the next owner of the memory
	r := c.rings.At(p.CPU.ID())
	if w := &r.words[r.at%ringWords]; *w == 0 {
		*w = uint64(hash)<<32 | uint64(ref)
		r.at++
	}
	p.Enable()
}

func (c *core) drain() {
	c.mu.Lock()
	for range 1 + c.rings.Used() {
		c.drainLocked(1)
	}
	c.mu.Unlock()
}

// A word of a ring may be older than what is at its place by now.
func TestAStaleRingEntryIsNotFollowed(t *testing.T) {
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
	c.x.index.Walk(func(n nodePointer) { refs[c.x.entries.ref(n)] = true }, func() bool { return true })
	frequency := func() (sum int) {
		for k := range uint64(keys) {
			c.x.mu.Lock()
			sum += c.x.policy.Frequency(uint32(c.x.index.Hash(keyPointer(&k))))
			c.x.mu.Unlock()
		}
		return sum
	}
	before := frequency()
	for ref := range refs {
		for _, r := range []uint32{ref, ref + 1, ref - 1, ref ^ 1<<12} {
			if last(c.x, r) {
				c.x.forge(rng.Uint32(), r)
				c.x.drain()
			}
		}
	}
	if got := frequency(); got != before {
		t.Errorf("the frequencies of the entries changed from %d to %d", before, got)
	}
	checkPolicy(t, c.x)

	// Hits on entries that have left since, and whose memory has others by now.
	type word struct{ hash, ref uint32 }
	var words []word
	for k := range uint64(keys) {
		n := nodeOfKey(c.x, k)
		words = append(words, word{uint32(c.x.index.Hash(keyPointer(&k))), c.x.entries.ref(n)})
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
		now[c.x.entries.ref(nodeOfKey(c.x, k))] = true
	}
	next := func() (sum int) {
		for k := range uint64(keys) {
			k += keys
			sum += c.x.policy.Frequency(uint32(c.x.index.Hash(keyPointer(&k))))
		}
		return sum
	}
	before = next()
	reused := 0
	for _, w := range words {
		if now[w.ref] {
			reused++
		}
		if last(c.x, w.ref) {
			c.x.forge(w.hash, w.ref)
			c.x.drain()
		}
	}
	if got := next(); got != before || reused < keys/10 {
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
	k := 1
	hash := policyHash(c.x.index.Hash(keyPointer(&k)))
	for range 1000 {
		c.Get(1)
	}
	c.x.drain()
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	if f := c.x.policy.Frequency(hash); f < 5 {
		t.Errorf("an entry that was asked for a thousand times has a frequency of %d", f)
	}
}
