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
	caches map[*core]struct{} // protected by mu, as is the next
	armed  bool               // the alarm is set, or a round is under way
}

// expireEvery is the time between two rounds, in ns. With a tick it is how late an
// entry is freed.
const expireEvery = 250_000_000

var expireAlarm sys.Alarm // immutable after init

// add has the service look after a cache. Context: task; not pinned.
func (s *expirer) add(c *core) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.caches == nil {
		s.caches = make(map[*core]struct{})
	}
	s.caches[c] = struct{}{}
	if !s.armed {
		s.armed = true
		expireAlarm.Set(expireEvery)
	}
}

// remove ends that.
func (s *expirer) remove(c *core) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.caches, c)
}

// round frees what has expired, and forgets caches that have no deadlines any more.
func (s *expirer) round() {
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.caches))
	s.mu.Unlock()
	for _, c := range all {
		if c.begin() {
			c.expire()
			c.end()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range all {
		c.mu.Lock()
		if c.wheel.n == 0 {
			c.served = false
			delete(s.caches, c)
		}
		c.mu.Unlock()
	}
	if s.armed = len(s.caches) > 0; s.armed {
		expireAlarm.Set(expireEvery)
	}
}

// expireMoves bounds what is done under the lock at a time. Untuned.
const expireMoves = 64

// expire frees what has expired.
func (c *core) expire() {
	now := c.clock()
	for more := true; more; {
		var out leaving
		c.mu.Lock()
		for more && !out.full() {
			var ref uint32
			if ref, more = c.wheel.due(c.entries, now, expireMoves); ref == 0 {
				break
			}
			c.expiredLocked(ref, &out)
		}
		c.mu.Unlock()
		c.dispose(&out)
	}
	c.index.Grow()
}

// expiredLocked takes an entry out that has left the wheel.
func (c *core) expiredLocked(ref uint32, out *leaving) {
	n := c.entries.node(ref)
	if ref == c.guest {
		c.guest = 0
	} else {
		c.policy.Remove(ref)
	}
	if !c.index.Remove(headerOf(n).mapHash(), n) {
		panic("quiesce/cache: an entry of the wheel is not in the map")
	}
	c.entries.remove(n, ref)
	c.leftLocked(n, Expired, out)
}
