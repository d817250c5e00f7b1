package cache

import (
	"sync/atomic"

	"quiesce/internal/live"
	"quiesce/internal/pages"
)

// known has the caches that are not closed, for package inspect.
var known live.Set[core]

func init() {
	live.Provide(live.Caches, func() []live.Figures {
		return live.ReadAll(&known, func(c *core) (live.Figures, bool) {
			if !c.ready.Load() { // ord:stat
				return live.Figures{}, false
			}
			return live.Figures{Allocator: pages.CoreOf(c.pages).Label, Of: c.stats()}, true
		})
	})
}

// Stats are a cache's figures since it was made. While nobody uses the cache,
//
//	Sets = Entries + Evictions + Expirations + Deletes + Replaced + Cleared + Dropped
//
// so every entry that was ever stored is accounted for.
type Stats struct {
	Name string

	Hits   uint64 // look-ups that found their key
	Misses uint64 // look-ups that did not

	Sets        uint64 // entries that were stored
	Evictions   uint64 // entries that left to make room
	Expirations uint64 // entries that left when their time to live was over
	Deletes     uint64 // entries that Delete removed
	Replaced    uint64 // entries that a Set of the same key replaced
	Cleared     uint64 // entries that Clear removed
	Dropped     uint64 // entries that left because a Set of their key failed
	Busy        uint64 // Sets that failed with ErrBusy
	TooLarge    uint64 // Sets that failed with ErrTooLarge

	Entries  int   // now
	Bytes    int64 // memory now
	MaxBytes int64 // the most; 0: the allocator's limit alone
}

// Minus returns the figures since an earlier call of Stats: the counts are
// differences, and Entries, Bytes and MaxBytes those of now.
func (s Stats) Minus(earlier Stats) Stats {
	s.Hits -= earlier.Hits
	s.Misses -= earlier.Misses
	s.Sets -= earlier.Sets
	s.Evictions -= earlier.Evictions
	s.Expirations -= earlier.Expirations
	s.Deletes -= earlier.Deletes
	s.Replaced -= earlier.Replaced
	s.Cleared -= earlier.Cleared
	s.Dropped -= earlier.Dropped
	s.Busy -= earlier.Busy
	s.TooLarge -= earlier.TooLarge
	return s
}

// HitRatio returns the part of the look-ups that found their key, or 0 if there
// were none.
func (s Stats) HitRatio() float64 {
	if s.Hits+s.Misses == 0 {
		return 0
	}
	return float64(s.Hits) / float64(s.Hits+s.Misses)
}

func (c *core) stats() Stats {
	s := Stats{Name: c.name, Bytes: c.bytes(), MaxBytes: c.maxBytes.Load()} // ord:hint
	for i := range c.shards {
		c.shards[i].addTo(&s)
	}
	if !c.closed.Load() { // ord:cache-close
		for id := range c.rings.Used() {
			for i := range c.shards {
				r := c.ringOf(id, uintptr(i))
				s.Hits += atomic.LoadUint64(&r.hits)     // ord:stat
				s.Misses += atomic.LoadUint64(&r.misses) // ord:stat
			}
		}
	}
	return s
}

// addTo adds a shard's figures to those of a cache.
func (s *shard) addTo(to *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &s.counts
	to.Sets += n.sets
	to.Busy += n.refused
	to.TooLarge += n.large
	to.Evictions += n.gone[Evicted]
	to.Expirations += n.gone[Expired]
	to.Deletes += n.gone[Deleted]
	to.Replaced += n.gone[Replaced]
	to.Cleared += n.gone[Cleared]
	to.Dropped += n.gone[Dropped]
	to.Entries += s.lenLocked()
}
