package cache

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"sync/atomic"
	"unsafe"

	"quiesce/internal/pages"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/page"
	"quiesce/rcu"
)

// How much the policy may hold. The memory that entries take is more than the sum of
// their sizes, by what depends on their sizes and on how these change: the table,
// slabs that are partly filled, free objects in stock, and objects that wait for a
// grace period. No formula has it. So the capacity follows the memory: it falls when
// the allocator asks for some, which it does a little before there is none, and rises
// by a part of what is stored as long as it does not.

const (
	// growPart is the part of what is stored by which the capacity rises when there is
	// little room. Untuned.
	growPart = 4
	// growStep is the part of the limit after which the capacity is changed: a change
	// costs the policy some work. Untuned.
	growStep = 1 << 10
)

// growLocked lets the capacity rise, for an entry that was stored.
func (s *shard) growLocked(size uint64) {
	have := s.policy.Capacity()
	if have >= s.limit {
		return
	}
	if s.grown += size; s.grown < max(s.limit/growStep, 1) {
		return
	}
	more := s.grown / growPart
	if s.c.unit == 0 {
		p := s.c.pages.Stats()
		switch room := p.Limit - p.Resident + p.FreePopulated; {
		case p.Limit == 0 || room > p.Limit/16:
			more = max(more, uint64(max(room, 0))/4/uint64(len(s.c.shards)), s.grown)
		case s.c.own && s.policy.Size() < s.limit/16*13:
			more = s.grown // there is room in slabs that are sparse: Reclaim finds it
		}
	}
	s.policy.SetCapacity(min(have+max(more, 1), s.limit))
	s.grown = 0
}

// sharers are the caches of an allocator. What it asks each for is as much; what
// each gives is in proportion to what it has.
type sharers struct{ list atomic.Pointer[[]*core] }

var sharing struct {
	mu lock.Mutex
	of map[*page.Allocator]*sharers // protected by mu
}

func init() { sharing.mu.Init("cache.sharing.mu") }

// share adds a cache to those of its allocator, or takes it out.
func (c *core) share(in bool) {
	sharing.mu.Lock()
	defer sharing.mu.Unlock()
	if sharing.of == nil {
		sharing.of = make(map[*page.Allocator]*sharers)
	}
	s := sharing.of[c.pages]
	if s == nil {
		s = new(sharers)
		sharing.of[c.pages] = s
	}
	var list []*core
	if l := s.list.Load(); l != nil { // ord:publish
		list = slices.DeleteFunc(slices.Clone(*l), func(o *core) bool { return o == c })
	}
	if in {
		c.sharers = s
		list = append(list, c)
	}
	s.list.Store(&list) // ord:publish
	if len(list) == 0 {
		delete(sharing.of, c.pages)
	}
}

// part returns a cache's part of what each is asked for.
func (c *core) part(need int64) int64 {
	all := *c.sharers.list.Load() // ord:publish
	if len(all) < 2 {
		return need
	}
	sum := int64(0)
	for _, o := range all {
		sum += o.index.NodeBytes()
	}
	return int64(float64(need) * float64(len(all)) * float64(c.index.NodeBytes()) / float64(max(sum, 1)))
}

// Reclaim implements page.Reclaimer: the cache shrinks by need bytes, or by its part
// of it.
func (c *core) Reclaim(need int64) {
	if !c.begin() {
		return
	}
	defer c.end()
	c.reclaim(c.part(need))
}

func (c *core) reclaim(need int64) {
	if !c.mayEvict(need) {
		return
	}
	freed, from := c.evictSparse(need)
	if freed == 0 {
		freed, from = c.shrink(need)
	}
	c.evicted(freed)
	for ; from != 0; from &= from - 1 {
		c.shards[bits.TrailingZeros64(uint64(from))].feed()
	}
}

// set is a set of shards, by their numbers.
type set uint64

func (x *set) add(s *shard) { *x |= 1 << s.i }

// shrinkPart is how much a shard shrinks at a time, in bytes, if others are asked too:
// little enough that they shrink alike. Untuned.
const shrinkPart = 16 << 10

// shrink evicts some of the entries that have to leave if the cache is to shrink by
// need bytes, and returns how many bytes they had, and which shards'. Shards are asked
// for a part each, as often as they hold much: what they hold shrinks in proportion,
// and one that grows more than others gives more.
func (c *core) shrink(need int64) (freed int64, from set) {
	ask := func(s *shard, part int64) {
		for more := true; more && part > 0; {
			n := s.shrink(part)
			freed, part, more = freed+n, part-n, n > 0
			from.add(s)
		}
	}
	if n := len(c.shards); n > 1 {
		var held [mostShards]uint64 // by the shards up to each
		sum := uint64(0)
		for i := range c.shards {
			sum += c.shards[i].size()
			held[i] = sum
		}
		part := max(need/int64(4*n), shrinkPart)
		for i := 0; i < 4*n && freed < need && sum > 0; i++ {
			ask(c.pick(held[:n]), min(part, need-freed))
		}
	}
	for i := range c.shards { // if those that were asked did not have it
		ask(&c.shards[i], need-freed)
	}
	return freed, from
}

// pick returns a shard, each in proportion to what it holds: held has the sums of that
// up to each. Multiples of the golden ratio are spread evenly, so that of few picks
// in a row hardly any two are of the same shard.
func (c *core) pick(held []uint64) *shard {
	const golden = 0x9e3779b9
	at, _ := bits.Mul64(uint64(c.picks.Add(golden))<<32, held[len(held)-1]) // ord:hint
	i, _ := slices.BinarySearch(held, at+1)
	return &c.shards[i]
}

// The memory of what was evicted is there when a grace period has ended. While a
// reader holds that up, evicting more brings nothing, and would empty the cache: so
// a cache evicts a part of what it has, and then none until the grace period ends.

// latePart is that part. Untuned.
const latePart = 16

// late is what was evicted since the grace period that is waited for.
type late struct {
	mu     lock.Spin
	bytes  int64      // protected by mu, as is the next
	cookie rcu.Cookie // of the first of it
}

// mayEvict reports whether entries may be evicted for need bytes.
func (c *core) mayEvict(need int64) bool {
	most := max(4*need, c.index.NodeBytes()/latePart)
	c.late.mu.Lock()
	defer c.late.mu.Unlock()
	if c.late.bytes > 0 && rcu.Poll(c.late.cookie) {
		c.late.bytes = 0
	}
	return c.late.bytes < most
}

// evicted follows mayEvict.
func (c *core) evicted(bytes int64) {
	c.late.mu.Lock()
	defer c.late.mu.Unlock()
	if c.late.bytes == 0 {
		c.late.cookie = rcu.GetState()
	}
	c.late.bytes += bytes
}

// When sizes change, the entries of the old sizes thin out, and what stays of them
// keeps whole slabs from being of use to the new ones: evicting in the policy's order
// frees a lot before it frees one slab. So where much of the memory is free objects,
// the entries of the slabs that have the fewest leave first.

const (
	// wastePart is the part of the memory of nodes that may be free objects. Untuned.
	wastePart = 8
	// keptPart is the part of that memory that slabs without entries may take. Untuned.
	keptPart = 128
	// sparsePages is how many pages are looked at for sparse slabs at a time, and
	// sparseMost of how many slabs the entries may leave. Untuned.
	sparsePages = 1 << 13
	sparseMost  = 64
)

// evictSparse evicts the entries of sparse slabs, if there are any worth it, and
// returns how much memory will be free for it, and from which shards they left.
func (c *core) evictSparse(need int64) (freed int64, from set) {
	if memory := c.index.Memory(); memory-c.index.NodeBytes() < memory/wastePart || !c.sparsing.CompareAndSwap(false, true) { // ord:hint
		return 0, 0
	}
	defer c.sparsing.Store(false) // ord:hint
	var found []pages.Slab
	opened := pages.CoreOf(c.pages).Opened()
	end := c.hand + min(sparsePages, opened)
	seen, idle, kept := 0, 0, 0
	look := func(from, to uint32) uint32 {
		return pages.WalkSlabs(c.index.Heap(), from, to, func(s pages.Slab) {
			seen += s.Bytes
			idle += (s.Objects - s.Out) * int(s.Pitch)
			if s.Objects > 1 && s.Out > 0 && s.Out <= s.Objects*3/4 {
				found = append(found, s)
			}
		})
	}
	if c.hand = look(c.hand, min(end, opened)); c.hand >= opened {
		c.hand = look(0, min(end-min(end, opened), opened))
	}
	if idle < seen/wastePart { // what else there is of waste stays, whoever leaves
		return 0, 0
	}
	slices.SortFunc(found, func(a, b pages.Slab) int { return cmp.Compare(a.Out*b.Bytes*int(a.Pitch), b.Out*a.Bytes*int(b.Pitch)) })
	for i, s := range found {
		if i == sparseMost || freed >= need {
			break
		}
		if c.evictSlab(s, &from) {
			freed += int64(s.Bytes)
		} else {
			kept += s.Bytes // by free objects that are kept at hand
		}
	}
	if kept > seen/keptPart {
		before := c.index.Memory()
		pages.ShrinkSparse(c.index.Heap())
		freed += max(before-c.index.Memory(), 0)
	}
	return freed, from
}

// evictSlab evicts the entries in a slab, adds their shards to a set, and reports
// whether there were any.
func (c *core) evictSlab(in pages.Slab, from *set) (any bool) {
	var out leaving
	for i := range in.Objects {
		// It may be anything: the map knows.
		n := unsafe.Add(in.First, uintptr(i)*in.Pitch+uintptr(headSize))
		for range 2 {
			if s := c.evictNode(n, &out); s != nil {
				any = true
				from.add(s)
				break
			}
			n = unsafe.Add(n, timerSize)
		}
		if out.full() {
			c.dispose(&out)
			out = leaving{}
		}
	}
	c.dispose(&out)
	return any
}

// evictNode evicts the entry whose node is at n, if there is one, and returns its shard.
func (c *core) evictNode(n unsafe.Pointer, out *leaving) *shard {
	g := rcu.ReadLock() // for Holds, and it keeps the node that is there
	defer g.Unlock()
	hash := peekHash(n)
	if !c.index.Holds(hash, n) || headerOf(n).mapHash() != hash {
		return nil
	}
	s := c.shardOf(uint64(hash))
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.index.Holds(hash, n) { // it has left in between
		return nil
	}
	s.dropLocked(s.entries.ref(n), n, Evicted, out)
	if c.unit == 0 {
		s.policy.SetCapacity(min(s.policy.Capacity(), max(s.policy.Size(), 1)))
	}
	return s
}

// peekHash returns the hash of a node, if that is one.
//
//go:norace
func peekHash(n unsafe.Pointer) uint32 { return headerOf(n).mapHash() }

// shrink is that of a shard.
func (s *shard) shrink(need int64) (freed int64) {
	var out leaving
	s.mu.Lock()
	if s.guest != 0 {
		s.dropLocked(s.guest, s.entries.node(s.guest), Evicted, &out)
	}
	less := uint64(need)
	if s.c.unit != 0 {
		less = 1
	}
	size := s.policy.Size()
	s.policy.SetCapacity(size - min(less, size))
	s.evictLocked(&out, 0)
	for _, r := range out.list[:out.n] {
		freed += int64(footprint(s.c.index.Size(r.n)))
	}
	s.mu.Unlock()
	s.c.dispose(&out)
	return freed
}

// size returns what a shard's policy holds.
func (s *shard) size() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.policy.Size()
}

// setMaxBytes changes the limit of the cache's own allocator.
func (c *core) setMaxBytes(n int64) error {
	if !c.begin() {
		return ErrClosed
	}
	defer c.end()
	switch {
	case !c.own:
		return fmt.Errorf("cache: %s: SetMaxBytes of a cache with an Allocator, whose limit it is, or with MaxEntries alone", c.name)
	case n < c.leastBytes() || n > mostBytes:
		return fmt.Errorf("cache: %s: MaxBytes is %d, want %d to %d", c.name, n, c.leastBytes(), int64(mostBytes))
	}
	c.maxBytes.Store(n) // ord:hint
	for i := range c.shards {
		c.shards[i].follow()
	}
	core := pages.CoreOf(c.pages)
	core.SetLimit(n)
	for end := sys.Nanotime() + int64(c.pages.ReclaimTimeout()); c.pages.Stats().Resident > n; {
		if sys.Nanotime() > end {
			return ErrBusy
		}
		// What was evicted comes free first: else the rest would leave for it.
		c.index.Barrier()
		c.pages.Shrink()
		core.SetLimit(n)
		if more := c.pages.Stats().Resident - n; more > 0 {
			c.Reclaim(more)
		}
	}
	return nil
}

// leastBytes is the least that SetMaxBytes may set.
func (c *core) leastBytes() int64 { return max(leastBytes, int64(len(c.shards))*leastShard) }

// follow has a shard follow a change of maxBytes. It looks at that with its lock held:
// if there are several changes at a time, the last sees to it that all shards follow it,
// whoever comes after.
func (s *shard) follow() {
	c := s.c
	s.mu.Lock()
	n := c.maxBytes.Load() // ord:hint
	if s.i == 0 {
		c.most.Store(mostOf(n)) // ord:hint
	}
	if c.unit == 0 {
		s.limit = s.share(uint64(n))
		s.policy.SetCapacity(min(s.policy.Capacity(), s.limit))
	}
	s.mu.Unlock()
	for more := true; more; {
		more = s.evict(0)
	}
}

// mostOf returns the largest footprint of an entry that a cache of n bytes takes.
func mostOf(n int64) uint32 { return footprint(int(min(n/2, page.Size<<page.MaxOrder))) }

// String names the cache in the allocator's errors.
func (c *core) String() string { return c.name }
