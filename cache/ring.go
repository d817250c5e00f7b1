package cache

import (
	"sync/atomic"
	"unsafe"

	"quiesce/internal/percpu"
	"quiesce/internal/pin"
	"quiesce/rcu"
)

// A hit is noted in a ring of the P and of the key's shard, in one word: half of the
// key's hash, and the number of the node. Nobody else writes the line, and the shard's
// policy hears of it later, many at a time.
//
// The owner, pinned to the P, stores a word where it finds none, and moves on; if
// there is one, the ring is full and the hit is lost. Whoever holds shard.mu drains:
// it takes the words in their order and clears each. So a word has one writer at a
// time: the owner while it is 0, the drain while it is not. ord:ring
//
// A word says that there was a hit, and nothing else. By the time that it is drained
// the node may be free, its memory another entry's, a bucket, or a page of the
// system's. The drain therefore does not follow it, but asks the map whether it has
// that very node in the bucket of that hash, and then the node for its hash: it may be
// another shard's, but the section keeps what the map had. A node of this hash is this
// shard's: its policy has it as long as the map has, which is as long as shard.mu is
// held (shard.go). If the memory is another entry's, it is found only if that has the
// same hash, to 31 bits; then one hit is attributed to the wrong entry.
type ring struct {
	at     uint64 // of the next word; the owner's, as is the next
	known  uint64 // Register was called
	hits   uint64 // the owner's; others read them
	misses uint64
	seen   uint64 // of the next word to drain; protected by shard.mu
	_      [percpu.Line - 5*8]byte
	words  [ringWords]uint64
}

const (
	ringWords = 64 // as many as a batch of the policy's. Untuned
	// lostEvery is how many hits are lost before another attempt to drain. Untuned.
	lostEvery = 64
	// sampleEvery is how many full rings are left full while no new key is stored. Untuned.
	sampleEvery = 16
)

// ringSize is the size of a ring: whole lines, since rings of shards are in a row.
const ringSize = unsafe.Sizeof(ring{})

var _ [-(ringSize % percpu.Line)]struct{}

// ringOf returns the ring of a P and a shard.
func (c *core) ringOf(id int, shard uintptr) *ring {
	return (*ring)(unsafe.Add(unsafe.Pointer(c.rings.At(id)), shard*ringSize))
}

// hit notes a hit on the P that the caller is pinned to, and returns the shard whose
// ring should be drained, if it should.
//
//go:norace
func (c *core) hit(p pin.Section, h *header, n unsafe.Pointer) (full *shard) {
	hash := h.links.Hash()
	i := c.shardNumber(hash)
	r := (*ring)(unsafe.Add(unsafe.Pointer(c.rings.At(p.CPU.ID())), i*ringSize))
	r.hits++ // ord:stat
	w := &r.words[r.at%ringWords]
	if *w != 0 { // ord:ring
		if r.known++; r.known%lostEvery == 0 {
			return &c.shards[i]
		}
		return nil
	}
	*w = uint64(hash>>1)<<32 | uint64(c.numbers.ref(n)) // by mapHash; ord:ring
	r.at++                                              // ord:ring
	if r.known == 0 {
		c.rings.Register(p.CPU.ID())
		r.known = 1
	}
	if r.words[r.at%ringWords] != 0 { // ord:ring
		return &c.shards[i]
	}
	return nil
}

// miss counts a miss, in the ring of the first shard.
//
//go:norace
func (c *core) miss(p pin.Section) {
	r := c.rings.At(p.CPU.ID())
	r.misses++ // ord:stat
	if r.known == 0 {
		c.rings.Register(p.CPU.ID())
		r.known = 1
	}
}

// relieve drains the ring of this P, unless another goroutine holds the lock.
//
//go:noinline
func (s *shard) relieve() {
	if !s.begin() { // its caller has left its section
		return
	}
	if s.mu.TryLock() {
		if s.idle++; s.growsLocked() || s.idle >= sampleEvery {
			s.idle = 0
			s.drainLocked(1)
		}
		s.mu.Unlock()
	}
	s.end()
}

// drainAtOnce is how many hits a Set drains at the least: the policy hears of many in
// a row faster than of each alone, since its cache misses overlap. Where there are few
// entries one hit matters more.
func (s *shard) drainAtOnce() uint64 { return min(ringWords/2, uint64(s.policy.Len())/64+1) }

// growsLocked reports whether new keys were stored since rings were drained. While none
// are, nothing is evicted, but where values become larger, and the policy hears of a
// sample of the hits, because each costs it some cache misses.
func (s *shard) growsLocked() bool { return s.entered() != s.drained }

// entered is how many new keys were stored.
func (s *shard) entered() uint64 { return s.counts.sets - s.counts.gone[Replaced] }

// drainLocked drains the ring of this P if there are as many hits in it as least, or
// else the next one in turn: not both, for others wait for the lock.
func (s *shard) drainLocked(least uint64) {
	s.drained = s.entered()
	p := pin.Disable()
	here := p.CPU.ID()
	p.Enable()
	if n := s.c.rings.Used(); !s.drainRingLocked(s.c.ringOf(here, s.i), least) && n > 1 {
		if s.turn++; s.turn >= n {
			s.turn = 0
		}
		s.drainRingLocked(s.c.ringOf(s.turn, s.i), least)
	}
}

// drainRingLocked tells the policy about the hits in a ring, if there are at least so
// many, which it reports.
//
//go:norace
func (s *shard) drainRingLocked(r *ring, least uint64) bool {
	if atomic.LoadUint64(&r.at)-r.seen < least { // ord:ring
		return false
	}
	var refs [ringWords]uint32
	n := 0
	g := rcu.ReadLock() // for Holds
	for range ringWords {
		at := &r.words[r.seen%ringWords]
		w := atomic.LoadUint64(at) // ord:ring
		if w == 0 {
			break
		}
		*at = 0 // ord:ring
		r.seen++
		ref := uint32(w)
		if !s.entries.known(ref) {
			continue
		}
		node := s.entries.node(ref)
		hash := uint32(w >> 32)
		if node == nil || !s.c.index.Holds(hash, node) || headerOf(node).mapHash() != hash {
			continue // only a node of the map is looked at
		}
		if ref == s.guest {
			s.admitGuestLocked()
			continue
		}
		refs[n] = ref
		n++
	}
	g.Unlock()
	s.policy.Hits(refs[:n])
	return true
}
