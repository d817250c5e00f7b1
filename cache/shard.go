package cache

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"

	"quiesce/internal/percpu"
	"quiesce/internal/tinylfu"
	"quiesce/lock"
)

// A cache is split into shards by the hash of the key, so that Sets of several
// goroutines rarely wait for each other. The map and the memory are common to all; a
// shard has the rest of what there is to its keys: a policy with a part of the limit,
// a wheel, a guest, counts, and a ring of each P.
//
// What the map has, the policy of the key's shard has as well, or it is the shard's
// guest. Both change under the shard's lock (shard.mu), and only then is a node
// retired. A node's hash, and with it its shard, is immutable. So whoever holds the
// lock and finds a node in the map, and the node's hash says that it is the shard's,
// has it in the policy too, and may use it until he releases the lock. A node of
// another shard may leave at any moment: its hash may be looked at in a read-side
// section in which the map had it, and nothing else.
//
// Nobody holds the locks of two shards: what concerns all goes from one to the next.
type shard struct {
	c       *core // immutable, as the next two
	i       uintptr
	entries *entries
	users   atomic.Int64 // operations that change the cache, and began here

	mu     lock.Spin
	policy *tinylfu.Policy[*entries] // protected by mu, as all that follows
	limit  uint64                    // of policy.Capacity: bytes, or entries if unit is not 0
	wheel  wheel
	guest  uint32 // an entry that the policy refused; 0: none. See putLocked
	turn   int    // the P whose ring is drained next
	grown  uint64 // of the limit: see growLocked
	hungry int    // no attempt to get the sketch a page with fewer entries
	served bool   // by the service that frees what expired
	counts counts
	// drained is how many new keys had been stored when rings were drained last, and idle
	// how many full rings readers have seen since they drained one.
	drained uint64
	idle    int

	_ [percpu.Line]byte // the next one's fields lie in another line, wherever it begins
}

// mostShards and shardsPerP bound the number of shards. Untuned.
const (
	mostShards = 64
	shardsPerP = 4
)

// A shard's part of the limit is as large at least when the cache is made: large
// enough for an entry of any size among others, and for a policy that decides as well
// as that of the whole. Tests lower it.
var (
	shardBytes   int64  = 32 << 20
	shardEntries uint64 = 32 << 10 // if the number of entries is bounded
)

// leastShard is the least part, in bytes, that SetMaxBytes may leave a shard: each has
// a page for its policy's sketch whatever there is.
const leastShard = 64 << 10

// shardsFor returns the number of shards of a cache with the limits, a power of two.
// No entries means no bound.
func shardsFor(bytes int64, entries uint64) int {
	most := min(mostShards, shardsPerP*runtime.GOMAXPROCS(0))
	n := 1
	for 2*n <= most && bytes/int64(2*n) >= shardBytes && (entries == 0 || entries/uint64(2*n) >= shardEntries) {
		n *= 2
	}
	return n
}

// split makes n shards, without policies.
func (c *core) split(n int, base unsafe.Pointer) {
	c.shards = make([]shard, n)
	c.shift = uint8(32 - bits.Len(uint(n-1)))
	c.numbers = newEntries(base)
	for i := range c.shards {
		s := &c.shards[i]
		own := newEntries(base)
		s.c, s.i, s.entries = c, uintptr(i), &own
		s.mu.Init("cache.mu")
	}
}

// share returns a shard's part of a limit.
func (s *shard) share(limit uint64) uint64 {
	n := uint64(len(s.c.shards))
	part := limit / n
	if uint64(s.i) < limit%n {
		part++
	}
	return part
}

// spread has the highest bits of a product depend on all bits of a hash: its low bits
// choose the bucket and the block of the sketch, its high ones what the policy's trials
// see, and a shard has to have all of those.
const spread = 0x85ebca6b

// shardNumber returns the number of the shard of a key, by the policy's hash of it.
func (c *core) shardNumber(policyHash uint32) uintptr {
	return uintptr(uint64(policyHash*spread) >> (c.shift & 63))
}

// shardOf returns the shard of a key, by the map's hash of it or by mapHash of its node.
func (c *core) shardOf(hash uint64) *shard { return &c.shards[c.shardNumber(policyHash(hash))] }

// begin begins an operation that changes the cache, and returns false if that is
// closed; otherwise end follows. Each shard counts those of its keys, so that they do
// not write one word, and the first those on the whole cache.
func (s *shard) begin() bool {
	s.users.Add(1)         // ord:cache-close
	if s.c.closed.Load() { // ord:cache-close
		s.users.Add(-1) // ord:cache-close
		return false
	}
	return true
}

func (s *shard) end() { s.users.Add(-1) } // ord:cache-close

// mustBegin is begin for operations without an error.
func (s *shard) mustBegin(op string) {
	if !s.begin() {
		panic(closedUse(op))
	}
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

// putLocked stores a node in the map and tells the policy. The policy may refuse a
// large entry, for which many others would have to leave. But what was set has to be
// there for the next Get. So it becomes the guest: it is in the map, and leaves when
// the next entry is stored, unless it was asked for.
func (s *shard) putLocked(h uint64, k, n unsafe.Pointer, now int64, absent bool, out *leaving) (stored, serve bool, err error) {
	if absent {
		if old := s.c.findLocked(k); old != nil {
			if t := headerOf(old).timer(); t == nil || now < t.deadline {
				return false, false, nil
			}
			s.dropLocked(s.entries.ref(old), old, Expired, out)
		}
	}
	ref := s.entries.add(n)
	old, _, ok := s.c.index.Install(h, k, n, false)
	if !ok {
		s.entries.remove(n, ref)
		return false, false, ErrBusy
	}
	s.counts.sets++
	guest := s.guest
	if old != nil {
		was := s.entries.ref(old)
		why := Replaced
		if t := headerOf(old).timer(); t != nil {
			s.wheel.remove(s.entries, t)
			if t.deadline <= now {
				why = Expired
			}
		}
		s.enterLocked(ref, was, n)
		if was == guest {
			guest = 0
		}
		s.entries.remove(old, was)
		s.leftLocked(old, why, out)
	} else {
		s.enterLocked(ref, 0, n)
	}
	if guest != 0 {
		s.dropLocked(guest, s.entries.node(guest), Evicted, out)
	}
	if t := headerOf(n).timer(); t != nil {
		serve = s.timeLocked(ref, t, now)
	}
	s.growLocked(uint64(s.c.sizeOf(n)))
	return true, serve, nil
}

// enterLocked tells the policy of an entry, which is in place of another or, if was is
// 0, of none. If that was the guest there is none any more.
func (s *shard) enterLocked(ref, was uint32, n unsafe.Pointer) {
	size := s.c.sizeOf(n)
	switch was {
	case s.guest, 0:
		if was != 0 {
			s.guest = 0
		}
		s.policy.Enter(ref, headerOf(n).links.Hash(), size)
	default:
		s.policy.Replace(was, ref, size)
	}
}

// admitGuestLocked follows a hit on the guest.
func (s *shard) admitGuestLocked() {
	ref := s.guest
	s.enterLocked(ref, ref, s.entries.node(ref))
}

// evictLocked has the policy's victims leave, until there are enough for now. It
// reports whether there are more. The entry with the number keep becomes the guest
// if it is among them.
func (s *shard) evictLocked(out *leaving, keep uint32) (more bool) {
	for !out.full() {
		v, ok := s.policy.Evict()
		switch {
		case !ok:
			return false
		case v != keep:
			s.takeLocked(v, s.entries.node(v), Evicted, out)
		default:
			if s.guest != 0 {
				s.dropLocked(s.guest, s.entries.node(s.guest), Evicted, out)
			}
			s.guest = v
		}
	}
	return true
}

// evict has some victims leave, and reports whether there are more.
func (s *shard) evict(keep uint32) (more bool) {
	var out leaving
	s.mu.Lock()
	more = s.evictLocked(&out, keep)
	s.mu.Unlock()
	s.c.dispose(&out)
	return more
}

// dropLocked takes an entry out of the policy and of the map.
func (s *shard) dropLocked(ref uint32, n unsafe.Pointer, why Reason, out *leaving) {
	if ref == s.guest {
		s.guest = 0
	} else {
		s.policy.Remove(ref)
	}
	s.takeLocked(ref, n, why, out)
}

// takeLocked takes an entry, which the policy has dropped, out of the map.
func (s *shard) takeLocked(ref uint32, n unsafe.Pointer, why Reason, out *leaving) {
	h := headerOf(n)
	if t := h.timer(); t != nil {
		s.wheel.remove(s.entries, t)
	}
	if !s.c.index.Remove(h.mapHash(), n) {
		panic("quiesce/cache: an entry of the policy is not in the map")
	}
	s.entries.remove(n, ref)
	s.leftLocked(n, why, out)
}

func (s *shard) leftLocked(n unsafe.Pointer, why Reason, out *leaving) {
	s.counts.gone[why]++
	out.list[out.n] = removed{n, why}
	out.n++
}

// remove removes the entry of a key, and reports whether there was one that had not
// expired.
func (s *shard) remove(k unsafe.Pointer, why Reason) bool {
	now := int64(0)
	if s.c.deadlines.Load() { // ord:hint
		now = s.c.clock()
	}
	var out leaving
	s.mu.Lock()
	n := s.c.findLocked(k)
	found := n != nil
	if found {
		if d := headerOf(n).deadline(); d != 0 && d <= now {
			why, found = Expired, false
		}
		s.dropLocked(s.entries.ref(n), n, why, &out)
	}
	s.mu.Unlock()
	s.c.dispose(&out)
	if out.n > 0 {
		s.c.index.Grow()
	}
	return found
}

// refuse counts a Set that failed, and removes the old value of its key.
func (s *shard) refuse(n, k unsafe.Pointer, count *uint64) {
	if n != nil {
		s.c.index.Free(n)
	}
	s.mu.Lock()
	*count++
	s.mu.Unlock()
	s.remove(k, Dropped)
}

// clear removes as many entries as the shard has when it is called.
func (s *shard) clear() {
	s.mu.Lock()
	n := s.lenLocked()
	s.mu.Unlock()
	for n > 0 {
		var out leaving
		s.mu.Lock()
		if s.guest != 0 {
			s.dropLocked(s.guest, s.entries.node(s.guest), Cleared, &out)
		}
		had := s.policy.Capacity()
		s.policy.SetCapacity(0)
		for !out.full() && out.n < n {
			v, ok := s.policy.Evict()
			if !ok {
				n = 0
				break
			}
			s.takeLocked(v, s.entries.node(v), Cleared, &out)
		}
		s.policy.SetCapacity(had)
		n -= out.n
		s.mu.Unlock()
		s.c.dispose(&out)
	}
	s.starve()
}

func (s *shard) lenLocked() int {
	n := s.policy.Len()
	if s.guest != 0 {
		n++
	}
	return n
}
