package tinylfu

// Policy decides which entries of a cache stay. It is not safe for concurrent
// use: its caller holds a lock.
type Policy[E Entries] struct {
	core[E]
	counts sketch
	trials trials

	touched uint64 // keeps what Hits loads; nothing reads it

	_ [128]byte // what follows is another policy's, under another lock
}

// atATime are as many hits as a first-level cache has room for: five lines each.
const atATime = 64

// New returns a policy for entries whose sizes sum up to at most the capacity, with
// the first chunk of its sketch. What it chooses depends on the calls and the seed
// alone.
func New[E Entries](entries E, capacity, seed uint64, first *Chunk) *Policy[E] {
	p := &Policy[E]{}
	p.counts.give(first)
	p.entries, p.sketch, p.random = entries, &p.counts, seed|1
	p.arm = arms[0]
	p.SetCapacity(capacity)
	return p
}

// SetCapacity changes the capacity. If it is below what the entries have, Evict
// has victims.
func (p *Policy[E]) SetCapacity(capacity uint64) {
	p.capacity = capacity
	p.split()
	p.trials.scale(p.size, p.Len(), capacity)
}

// Enter takes in an entry that the policy does not hold, and counts a request
// that missed. Evict may have victims then, and the new entry be among them.
func (p *Policy[E]) Enter(ref, hash, size uint32) {
	hash &^= markBit
	p.count(hash)
	p.add(ref, hash, size)
	p.try(hash, size)
}

// Hit counts a request for an entry that the policy holds.
func (p *Policy[E]) Hit(ref uint32) {
	l := p.entries.Links(ref)
	p.count(l.hash)
	p.hit(ref, l)
	p.try(l.Hash(), l.Size())
}

// Hits is Hit for many entries. It first touches the memory that they need, which
// the processor then fetches at the same time: in a large cache that is what a
// hit costs.
func (p *Policy[E]) Hits(refs []uint32) {
	touched := uint64(0)
	for ; len(refs) > 0; refs = refs[min(len(refs), atATime):] {
		batch := refs[:min(len(refs), atATime)]
		for _, ref := range batch {
			touched += uint64(p.entries.Links(ref).hash)
		}
		for _, ref := range batch {
			l := p.entries.Links(ref)
			b, _ := p.counts.block(l.hash)
			touched += b[0]
			if l.list() != window { // its neighbours are left alone
				continue
			}
			if l.next != 0 {
				touched += uint64(p.entries.Links(l.next).hash)
			}
			if l.prev != 0 {
				touched += uint64(p.entries.Links(l.prev).hash)
			}
		}
		for _, ref := range batch {
			p.Hit(ref)
		}
	}
	p.touched = touched
}

// Replace puts another entry, or the same with another size, in the place of
// one that the policy holds, and counts a request for it. Both have the same
// hash. Evict may have victims then.
func (p *Policy[E]) Replace(old, ref, size uint32) {
	l := p.entries.Links(old)
	hash := l.Hash()
	if size <= l.Size() || uint64(size) <= p.windowMax {
		p.exchange(old, ref, size)
		p.Hit(ref)
		return
	}
	// It has to be worth the room that it takes.
	p.remove(old, l)
	p.count(hash)
	p.add(ref, hash, size)
	p.try(hash, size)
}

// exchange puts ref where old is.
func (p *Policy[E]) exchange(old, ref, size uint32) {
	l := p.entries.Links(old)
	q := &p.lists[l.list()]
	q.size += uint64(size) - l.size()
	p.size += uint64(size) - l.size()
	l.set(l.list(), size)
	if old == ref {
		return
	}
	n := p.entries.Links(ref)
	n.next, n.prev, n.where = l.next, l.prev, l.where
	n.setHash(l.Hash())
	l.set(none, 0)
	if n.prev != 0 {
		p.entries.Links(n.prev).next = ref
	} else {
		q.oldest = ref
	}
	if n.next != 0 {
		p.entries.Links(n.next).prev = ref
	} else {
		q.newest = ref
	}
	if p.candidate == old {
		p.candidate = ref
	}
}

// Remove drops an entry that the policy holds: it was deleted, or expired.
func (p *Policy[E]) Remove(ref uint32) {
	l := p.entries.Links(ref)
	p.trials.remove(l.Hash())
	p.remove(ref, l)
}

// Evict drops the next entry that has to leave; ok is false if there is room
// for all. It is called after Enter, Replace and SetCapacity until ok is false.
func (p *Policy[E]) Evict() (ref uint32, ok bool) { return p.evict() }

// Frequency estimates how often a hash was requested of late, from 0 to 15.
func (p *Policy[E]) Frequency(hash uint32) int { return p.counts.estimate(hash) }

// Window is the part of the capacity that the window has now.
func (p *Policy[E]) Window() float64 { return p.arm.window }

// Bytes is the memory that the policy has: chunks, and what the trials take on the
// Go heap, at most 64 KiB. None of it holds pointers to entries.
func (p *Policy[E]) Bytes() int { return p.counts.bytes() + p.trials.bytes() }

// SizesAreBytes says so: then the sketch takes less for small entries.
func (p *Policy[E]) SizesAreBytes() { p.counts.lean = true }

// Need is how many chunks the sketch lacks for the entries that there are, or less
// than 0 if it has chunks to give back. Without them it estimates less well.
func (p *Policy[E]) Need() int { return p.counts.need(p.Len()+1, p.size) }

// Give gives the sketch a chunk. It is the policy's until Take returns it.
func (p *Policy[E]) Give(c *Chunk) { p.counts.give(c) }

// Take returns a chunk that the sketch does not use, or nil.
func (p *Policy[E]) Take() *Chunk { return p.counts.take() }

// Fit lets the sketch follow the number of entries by one step. Each request does so.
func (p *Policy[E]) Fit() { p.counts.fit(p.Len()+1, p.size) }

// ChunkBytes is the memory of the sketch.
func (p *Policy[E]) ChunkBytes() int { return p.counts.bytes() }

// Chunks returns all chunks of a policy that is not used any more.
func (p *Policy[E]) Chunks() []*Chunk { return p.counts.chunks }

// count notes a request in the sketch, which has a place for every entry.
func (p *Policy[E]) count(hash uint32) {
	n := p.Len() + 1
	p.counts.fit(n, p.size)
	p.counts.period = max(periodPerEntry*n, leastPeriod)
	p.counts.count(hash)
}

// try shows a request to the trials, and follows their verdict.
func (p *Policy[E]) try(hash, size uint32) {
	t := &p.trials
	if t.each == nil && p.size >= p.capacity/startPart {
		t.start(p.sketch, p.random, startPart*p.Len())
		t.scale(p.size, p.Len(), p.capacity)
	}
	if uint64(hash) >= t.below {
		return
	}
	if a, ok := t.request(hash, size); ok {
		p.arm = a
		t.scale(p.size, p.Len(), p.capacity)
		p.split()
	}
}
