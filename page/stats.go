package page

import (
	"sync/atomic"
	"time"

	"quiesce/internal/live"
	"quiesce/preempt"
)

// known has the allocators that are not closed, for package inspect.
var known live.Set[Allocator]

func init() {
	live.Provide(live.Allocators, func() []live.Figures {
		return live.ReadAll(&known, func(a *Allocator) (live.Figures, bool) {
			return live.Figures{Of: a.Stats()}, true
		})
	})
}

// counters count what doesn't go through the lists.
type counters struct {
	allocs    atomic.Uint64
	frees     atomic.Uint64
	failures  atomic.Uint64
	refusals  atomic.Uint64
	reclaims  atomic.Uint64
	waits     atomic.Uint64
	ahead     atomic.Uint64
	scavenged atomic.Uint64
}

// Stats describes an allocator at one moment; sizes are in bytes. While no
// goroutine allocates or frees,
//
//	Resident = Metadata + Size + InUse + OnLists + Deferred + FreePopulated
//
// where Size is page 0.
type Stats struct {
	Name    string
	Limit   int64 // 0: no limit
	Reserve int64 // the last bytes of the limit, which only gfp.Atomic gets

	Resident int64 // populated: has memory, counts towards Limit
	Peak     int64 // highest Resident
	Metadata int64 // populated metadata
	InUse    int64 // handed out, with the pages of package slab's guarded objects

	Free          int64 // in the buddy, with or without memory
	FreePopulated int64 // in the buddy, with memory
	OnLists       int64 // on the Ps' lists
	Deferred      int64 // freed, not yet in the buddy

	FreeBlocks [MaxOrder + 1]int64 // blocks in the buddy, by order

	Allocs    uint64 // blocks handed out
	Frees     uint64 // blocks freed
	Failures  uint64 // allocations that returned nil because there was no memory
	Refusals  uint64 // gfp.NoLocks allocations that returned nil
	Waits     uint64 // gfp.Kernel allocations, of objects as well, that had to wait for memory
	Reclaims  uint64 // rounds of reclaim by gfp.Kernel allocations
	Ahead     uint64 // rounds of reclaim in the background, so that allocations need not wait
	Scavenged uint64 // bytes of free blocks returned to the system

	Contentions uint64 // waits for the lock of the buddy: [lock.Spin.Contentions]
}

// Range returns the size of the allocator's address range in bytes: its
// Config.Reserve, or what the system granted. Context: any.
func (a *Allocator) Range() uintptr { return a.core.Size }

// ReclaimTimeout returns the allocator's Config.ReclaimTimeout, with the default
// filled in. Context: any.
func (a *Allocator) ReclaimTimeout() time.Duration { return a.core.Timeout }

// Stats returns the allocator's figures. It takes no lock, so figures that
// change at that moment need not fit together. Context: any. In a raw atomic
// context the limit of [Default] is 0 until it is read elsewhere.
func (a *Allocator) Stats() Stats { // ord:stat
	if !preempt.Atomic() {
		a.findLimit()
	}
	z := &a.zone
	limit := a.limitNow()
	s := Stats{
		Name:      a.name,
		Limit:     limit,
		Reserve:   watermark(limit),
		Resident:  z.resident.Load(),
		Peak:      z.peak.Load(),
		Allocs:    a.count.allocs.Load(),
		Frees:     a.count.frees.Load(),
		Failures:  a.count.failures.Load(),
		Refusals:  a.count.refusals.Load(),
		Waits:     a.count.waits.Load(),
		Reclaims:  a.count.reclaims.Load(),
		Ahead:     a.count.ahead.Load(),
		Scavenged: a.count.scavenged.Load(),

		Contentions: a.zone.lock.Contentions(),
	}
	if a.closed.Load() {
		return s
	}
	listed, allocs, frees := a.listed()
	s.Allocs += allocs
	s.Frees += frees
	s.Metadata = z.metadata.Load()
	s.Free = z.freePages.Load() * Size
	s.FreePopulated = z.freePop.Load() * Size
	s.OnLists = listed * Size
	s.Deferred = max(a.deferredPages.Load(), 0) * Size
	all := int64(a.core.Added.Load()) - 1 - z.transit.Load()
	s.InUse = max(all*Size-s.Free-s.OnLists-s.Deferred, 0) + z.charged.Load()
	for o := range s.FreeBlocks {
		s.FreeBlocks[o] = z.blocks[o].Load()
	}
	return s
}
