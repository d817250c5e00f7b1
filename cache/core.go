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
	"quiesce/lock"
	"quiesce/page"
	"quiesce/rcu"
)

// core is the part of a cache that does not depend on the types of keys and values.
type core struct {
	name     string
	label    string      // in statistics
	index    nodes.Index // all immutable, but for what is atomic
	entries  *entries
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
	ready     atomic.Bool  // it is made
	users     atomic.Int64 // operations that change the cache

	zero  *rcu.Batch[byte] // retires nodes, and zeroes them; nil: not asked for
	rings percpu.Slots[ring]

	sharers  *sharers
	sparsing atomic.Bool // evictSparse runs
	hand     uint32      // the next page to look at; its own

	mu     lock.Spin
	policy *tinylfu.Policy[*entries] // protected by mu, as all that follows
	limit  uint64                    // of policy.Capacity: bytes, or entries if unit is not 0
	wheel  wheel
	guest  uint32 // an entry that the policy refused; 0: none. See putLocked
	turn   int    // the ring that is drained next
	grown  uint64 // of the limit: see growLocked
	hungry int    // no attempt to get the sketch a page with fewer entries
	late   late   // what was evicted and is not free yet
	served bool   // by the service that frees what expired
	counts counts
	// drained is how many new keys had been stored when rings were drained last, and idle
	// how many full rings readers have seen since they drained one.
	drained uint64
	idle    int
}

// counts has what became of every entry that was stored.
type counts struct {
	sets    uint64
	gone    [reasons]uint64
	refused uint64 // Sets that found no memory
	large   uint64 // Sets of what is too large
}

// removed is an entry that has left the map and the policy.
type removed struct {
	n   unsafe.Pointer
	why Reason
}

// leaving are entries that have left, and are retired when the lock is released.
type leaving struct {
	n    int
	list [8]removed
}

func (l *leaving) full() bool { return l.n == len(l.list) }

// begin begins an operation that changes the cache. It returns false if that is
// closed; otherwise end follows.
func (c *core) begin() bool {
	c.users.Add(1)       // ord:cache-close
	if c.closed.Load() { // ord:cache-close
		c.users.Add(-1) // ord:cache-close
		return false
	}
	return true
}

func (c *core) end() { c.users.Add(-1) } // ord:cache-close

// mustBegin is begin for operations without an error.
func (c *core) mustBegin(op string) {
	if !c.begin() {
		panic(closedUse(op))
	}
}

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
	for try := 0; ; try++ {
		var out leaving
		c.mu.Lock()
		if c.growsLocked() {
			c.drainLocked(c.drainAtOnce())
		}
		var serve bool
		var ref uint32
		if stale == nil || !stale.Load() { // ord:cache-stale
			stored, serve, err = c.putLocked(h, k, n, now, absent, &out)
			ref = c.entries.ref(n)
		}
		more := err == nil && c.evictLocked(&out, ref)
		hungry := c.hungryLocked()
		c.mu.Unlock()
		c.dispose(&out)
		if hungry {
			c.feed()
		}
		if serve {
			service.add(c)
		}
		for more {
			more = c.evict(ref)
		}
		if err == nil || try == tries || !c.index.MakeRoom(try%2 == 1) {
			break
		}
	}
	switch {
	case stored:
		c.index.Grow()
	case err != nil:
		c.refuse(n, k, &c.counts.refused)
	default:
		c.index.Free(n)
	}
	return stored, err
}

// putLocked stores a node in the map and tells the policy. The policy may refuse a
// large entry, for which many others would have to leave. But what was set has to be
// there for the next Get. So it becomes the guest: it is in the map, and leaves when
// the next entry is stored, unless it was asked for.
func (c *core) putLocked(h uint64, k, n unsafe.Pointer, now int64, absent bool, out *leaving) (stored, serve bool, err error) {
	if absent {
		if old := c.findLocked(k); old != nil {
			if t := headerOf(old).timer(); t == nil || now < t.deadline {
				return false, false, nil
			}
			c.dropLocked(c.entries.ref(old), old, Expired, out)
		}
	}
	ref := c.entries.add(n)
	old, _, ok := c.index.Install(h, k, n, false)
	if !ok {
		c.entries.remove(n, ref)
		return false, false, ErrBusy
	}
	c.counts.sets++
	guest := c.guest
	if old != nil {
		was := c.entries.ref(old)
		why := Replaced
		if t := headerOf(old).timer(); t != nil {
			c.wheel.remove(c.entries, t)
			if t.deadline <= now {
				why = Expired
			}
		}
		c.enterLocked(ref, was, n)
		if was == guest {
			guest = 0
		}
		c.entries.remove(old, was)
		c.leftLocked(old, why, out)
	} else {
		c.enterLocked(ref, 0, n)
	}
	if guest != 0 {
		c.dropLocked(guest, c.entries.node(guest), Evicted, out)
	}
	if t := headerOf(n).timer(); t != nil {
		serve = c.timeLocked(ref, t, now)
	}
	c.growLocked(uint64(c.sizeOf(n)))
	return true, serve, nil
}

// sizeOf returns the size of a node for the policy.
func (c *core) sizeOf(n unsafe.Pointer) uint32 {
	if c.unit != 0 {
		return c.unit
	}
	return footprint(c.index.Size(n))
}

// enterLocked tells the policy of an entry, which is in place of another or, if was is
// 0, of none. If that was the guest there is none any more.
func (c *core) enterLocked(ref, was uint32, n unsafe.Pointer) {
	size := c.sizeOf(n)
	switch was {
	case c.guest, 0:
		if was != 0 {
			c.guest = 0
		}
		c.policy.Enter(ref, headerOf(n).links.Hash(), size)
	default:
		c.policy.Replace(was, ref, size)
	}
}

// admitGuestLocked follows a hit on the guest.
func (c *core) admitGuestLocked() {
	ref := c.guest
	c.enterLocked(ref, ref, c.entries.node(ref))
}

// evictLocked has the policy's victims leave, until there are enough for now. It
// reports whether there are more. The entry with the number keep becomes the guest
// if it is among them.
func (c *core) evictLocked(out *leaving, keep uint32) (more bool) {
	for !out.full() {
		v, ok := c.policy.Evict()
		switch {
		case !ok:
			return false
		case v != keep:
			c.takeLocked(v, c.entries.node(v), Evicted, out)
		default:
			if c.guest != 0 {
				c.dropLocked(c.guest, c.entries.node(c.guest), Evicted, out)
			}
			c.guest = v
		}
	}
	return true
}

// evict has some victims leave, and reports whether there are more.
func (c *core) evict(keep uint32) (more bool) {
	var out leaving
	c.mu.Lock()
	more = c.evictLocked(&out, keep)
	c.mu.Unlock()
	c.dispose(&out)
	return more
}

// dropLocked takes an entry out of the policy and of the map.
func (c *core) dropLocked(ref uint32, n unsafe.Pointer, why Reason, out *leaving) {
	if ref == c.guest {
		c.guest = 0
	} else {
		c.policy.Remove(ref)
	}
	c.takeLocked(ref, n, why, out)
}

// takeLocked takes an entry, which the policy has dropped, out of the map.
func (c *core) takeLocked(ref uint32, n unsafe.Pointer, why Reason, out *leaving) {
	h := headerOf(n)
	if t := h.timer(); t != nil {
		c.wheel.remove(c.entries, t)
	}
	if !c.index.Remove(h.mapHash(), n) {
		panic("quiesce/cache: an entry of the policy is not in the map")
	}
	c.entries.remove(n, ref)
	c.leftLocked(n, why, out)
}

func (c *core) leftLocked(n unsafe.Pointer, why Reason, out *leaving) {
	c.counts.gone[why]++
	out.list[out.n] = removed{n, why}
	out.n++
}

// findLocked returns the node of a key, or nil.
func (c *core) findLocked(k unsafe.Pointer) unsafe.Pointer {
	g := rcu.ReadLock() // for the buckets: the map may grow
	defer g.Unlock()
	return c.index.Find(k)
}

// remove removes the entry of a key, and reports whether there was one that had not
// expired.
func (c *core) remove(k unsafe.Pointer, why Reason) bool {
	now := int64(0)
	if c.deadlines.Load() { // ord:hint
		now = c.clock()
	}
	var out leaving
	c.mu.Lock()
	n := c.findLocked(k)
	found := n != nil
	if found {
		if d := headerOf(n).deadline(); d != 0 && d <= now {
			why, found = Expired, false
		}
		c.dropLocked(c.entries.ref(n), n, why, &out)
	}
	c.mu.Unlock()
	c.dispose(&out)
	if out.n > 0 {
		c.index.Grow()
	}
	return found
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
	if !c.begin() {
		return false, ErrClosed
	}
	defer c.end()
	if absent && c.has(k) || stale != nil && stale.Load() { // ord:cache-stale
		return false, nil
	}
	h := c.index.Hash(k)
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
	if n != nil || c.index.TooLarge(k, vlen) {
		c.refuse(n, k, &c.counts.large)
		return nil, ErrTooLarge
	}
	c.refuse(nil, k, &c.counts.refused)
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

// refuse counts a Set that failed, and removes the old value of its key.
func (c *core) refuse(n, k unsafe.Pointer, count *uint64) {
	if n != nil {
		c.index.Free(n)
	}
	c.mu.Lock()
	*count++
	c.mu.Unlock()
	c.remove(k, Dropped)
}
