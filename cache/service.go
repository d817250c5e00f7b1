package cache

import (
	"maps"
	"slices"

	"quiesce/internal/sys"
	"quiesce/lock"
)

// The service frees entries whose deadline has passed, of all caches of the process.
// It runs a few times a second while there are entries with deadlines. In between
// there is no goroutine, only an alarm, and otherwise not even that.
var service expirer

func init() {
	service.mu.Init("cache.service.mu")
	expireAlarm = sys.NewAlarm(service.round)
}

type expirer struct {
	mu     lock.Mutex
	shards map[*shard]struct{} // protected by mu, as is the next
	armed  bool                // the alarm is set, or a round is under way
}

// expireEvery is the time between two rounds, in ns. With a tick it is how late an
// entry is freed.
const expireEvery = 250_000_000

var expireAlarm sys.Alarm // immutable after init

// add has the service look after a shard. Context: task; not pinned.
func (e *expirer) add(s *shard) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shards == nil {
		e.shards = make(map[*shard]struct{})
	}
	e.shards[s] = struct{}{}
	if !e.armed {
		e.armed = true
		expireAlarm.Set(expireEvery)
	}
}

// remove ends that for all shards of a cache.
func (e *expirer) remove(c *core) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range c.shards {
		delete(e.shards, &c.shards[i])
	}
}

// round frees what has expired, and forgets shards that have no deadlines any more.
func (e *expirer) round() {
	e.mu.Lock()
	all := slices.Collect(maps.Keys(e.shards))
	e.mu.Unlock()
	for _, s := range all {
		if s.begin() {
			s.expire()
			s.end()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range all {
		s.mu.Lock()
		if s.wheel.n == 0 {
			s.served = false
			delete(e.shards, s)
		}
		s.mu.Unlock()
	}
	if e.armed = len(e.shards) > 0; e.armed {
		expireAlarm.Set(expireEvery)
	}
}

// expireMoves bounds what is done under the lock at a time. Untuned.
const expireMoves = 64

// expire frees what has expired.
func (s *shard) expire() {
	now := s.c.clock()
	for more := true; more; {
		var out leaving
		s.mu.Lock()
		for more && !out.full() {
			var ref uint32
			if ref, more = s.wheel.due(s.entries, now, expireMoves); ref == 0 {
				break
			}
			s.expiredLocked(ref, &out)
		}
		s.mu.Unlock()
		s.c.dispose(&out)
	}
	s.c.index.Grow()
}

// expire frees what has expired in all shards.
func (c *core) expire() {
	for i := range c.shards {
		c.shards[i].expire()
	}
}

// expiredLocked takes an entry out that has left the wheel.
func (s *shard) expiredLocked(ref uint32, out *leaving) {
	n := s.entries.node(ref)
	if ref == s.guest {
		s.guest = 0
	} else {
		s.policy.Remove(ref)
	}
	if !s.c.index.Remove(headerOf(n).mapHash(), n) {
		panic("quiesce/cache: an entry of the wheel is not in the map")
	}
	s.entries.remove(n, ref)
	s.leftLocked(n, Expired, out)
}
