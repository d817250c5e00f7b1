package slab

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"weak"

	"quiesce/internal/heapprof"
	"quiesce/internal/pages"
	"quiesce/internal/sys"
)

// Caches that the program dropped without Close, and where leaks come from.
//
// # What keeps a cache alive
//
// The handle that the program has is the cache itself, or for a size class its Heap.
// Others have the cache for as long as they work on it: the service's lists, a call
// that waits for memory, an open Sheaf. The allocator has a source, which holds the
// cache weakly.
//
// So when the collector finds a cache unreachable, no operation on it is under way
// and none will come: an operation has the cache on its stack until it last touches
// it, the pinned ones and the leaves whole, since no stack is scanned that is pinned.
// What its objects hold is not touched: a reader may have found one, and Close waits
// for readers of what was freed by FreeRCU, and leaves what was not freed.
//
// It is a finalizer and no cleanup, because what is still out is in the cache. A cache
// that is in a cycle is not finalized: in poison builds each one is.

// source is a cache as its allocator knows it.
type source struct {
	cache weak.Pointer[cache]
	name  string // of the cache
}

var _ pages.Source = (*source)(nil)

// String names the cache in the error of an allocator that is closed before it.
func (s *source) String() string { return "cache " + s.name }

// Hurry implements pages.Source.
func (s *source) Hurry() (pending bool) {
	if c := s.cache.Value(); c != nil {
		pending = c.hurry()
	}
	return pending
}

// Stock implements pages.Source.
func (s *source) Stock() (st pages.Stock) {
	if c := s.cache.Value(); c != nil {
		st = c.stocked()
	}
	return st
}

// Release implements pages.Source.
func (s *source) Release(stage pages.Stage, need int64) (got int64) {
	if c := s.cache.Value(); c != nil {
		got = c.giveUp(stage, need)
	}
	return got
}

// Reclaim implements page.Reclaimer: all stages at once.
func (s *source) Reclaim(need int64) {
	s.Hurry()
	for stage := pages.Empties; stage <= pages.Sheaves; stage++ {
		need -= s.Release(stage, need)
	}
}

// forgotten is the finalizer of a cache that was not closed.
func (c *cache) forgotten() { sys.Go(c.closeForgotten) }

// closeForgotten closes a cache that nobody has any more, and logs what was not
// freed: nobody can free it now.
func (c *cache) closeForgotten() {
	var leak *LeakError
	switch err := c.close(); {
	case errors.As(err, &leak):
		var from []any
		if len(leak.Sites) > 0 {
			from = []any{slog.String("sites", sitesText(leak.Sites))}
		}
		slog.Warn("slab: a cache was not closed, is not referenced any more, and has objects that were not freed", append([]any{
			"cache", c.label, "allocator", c.core.Label, "objects", leak.Objects, "size", leak.Size}, from...)...)
	case err == nil && slog.Default().Enabled(context.Background(), slog.LevelDebug):
		slog.Debug("slab: a cache was not closed, and is not referenced any more: its memory is freed now", "cache", c.label)
	}
}

// leakSites returns where n objects that are still out of a closed cache come from, as
// far as there are samples.
func (c *cache) leakSites(n int) (sites []LeakSite) {
	if n == 0 {
		return nil
	}
	for _, h := range heapprof.Holders(c.uses(n), sitesMost) {
		sites = append(sites, LeakSite{h.Place, int(h.Objects)})
	}
	return sites
}

// sitesText is how errors and logs name them.
func sitesText(sites []LeakSite) string {
	var all []string
	for _, s := range sites {
		all = append(all, s.String())
	}
	return strings.Join(all, ", ")
}
