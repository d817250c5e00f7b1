package cache

import (
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"quiesce/rcu"
)

// A new time to live. An entry that has a timer keeps its node: the deadline is one
// word, so a reader finds the old one or the new, and the wheel's links change under
// shard.mu. An entry without gets a node with a timer and the same value. That is
// copied in the section in which the old node was found, and put in its place if it is
// still there: its memory can't be another entry's by then.

// never is the deadline of a timer that does not run.
const never = 1 << 62

// touch gives an entry a new time to live, as Touch does.
func (c *core) touch(k unsafe.Pointer, ttl int64) bool {
	h := c.index.Hash(k)
	s := c.shardOf(h)
	s.mustBegin("Touch")
	defer s.end()
	if ttl != 0 && !c.deadlines.Load() { // ord:hint
		c.deadlines.Store(true) // ord:hint
	}
	for {
		vlen, timed, ok := c.look(k)
		if !ok {
			return false
		}
		var n unsafe.Pointer
		if !timed && ttl != 0 {
			if n = c.allocNode(h, k, vlen, true); n == nil {
				return false
			}
		}
		if found, done := c.touchNode(h, k, n, ttl); done {
			return found
		}
	}
}

// look returns what touch has to know of the entry of a key.
func (c *core) look(k unsafe.Pointer) (vlen int, timed, ok bool) {
	now := c.ahead()
	g := rcu.ReadLock()
	defer g.Unlock()
	n := c.index.Find(k)
	if n == nil || !c.live(headerOf(n), now) {
		return 0, false, false
	}
	return c.lenOf(n), headerOf(n).links.Marked(), true
}

// touchNode makes one attempt. fresh is a node that may take the entry's place, or nil,
// and is its own. done is false if the entry was another by the time that it had the
// lock.
func (c *core) touchNode(h uint64, k, fresh unsafe.Pointer, ttl int64) (found, done bool) {
	now, deadline := c.clock(), int64(never)
	if ttl != 0 {
		deadline = c.deadline(ttl)
	}
	g := rcu.ReadLock()
	old := c.index.Find(k)
	fits := fresh != nil && old != nil && headerOf(old).timer() == nil && c.lenOf(old) == c.lenOf(fresh)
	if fits {
		c.copyValue(fresh, old)
		headerOf(fresh).timer().deadline = deadline // nobody can find it yet
	}
	var out leaving
	var ref uint32
	var gone unsafe.Pointer
	serve, more := false, false
	s := c.shardOf(h)
	s.mu.Lock()
	n := c.findLocked(k)
	switch t := timerOf(n); {
	case n == nil, t != nil && t.deadline <= now:
		done = true
	case t != nil:
		ref = s.entries.ref(n)
		s.wheel.remove(s.entries, t)
		t.set(deadline)
		serve = s.timeLocked(ref, t, now)
		s.requestLocked(ref)
		found, done = true, true
	case ttl == 0:
		s.requestLocked(s.entries.ref(n))
		found, done = true, true
	case fits && n == old:
		done = true
		if ref, found = s.exchangeLocked(h, k, old, fresh); found {
			serve = s.timeLocked(ref, headerOf(fresh).timer(), now)
			gone, fresh = old, nil
			more = s.evictLocked(&out, ref)
		}
	}
	s.mu.Unlock()
	g.Unlock()
	if gone != nil {
		c.retire(gone)
	}
	if fresh != nil {
		c.index.Free(fresh)
	}
	c.dispose(&out)
	for more {
		more = s.evict(ref)
	}
	if serve {
		service.add(s)
	}
	return found, done
}

// exchangeLocked puts a node with the same key and value in the place of another. Its
// caller retires that, and counts nothing: the entry is the same.
func (s *shard) exchangeLocked(h uint64, k, old, n unsafe.Pointer) (ref uint32, ok bool) {
	ref, was := s.entries.add(n), s.entries.ref(old)
	if _, _, ok = s.c.index.Install(h, k, n, false); !ok {
		s.entries.remove(n, ref)
		return 0, false
	}
	s.enterLocked(ref, was, n)
	s.entries.remove(old, was)
	return ref, true
}

// requestLocked tells the policy of a request for an entry.
func (s *shard) requestLocked(ref uint32) {
	if ref == s.guest {
		s.admitGuestLocked()
		return
	}
	s.policy.Hit(ref)
}

// timeLocked has the wheel look after an entry, and reports whether the service has to
// look after the shard.
func (s *shard) timeLocked(ref uint32, t *timer, now int64) (serve bool) {
	s.wheel.add(s.entries, ref, t, now)
	serve, s.served = !s.served, true
	return serve
}

// timerOf returns the timer of a node, or nil. n may be nil.
func timerOf(n unsafe.Pointer) *timer {
	if n == nil {
		return nil
	}
	return headerOf(n).timer()
}

// expires returns the deadline, for readers.
func (t *timer) expires() int64 { return atomic.LoadInt64(&t.deadline) } // ord:cache-deadline

// set changes the deadline. shard.mu is held.
func (t *timer) set(deadline int64) { atomic.StoreInt64(&t.deadline, deadline) } // ord:cache-deadline

// Touch gives the entry of k a new time to live, as SetTTL does: 0 means until it is
// evicted, less than 0 that it has expired. It reports whether k is in the cache, and
// is a request for it as far as eviction is concerned. The first time to live of an
// entry that had none takes 16 bytes more: if there is no memory for that, Touch
// returns false, and the entry stays as it was.
//
// Context: task; not pinned.
func (c *Cache[K, V]) Touch(k K, ttl time.Duration) bool {
	ok := c.x.touch(hidden(unsafe.Pointer(&k)), int64(ttl))
	runtime.KeepAlive(&k)
	return ok
}

// Touch is [Cache.Touch].
//
// Context: task; not pinned.
func (c *Bytes[K]) Touch(k K, ttl time.Duration) bool {
	ok := c.x.touch(hidden(unsafe.Pointer(&k)), int64(ttl))
	runtime.KeepAlive(&k)
	return ok
}
