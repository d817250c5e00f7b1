package tinylfu

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"quiesce/internal/fuzztape"
)

// nodes are the entries of a test's cache, by reference.
type nodes []Links

func (n nodes) Links(ref uint32) *Links { return &n[ref] }

// checkLists walks the lists both ways: every entry that is held is in exactly
// one, and the numbers and sums are right. held has the sizes of what has to be
// there.
func checkLists[E Entries](t *testing.T, p *core[E], held map[uint32]uint32) {
	t.Helper()
	seen := map[uint32]bool{}
	var total uint64
	for list := uint32(window); list < numLists; list++ {
		q := p.lists[list]
		n, sum, before := 0, uint64(0), uint32(0)
		for ref := q.oldest; ref != 0; ref = p.entries.Links(ref).next {
			l := p.entries.Links(ref)
			size, ok := held[ref]
			if !ok || seen[ref] || l.list() != list || l.Size() != size || l.prev != before {
				t.Fatalf("list %d has entry %d: held %v, twice %v, in list %d, size %d (want %d), prev %d (want %d)",
					list, ref, ok, seen[ref], l.list(), l.Size(), size, l.prev, before)
			}
			seen[ref], before = true, ref
			n++
			sum += l.size()
		}
		if q.newest != before || q.len != n || q.size != sum {
			t.Fatalf("list %d: newest %d, len %d, size %d; walked: %d, %d, %d", list, q.newest, q.len, q.size, before, n, sum)
		}
		total += sum
	}
	if len(seen) != len(held) || p.size != total || p.Len() != len(held) {
		t.Fatalf("%d entries of size %d in the lists, Len %d, Size %d; want %d entries", len(seen), total, p.Len(), p.size, len(held))
	}
}

// checkTrials does the same for the trials, whose chains have what the lists have.
func checkTrials[E Entries](t *testing.T, p *Policy[E]) {
	t.Helper()
	for i := range p.trials.each {
		c := &p.trials.each[i]
		held := map[uint32]uint32{}
		for _, h := range c.heads {
			for ref := h; ref != 0; ref = c.chain[ref] {
				held[uint32(ref)] = c.entries[ref].Size()
			}
		}
		checkLists(t, &c.core, held)
		free := 0
		for ref := c.free; ref != 0; ref = c.chain[ref] {
			free++
		}
		if free+len(held) != len(c.chain)-1 || c.size > c.capacity {
			t.Fatalf("trial %d: %d free and %d held of %d; size %d of %d", i, free, len(held), len(c.chain)-1, c.size, c.capacity)
		}
	}
}

// cache is a cache without values: it says what the policy holds.
type cache struct {
	t     *testing.T
	p     *Policy[nodes]
	nodes nodes
	held  map[uint32]uint32 // sizes
	gone  int
}

func newCache(t *testing.T, keys int, capacity uint64) *cache {
	n := make(nodes, keys+1)
	return &cache{t: t, p: New(n, capacity, 1, new(Chunk)), nodes: n, held: map[uint32]uint32{}}
}

// spread is a hash of a key.
func spread(key uint32) uint32 {
	h := uint64(key) * 0x9e3779b97f4a7c15
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	return uint32(h >> 32)
}

// evict does what a cache does after each change.
func (c *cache) evict() {
	for ref, ok := c.p.Evict(); ok; ref, ok = c.p.Evict() {
		if _, held := c.held[ref]; !held || c.nodes[ref].Held() {
			c.t.Fatalf("evicted entry %d: in the cache %v, still held %v", ref, held, c.nodes[ref].Held())
		}
		delete(c.held, ref)
		c.gone++
	}
	if c.p.Size() > c.p.Capacity() {
		c.t.Fatalf("size %d above the capacity %d", c.p.Size(), c.p.Capacity())
	}
}

// feed gives and takes chunks, as the cache does.
func (c *cache) feed() {
	if need := c.p.Need(); need > 0 {
		c.p.Give(new(Chunk))
	} else if need < 0 && c.p.Take() == nil {
		c.t.Fatalf("%d chunks are needed, and none is unused", need)
	}
}

// get is a request for a key, which is taken in if it is not there.
func (c *cache) get(key, size uint32) (hit bool) {
	ref := key + 1
	if _, hit = c.held[ref]; hit {
		c.p.Hit(ref)
		return true
	}
	c.held[ref] = size
	c.p.Enter(ref, spread(key), size)
	c.evict()
	c.feed()
	return false
}

func (c *cache) check() {
	c.t.Helper()
	checkLists(c.t, &c.p.core, c.held)
	checkTrials(c.t, c.p)
}

// operations carries out what a tape says.
func operations(t *testing.T, tape []byte) {
	const keys = 64
	// Two nodes for a key: a replacement is another node.
	c := newCache(t, 2*keys, 100)
	at := make([]uint32, keys)
	src := fuzztape.New(tape, 4000)
	for op := range src.Ops("gggggarrdc") {
		key := uint32(src.Arg(keys))
		ref := at[key]
		if _, ok := c.held[ref]; !ok {
			ref = 0
		}
		switch {
		case op == 'c': // another capacity
			c.p.SetCapacity(uint64(key) * 25)
			c.evict()
		case op == 'd' && ref != 0: // delete
			c.p.Remove(ref)
			delete(c.held, ref)
		case op == 'r' && ref != 0: // replace: by another node, or the same
			to, size := ref, uint32(src.Arg(200))
			if size%4 != 0 {
				to = 4*key + 3 - ref // of 2*key+1 and 2*key+2
			}
			delete(c.held, ref)
			c.held[to], at[key] = size, to
			c.p.Replace(ref, to, size)
			c.evict()
		case ref != 0:
			c.p.Hits([]uint32{ref, ref}[:1+src.Arg(2)])
		default:
			at[key] = 2*key + 1
			c.held[at[key]] = uint32(src.Arg(40))
			c.p.Enter(at[key], spread(key), c.held[at[key]])
			if op != 'a' { // a cache may evict later
				c.evict()
			}
		}
		c.check()
	}
	c.evict()
	c.check()
}

func TestEveryEntryIsInOneListAndSumsAreExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		tape := make([]byte, 3*400)
		for i := range tape {
			tape[i] = byte(rng.Uint32())
		}
		operations(t, tape)
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte("g12 g29 g3z g1 g2 r1z r2a d3 c1 g4z g5z c9 g6 a70 a81 a92 g1"))
	f.Add(bytes.Repeat([]byte("g10 g20 g30 g41 g51 g1 g1 g2 c2 r1~ "), 30))
	f.Fuzz(operations)
}

// naive is W-TinyLFU with slices for lists, oldest first, and entries of size 1.
type naive struct {
	core   *core[nodes] // for the sketch and the same luck
	lists  [numLists][]uint32
	hashes map[uint32]uint32
	used   map[uint32]bool
}

func (m *naive) len() int {
	return len(m.lists[window]) + len(m.lists[probation]) + len(m.lists[protected])
}

func (m *naive) request(ref, hash uint32) {
	for list, q := range m.lists {
		i := slices.Index(q, ref)
		if i < 0 {
			continue
		}
		if list != window {
			m.used[ref] = true
			return
		}
		m.lists[window] = append(slices.Delete(q, i, i+1), ref)
		return
	}
	m.hashes[ref] = hash
	m.lists[window] = append(m.lists[window], ref)
	if len(m.lists[window]) <= int(m.core.windowMax) {
		return
	}
	candidate := m.lists[window][0]
	m.lists[window] = m.lists[window][1:]
	if m.len() < int(m.core.capacity) {
		m.lists[probation] = append(m.lists[probation], candidate)
		return
	}
	m.promoteUsed()
	from := probation
	if len(m.lists[probation]) == 0 {
		from = protected
	}
	if len(m.lists[from]) == 0 {
		return
	}
	have, cost := m.core.sketch.estimate(m.hashes[candidate]), m.core.sketch.estimate(m.hashes[m.lists[from][0]])
	if have > cost+m.core.arm.margin || have >= warm && m.core.rand()%luckyOf == 0 {
		delete(m.used, m.take(from))
		m.lists[probation] = append(m.lists[probation], candidate)
	}
}

// promoteUsed has the victims be some that are not used, if it may move as many.
func (m *naive) promoteUsed() {
	for moved := 0; moved < freeMoves && len(m.lists[probation]) > 0 && m.used[m.lists[probation][0]]; {
		ref := m.take(probation)
		delete(m.used, ref)
		m.lists[protected] = append(m.lists[protected], ref)
		moves, again := 1, 0
		for ; len(m.lists[protected]) > int(m.core.protectedMax) && moves < freeMoves; moves++ {
			old, alone := m.take(protected), len(m.lists[protected]) == 0
			if m.used[old] && again < chances && !alone {
				again++
				delete(m.used, old)
				m.lists[protected] = append(m.lists[protected], old)
			} else {
				m.lists[probation] = append(m.lists[probation], old)
			}
		}
		moved += moves
	}
}

// take takes the oldest out of a list.
func (m *naive) take(list int) uint32 {
	ref := m.lists[list][0]
	m.lists[list] = m.lists[list][1:]
	return ref
}

func TestListsAreThoseOfANaiveModel(t *testing.T) {
	for _, a := range append(arms[:], arm{window: 1}) {
		for _, capacity := range []int{1, 2, 10, 50, 200} {
			counts := newSketch(capacity)
			counts.period = 1000
			n := make(nodes, 1001)
			c := core[nodes]{entries: n, sketch: counts, arm: a, capacity: uint64(capacity), random: 7}
			c.split()
			luck := c
			m := naive{core: &luck, hashes: map[uint32]uint32{}, used: map[uint32]bool{}}
			rng := rand.New(rand.NewPCG(3, 4))
			for step := range 6000 {
				key := uint32(rng.ExpFloat64()*float64(capacity)) % 1000
				ref := key + 1
				counts.count(spread(key))
				m.request(ref, spread(key))
				if l := &n[ref]; l.Held() {
					c.hit(ref, l)
				} else {
					c.add(ref, spread(key), 1)
					for _, ok := c.evict(); ok; _, ok = c.evict() {
					}
				}
				for list := window; list < numLists; list++ {
					var got []uint32
					for ref := c.lists[list].oldest; ref != 0; ref = n[ref].next {
						got = append(got, ref)
					}
					if !slices.Equal(got, m.lists[list]) {
						t.Fatalf("arm %v, capacity %d, step %d, list %d: %v, want %v", a, capacity, step, list, got, m.lists[list])
					}
				}
			}
		}
	}
}
