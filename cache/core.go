package cache

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/nodes"
	"quiesce/internal/percpu"
	"quiesce/internal/tinylfu"
	"quiesce/page"
	"quiesce/rcu"
)

// core is the part of a cache that does not depend on the types of keys and values.
type core struct {
	name     string
	label    string      // in statistics
	index    nodes.Index // all immutable, but for what is atomic
	pages    *page.Allocator
	maxBytes atomic.Int64
	strings  bool         // keys are
	lens     bool         // nodes begin with the lengths of what varies
	own      bool         // pages is the cache's own
	clockFn  func() int64 // nil: sys.Nanotime
	ttl      int64
	unit     uint32        // the size of every entry for the policy; 0: their bytes
	most     atomic.Uint32 // the largest footprint that is taken
	// emit copies an entry that left, retires its node, and returns what calls
	// OnEvict; nil if there is no OnEvict.
	logger    *slog.Logger
	emit      func(n unsafe.Pointer, why Reason) (call func())
	lenOf     func(n unsafe.Pointer) int    // of what varies in the value
	copyValue func(to, from unsafe.Pointer) // between nodes whose values have that length
	calling   sync.Map                      // numbers of the goroutines that are in OnEvict
	closeMap  func() error
	deadlines atomic.Bool // there was an entry with a deadline
	closed    atomic.Bool
	ready     atomic.Bool // it is made

	zero *rcu.Batch[byte] // retires nodes, and zeroes them; nil: not asked for

	// What hit needs lies together.
	numbers entries            // for ref alone: each shard has its own
	rings   percpu.Slots[ring] // a row of rings, one for each shard
	shift   uint8              // from a hash to the number of its shard
	shards  []shard

	sharers  *sharers
	sparsing atomic.Bool   // evictSparse runs
	hand     uint32        // the next page to look at; its own
	picks    atomic.Uint32 // see pick
	late     late          // what was evicted and is not free yet
}

// begin begins an operation on the whole cache, as that of a shard does.
func (c *core) begin() bool { return c.shards[0].begin() }

func (c *core) end() { c.shards[0].end() }

// mustBegin is begin for operations without an error.
func (c *core) mustBegin(op string) { c.shards[0].mustBegin(op) }

func closedUse(op string) string { return "quiesce/cache: " + op + " of a closed cache" }

// tries is how often a put looks for room in the map: others may fill what it made,
// or the goroutine may be on another P by then. Untuned.
const tries = 64

// put makes n the node of its key k, whose hash is h, and fails with ErrBusy. It owns
// n from then on.
// If stale is not nil, and set by the time that it has the lock, n is not stored:
// whoever changes the key sets it before, so a change that came first is not undone.
func (c *core) put(h uint64, k, n unsafe.Pointer, ttl int64, absent bool, stale *atomic.Bool) (stored bool, err error) {
	now, t := int64(0), headerOf(n).timer()
	if t != nil || c.deadlines.Load() { // ord:hint
		now = c.clock()
	}
	if t != nil {
		t.deadline = c.deadline(ttl)
		if !c.deadlines.Load() { // ord:hint
			c.deadlines.Store(true) // ord:hint
		}
	}
	s := c.shardOf(h)
	for try := 0; ; try++ {
		var out leaving
		s.mu.Lock()
		if s.growsLocked() {
			s.drainLocked(s.drainAtOnce())
		}
		var serve bool
		var ref uint32
		if stale == nil || !stale.Load() { // ord:cache-stale
			stored, serve, err = s.putLocked(h, k, n, now, absent, &out)
			ref = s.entries.ref(n)
		}
		more := err == nil && s.evictLocked(&out, ref)
		hungry := s.hungryLocked()
		s.mu.Unlock()
		c.dispose(&out)
		if hungry {
			s.feed()
		}
		if serve {
			service.add(s)
		}
		for more {
			more = s.evict(ref)
		}
		if err == nil || try == tries || !c.index.MakeRoom(try%2 == 1) {
			break
		}
	}
	switch {
	case stored:
		c.index.Grow()
	case err != nil:
		s.refuse(n, k, &s.counts.refused)
	default:
		c.index.Free(n)
	}
	return stored, err
}

// sizeOf returns the size of a node for the policy.
func (c *core) sizeOf(n unsafe.Pointer) uint32 {
	if c.unit != 0 {
		return c.unit
	}
	return footprint(c.index.Size(n))
}

// findLocked returns the node of a key, or nil. The lock of the key's shard is held.
func (c *core) findLocked(k unsafe.Pointer) unsafe.Pointer {
	g := rcu.ReadLock() // for the buckets: the map may grow
	defer g.Unlock()
	return c.index.Find(k)
}

// has reports whether a key is in the cache. It is no hit.
func (c *core) has(k unsafe.Pointer) bool {
	now := c.ahead()
	g := rcu.ReadLock()
	defer g.Unlock()
	n := c.index.Find(k)
	return n != nil && c.live(headerOf(n), now)
}

// set stores a value of vlen bytes, which fill writes, unless absent is set and k is
// there, or stale is not nil and set.
func (c *core) set(k unsafe.Pointer, vlen int, ttl int64, absent bool, stale *atomic.Bool, fill func(n unsafe.Pointer)) (stored bool, err error) {
	h := c.index.Hash(k)
	s := c.shardOf(h)
	if !s.begin() {
		return false, ErrClosed
	}
	defer s.end()
	if absent && c.has(k) || stale != nil && stale.Load() { // ord:cache-stale
		return false, nil
	}
	n, err := c.newNode(h, k, vlen, ttl != 0)
	if err != nil {
		return false, err
	}
	fill(n)
	return c.put(h, k, n, ttl, absent, stale)
}

// newNode returns a node for a key, whose hash is h, and a value of vlen bytes, with a
// timer or without. The caller fills the value in and puts it.
func (c *core) newNode(h uint64, k unsafe.Pointer, vlen int, timed bool) (unsafe.Pointer, error) {
	n := c.allocNode(h, k, vlen, timed)
	if n != nil && footprint(c.index.Size(n)) <= c.most.Load() { // ord:hint
		return n, nil
	}
	s := c.shardOf(h)
	if n != nil || c.index.TooLarge(k, vlen) {
		s.refuse(n, k, &s.counts.large)
		return nil, ErrTooLarge
	}
	s.refuse(nil, k, &s.counts.refused)
	return nil, ErrBusy
}

// allocNode is newNode that returns nil if there is no memory, and counts nothing.
func (c *core) allocNode(h uint64, k unsafe.Pointer, vlen int, timed bool) unsafe.Pointer {
	head := headSize
	if timed {
		head += timerSize
	}
	n := c.index.New(k, vlen, head, uint32(gfp.Kernel|gfp.NoWarn))
	if n != nil {
		*headerOf(n) = header{links: tinylfu.NewLinks(policyHash(h), timed)}
	}
	return n
}

// delete is Delete of a cache.
func (c *core) delete(k unsafe.Pointer) bool {
	s := c.shardOf(c.index.Hash(k))
	s.mustBegin("Delete")
	defer s.end()
	return s.remove(k, Deleted)
}
