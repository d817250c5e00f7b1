package slab

import (
	"log/slog"
	"strconv"
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/live"
	"quiesce/internal/race"
	"quiesce/internal/stall"
	"quiesce/internal/sys"
	"quiesce/page"
)

// counters count objects, on slow paths only. What each sheaf is counted by is in
// groupCounts.
type counters struct {
	bulk       atomic.Uint64 // came back by kfree_bulk
	flushed    atomic.Uint64 // free ones that left sheaves and depot for their slabs
	fallback   atomic.Uint64 // went on the fallback chain
	chainFreed atomic.Uint64 // came back from it
	refusals   atomic.Uint64 // NoLocks allocations refused
	failures   atomic.Uint64 // other allocations that found no memory
}

// CacheStats is a snapshot of a cache. Objects are counted when the array
// they are in changes hands, so figures lag by what the Ps' sheaves hold.
// After Barrier, with no other goroutine using the cache,
// RCUArrays == Reused + Bulk and Fallback == FallbackFreed.
type CacheStats struct {
	Name       string
	ObjectSize int   // bytes, rounded up to 16
	SlabBytes  int   // of one slab
	SheafCap   int   // objects in a sheaf
	Slabs      int   // slabs
	Objects    int   // that the slabs have room for
	Out        int   // of them, those out of their slabs: live, cached, or pending
	Bytes      int64 // pages held, slabs and sheaves

	Live     int // allocated: of Out what is not Cached, Deferred or Held
	Cached   int // free, in the Ps' sheaves and the depot
	Deferred int // given to FreeRCU, not yet free

	RCUArrays     uint64 // objects that FreeRCU put into arrays
	Reused        uint64 // of them handed over to allocations in whole sheaves
	Helped        uint64 // of Reused, those that calls of FreeRCU handed over: see there
	Bulk          uint64 // of them freed by kfree_bulk
	Fallback      uint64 // objects that FreeRCU or Free put on the fallback chain
	FallbackFreed uint64 // of them freed
	Flushed       uint64 // free objects that left sheaves and depot for their slabs
	Refusals      uint64 // NoLocks allocations that returned nil
	Failures      uint64 // other allocations that returned nil
	Pending       int    // sheaves that wait for a grace period
	Depot         int    // sheaves of free objects
	Contentions   uint64 // waits for the lock of the slabs: [lock.Spin.Contentions]
	Sheaves       int    // open ones of goroutines: see Sheaf
	Held          int    // objects that they hold, in stock or to be freed after a grace period
	Guarded       int    // of Out, those with pages of their own: see SampleGuards
}

func (c *cache) readStats() CacheStats {
	c.mu.LockIRQ()
	count, objects, out := c.slabs.count, c.slabs.objects, c.slabs.inuse
	c.mu.UnlockIRQ()
	guarded, retired, _ := c.samplesOut()
	objects += guarded
	out += c.poison.guardedOut() + guarded
	sheaves, held, _ := c.openSheaves(false)
	cached, deferred := c.notLive()
	deferred += retired
	return CacheStats{
		Name:          c.name,
		ObjectSize:    int(c.size),
		SlabBytes:     page.Size * c.shape.pages,
		SheafCap:      int(c.sheafCap),
		Slabs:         count,
		Objects:       objects,
		Out:           out,
		Bytes:         c.bytes(),
		Live:          max(out-cached-deferred-held, 0),
		Cached:        cached,
		Deferred:      deferred,
		RCUArrays:     c.sum(arraysOf),
		Reused:        c.sum(reusedOf),
		Helped:        c.sum(helpedOf),
		Bulk:          c.stats.bulk.Load(),       // ord:stat
		Fallback:      c.stats.fallback.Load(),   // ord:stat
		FallbackFreed: c.stats.chainFreed.Load(), // ord:stat
		Flushed:       c.stats.flushed.Load(),    // ord:stat
		Refusals:      c.stats.refusals.Load(),   // ord:stat
		Failures:      c.stats.failures.Load(),   // ord:stat
		Pending:       int(c.sheaves(pendingOf)),
		Depot:         int(c.sheaves(fullOf)),
		Contentions:   c.mu.Contentions(),
		Sheaves:       sheaves,
		Held:          held,
		Guarded:       guarded,
	}
}

// bytes returns CacheStats.Bytes.
func (c *cache) bytes() int64 {
	_, _, guarded := c.samplesOut()
	return c.held() + guarded
}

// notLive returns how many of the objects out of their slabs nobody has. It is
// exact while nobody uses the cache: each of them is in a sheaf in a slot, which is
// looked at, in the depot or pending, which is counted, or on the fallback chain.
//
//go:norace
func (c *cache) notLive() (cached, deferred int) {
	race.Disable()
	defer race.Enable()
	if !c.begin() {
		return 0, 0
	}
	defer c.release()
	n, waiting := c.fullObjects(), c.allPending()
	for id := range c.slots.Used() {
		s := c.slots.At(id)
		n += c.peek(&s.main) + c.peek(&s.spare)
		waiting += c.peek(&s.rcu)
	}
	freed := c.stats.chainFreed.Load()                            // before what it is subtracted from; ord:stat
	waiting += int64(max(c.stats.fallback.Load(), freed) - freed) // ord:stat
	return max(int(n), 0) + c.poison.quarantined(), max(int(waiting), 0)
}

// known has the caches that are not closed, for package inspect.
var known live.Set[cache]

// register makes a complete cache known.
func (c *cache) register() {
	name := c.name
	if c.owner != "" {
		name = c.owner + "-" + strconv.Itoa(int(c.size))
	}
	c.label = known.Enter(c, name)
}

func init() {
	live.Deferred = func() int64 { return max(service.pending.Load(), 0) } // ord:stat
	live.Provide(live.Slabs, func() []live.Figures {
		return live.ReadAll(&known, func(c *cache) (live.Figures, bool) {
			return live.Figures{Allocator: c.core.Label, Owner: c.owner, Of: c.readStats()}, true
		})
	})
}

// refused counts an allocation that the flags, or failslab, refuse memory.
func (c *cache) refused(f gfp.Flags) {
	if f.CanLock() {
		c.stats.failures.Add(1) // ord:stat
	} else {
		c.stats.refusals.Add(1) // ord:stat
	}
}

var lastWarning atomic.Int64

func init() {
	stall.AddCost(func() slog.Attr { return slog.Int64("deferred_bytes", service.pending.Load()) }) // ord:stat
}

// failed counts an allocation that found no memory and logs it, at most once
// in ten seconds, from a goroutine of its own: the caller may be pinned.
func (c *cache) failed(f gfp.Flags) {
	c.stats.failures.Add(1) // ord:stat
	if !f.Warns() {
		return
	}
	now, last := sys.Nanotime(), lastWarning.Load()                             // ord:hint
	if last != 0 && now-last < 10e9 || !lastWarning.CompareAndSwap(last, now) { // ord:hint
		return
	}
	sys.Go(func() { c.warn(f) })
}

// warn logs a failed allocation: who wanted what, whose limit it was, and what
// waits for a grace period.
func (c *cache) warn(f gfp.Flags) {
	a := c.pages.Stats()
	slog.Warn("slab: allocation failed", append([]any{"cache", c.name, "size", int(c.size), "flags", f.String(),
		"allocator", a.Name, "resident", a.Resident, "limit", a.Limit,
		"pending_sheaves", c.sheaves(pendingOf)},
		stall.Attrs()...)...)
}
