package tinylfu

import "math"

// arms are what the trials compare. The first is the one to begin with. Shares
// lie closer where the best ones of most workloads do, and none is 1, so that a
// change of the arm does not turn over the whole cache.
var arms = [...]arm{{0.01, 1}, {0.08, 0}, {0.25, 0}, {0.50, 0}, {0.80, 0}}

const (
	// trialEntries is how many entries of a cache with equal sizes a trial
	// holds. Four times as many decide no better on the traces, half as many a
	// little worse.
	trialEntries = 512
	leastEntries = 16
	// startPart: the trials begin when the cache is full to this part. Before,
	// there is nothing to choose, and how many entries it will have is not known.
	startPart = 8
	// keep is what a verdict remembers of the one before: a round is as many
	// requests as a trial has entries, so most of what counts is ten rounds old
	// or younger.
	keep = 0.9
	// Another arm is taken if it has had more hits by a hundredth, and by one
	// and a half times the standard error of the difference.
	leastGain   = 0.01
	errors      = 1.5
	leastRound  = 50 // requests
	entryMemory = 16 + 2
)

// slots are the entries of a trial.
type slots []Links

func (s slots) Links(ref uint32) *Links { return &s[ref] }

// trial is a small cache that sees the requests for a sample of the keys, with
// a capacity in proportion. It is found by hash, and holds no values.
type trial struct {
	core[slots]
	heads []uint16 // chains of slots with the same low bits of the hash
	chain []uint16
	free  uint16 // chain of free slots
	hits  float64
}

// trials are a trial of each arm, and their results.
type trials struct {
	each     []trial
	below    uint64 // a hash below it is in the sample
	round    int    // requests in a round
	requests int    // in this one
	now      int    // the arm that the cache follows

	// Sums over the rounds, each weighted by a power of keep: of 1, of the
	// weights' squares, of hits, and of products of hits.
	weight, squares float64
	hits            [len(arms)]float64
	products        [len(arms)][len(arms)]float64
}

// start makes the trials of a cache that will have about so many entries.
func (t *trials) start(s *sketch, seed uint64, entries int) {
	n := min(max(entries, leastEntries), trialEntries)
	*t = trials{now: t.now}
	t.each = make([]trial, len(arms))
	for i := range t.each {
		c := &t.each[i]
		c.entries = make(slots, n+n/4+2)
		c.sketch, c.random, c.arm = s, seed, arms[i]
		c.heads = make([]uint16, n)
		c.chain = make([]uint16, len(c.entries))
		for j := 1; j < len(c.chain)-1; j++ {
			c.chain[j] = uint16(j + 1)
		}
		c.free = 1
	}
}

// scale gives the trials their part of the capacity, by how many entries a full
// cache would have.
func (t *trials) scale(size uint64, n int, capacity uint64) {
	if t.each == nil {
		return
	}
	entries := float64(capacity)
	if size > 0 {
		entries *= float64(n) / float64(size)
	}
	held := float64(len(t.each[0].heads))
	if c := &t.each[0]; held < trialEntries && entries > 4*held { // it was small, or the entries large
		t.start(c.sketch, c.random, int(min(entries, trialEntries)))
		held = float64(len(t.each[0].heads))
	}
	part := min(1, held/max(entries, 1))
	t.below = uint64(part * (1 << 32))
	t.round = max(leastRound, int(part*entries))
	for i := range t.each {
		c := &t.each[i]
		c.capacity = uint64(math.Ceil(float64(capacity) * part))
		c.split()
		c.fit()
	}
}

// request shows a request to all trials. At the end of a round in which another
// arm than the one in use proved better, it returns that.
func (t *trials) request(hash, size uint32) (a arm, ok bool) {
	for i := range t.each {
		t.each[i].request(hash, size)
	}
	if t.requests++; t.requests < t.round {
		return a, false
	}
	t.requests = 0
	best := t.sum()
	if best == t.now {
		return arms[t.now], true
	}
	// The mean difference in a round, and its standard error: rounds differ as
	// they were seen to differ, and by the chance of a count at least.
	m := (t.hits[best] - t.hits[t.now]) / t.weight
	v := (t.products[best][best]-2*t.products[best][t.now]+t.products[t.now][t.now])/t.weight - m*m
	noise := math.Sqrt((max(v, 0) + m) * t.squares / (t.weight * t.weight))
	if m > leastGain*t.hits[t.now]/t.weight+errors*noise {
		t.now = best
	}
	return arms[t.now], true
}

// sum adds a round to the sums, and returns the arm that has the most hits.
func (t *trials) sum() (best int) {
	t.weight = t.weight*keep + 1
	t.squares = t.squares*keep*keep + 1
	for i := range t.each {
		h := t.each[i].hits
		t.hits[i] = t.hits[i]*keep + h
		for j := range t.each {
			t.products[i][j] = t.products[i][j]*keep + h*t.each[j].hits
		}
	}
	best = t.now
	for i := range t.each {
		t.each[i].hits = 0
		if t.hits[i] > t.hits[best] {
			best = i
		}
	}
	return best
}

// remove takes a deleted entry out of the trials.
func (t *trials) remove(hash uint32) {
	if uint64(hash) >= t.below {
		return
	}
	for i := range t.each {
		c := &t.each[i]
		if ref := c.find(hash); ref != 0 {
			c.remove(ref, c.entries.Links(ref))
			c.forget(ref, hash)
		}
	}
}

// bytes is the trials' memory.
func (t *trials) bytes() (n int) {
	for i := range t.each {
		n += entryMemory*len(t.each[i].chain) + 2*len(t.each[i].heads)
	}
	return n
}

// request looks a key up, and takes it in if it is not there.
func (c *trial) request(hash, size uint32) {
	if ref := c.find(hash); ref != 0 {
		c.hit(ref, c.entries.Links(ref))
		c.hits++
		return
	}
	if c.free == 0 { // entries smaller than the cache's on average
		v := c.victim()
		l := c.entries.Links(v)
		c.remove(v, l)
		c.forget(v, l.Hash())
	}
	ref := c.free
	c.free = c.chain[ref]
	h := c.head(hash)
	c.chain[ref] = *h
	*h = ref
	c.add(uint32(ref), hash, size)
	c.fit()
}

// fit evicts until there is room for all.
func (c *trial) fit() {
	for v, ok := c.evict(); ok; v, ok = c.evict() {
		c.forget(v, c.entries.Links(v).Hash())
	}
}

// head is the chain that a hash is in.
func (c *trial) head(hash uint32) *uint16 {
	return &c.heads[uint64(hash*0x9e3779b1)*uint64(len(c.heads))>>32]
}

// find returns the slot that has a hash; 0 if none has.
func (c *trial) find(hash uint32) uint32 {
	for ref := *c.head(hash); ref != 0; ref = c.chain[ref] {
		if c.entries[ref].Hash() == hash {
			return uint32(ref)
		}
	}
	return 0
}

// forget frees the slot of an entry that left the lists.
func (c *trial) forget(ref, hash uint32) {
	at := c.head(hash)
	for *at != uint16(ref) {
		at = &c.chain[*at]
	}
	*at = c.chain[ref]
	c.chain[ref] = c.free
	c.free = uint16(ref)
}
