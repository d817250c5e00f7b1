package rcuhash

import (
	"sync/atomic"

	"quiesce/internal/live"
	"quiesce/internal/pages"
	"quiesce/internal/percpu"
)

// known has the maps that are not closed, but for those of package cache, for
// package inspect.
var known live.Set[core]

func init() {
	live.Provide(live.Maps, func() []live.Figures {
		return live.ReadAll(&known, func(x *core) (live.Figures, bool) {
			t := x.table.Load() // ord:table
			if t == nil {
				return live.Figures{}, false // not made yet
			}
			f := live.MapFigures{Keys: x.len(), Bytes: x.bytes(), Buckets: x.counts.lines.Load() * int64(bucketSize)} // ord:stat
			return live.Figures{Allocator: pages.CoreOf(x.pages).Label, Of: f}, true
		})
	})
}

// forget makes the map unknown: it is closed, or was not made.
func (x *core) forget() {
	if !x.owned() {
		known.Remove(x, x.label)
	}
}

// counts is how much is in the map. In a small one all writers share a counter;
// in a larger one the hash chooses one of many, so that each is a known part of
// the whole: writers see from theirs whether the map should grow.
type counts struct {
	counter
	lines atomic.Int64 // memory of the buckets, in units of bucketSize
	paged atomic.Int64 // the part of it in pages, not in slabs
	wide  atomic.Pointer[[shards]counterLine]
}

// shards is the number of counters of a large map, and largeBuckets the number
// of live buckets that makes it one. Untuned.
const (
	shards       = 32
	largeBuckets = 1024
)

type counter struct {
	keys  atomic.Int64
	bytes atomic.Int64 // of nodes that differ in size
}

type counterLine struct {
	counter
	_ [percpu.Line - 16]byte
}

// add counts keys and bytes, and returns about how many keys there are.
func (c *counts) add(h uint64, keys, bytes int64) int64 {
	to, all := &c.counter, int64(1)
	w := c.wide.Load() // ord:stat
	if w != nil {
		to, all = &w[h>>32%shards].counter, shards
	}
	if bytes != 0 {
		to.bytes.Add(bytes) // ord:stat
	}
	n := to.keys.Add(keys) * all // ord:stat
	if w != nil {
		n += c.keys.Load() // ord:stat
	}
	return n
}

// widen makes a counter for each shard. What was counted stays where it is.
func (c *counts) widen() {
	if c.wide.Load() == nil { // ord:stat
		c.wide.CompareAndSwap(nil, new([shards]counterLine)) // ord:stat
	}
}

// sum returns all keys, and the bytes.
func (c *counts) sum() (keys, bytes int64) {
	keys, bytes = c.keys.Load(), c.bytes.Load() // ord:stat
	if w := c.wide.Load(); w != nil {           // ord:stat
		for i := range w {
			keys += w[i].keys.Load()   // ord:stat
			bytes += w[i].bytes.Load() // ord:stat
		}
	}
	return keys, bytes
}

// reset sets the keys and bytes to 0. Nobody uses the map.
func (c *counts) reset() {
	c.keys.Store(0)   // ord:stat
	c.bytes.Store(0)  // ord:stat
	c.wide.Store(nil) // ord:stat
}
