package top

import (
	"time"

	"quiesce/inspect"
)

// Frame is what a process does: a snapshot, and how fast its counters grow since an
// earlier one. Names tell the units.
type Frame struct {
	Page       string          `json:"page"`
	Time       time.Time       `json:"time"`
	IntervalS  float64         `json:"interval_s"` // of the rates; 0: there are none, all are 0
	Process    inspect.Process `json:"process"`
	GCsPerS    float64         `json:"gcs_per_s"`
	Memory     inspect.Memory  `json:"memory"`
	Caches     []Cache         `json:"caches"`
	Maps       []inspect.Map   `json:"maps"`
	SlabCaches []SlabCache     `json:"slab_caches"`
	Allocators []Allocator     `json:"allocators"`
	RCU        RCU             `json:"rcu"`
	Locks      inspect.Locks   `json:"locks"`
}

// Cache is a bounded cache. RecentHitRatio is that of the interval, or HitRatio if
// there was no look-up in it.
type Cache struct {
	inspect.Cache
	RecentHitRatio float64 `json:"recent_hit_ratio"`
	HitsPerS       float64 `json:"hits_per_s"`
	MissesPerS     float64 `json:"misses_per_s"`
	SetsPerS       float64 `json:"sets_per_s"`
	EvictionsPerS  float64 `json:"evictions_per_s"`
}

// SlabCache is a slab cache.
type SlabCache struct {
	inspect.SlabCache
	FreedPerS float64 `json:"rcu_freed_per_s"`
}

// Allocator is an allocator of pages.
type Allocator struct {
	inspect.Allocator
	AllocsPerS   float64 `json:"allocs_per_s"`
	WaitsPerS    float64 `json:"waits_per_s"`
	FailuresPerS float64 `json:"failures_per_s"`
}

// RCU is what readers and grace periods do.
type RCU struct {
	inspect.RCU
	GracePeriodsPerS float64 `json:"grace_periods_per_s"`
	CallbacksPerS    float64 `json:"callbacks_per_s"`
}

// newFrame makes a Frame of two snapshots. Without an earlier one (nil), or if the
// process started anew in between, there are no rates.
func newFrame(page string, earlier, now *inspect.State) *Frame {
	if earlier == nil || !now.Time.After(earlier.Time) ||
		now.RCU.GracePeriods < earlier.RCU.GracePeriods || now.Process.GCCycles < earlier.Process.GCCycles {
		earlier = now
	}
	s := now.Time.Sub(earlier.Time).Seconds()
	rate := func(before, after uint64) float64 {
		if s == 0 || after < before { // an object of that name was closed
			return 0
		}
		return float64(after-before) / s
	}
	f := &Frame{
		Page: page, Time: now.Time, IntervalS: s, Process: now.Process, Memory: now.Memory, Maps: now.Maps, Locks: now.Locks,
		GCsPerS: rate(earlier.Process.GCCycles, now.Process.GCCycles),
		RCU: RCU{
			RCU: now.RCU, GracePeriodsPerS: rate(earlier.RCU.GracePeriods, now.RCU.GracePeriods),
			CallbacksPerS: rate(earlier.RCU.Invoked, now.RCU.Invoked),
		},
	}
	pairs(earlier.Caches, now.Caches, func(c *inspect.Cache) string { return c.Name }, func(was, is *inspect.Cache) {
		c := Cache{
			Cache: *is, RecentHitRatio: is.HitRatio,
			HitsPerS: rate(was.Hits, is.Hits), MissesPerS: rate(was.Misses, is.Misses),
			SetsPerS: rate(was.Sets, is.Sets), EvictionsPerS: rate(was.Evictions, is.Evictions),
		}
		if all := c.HitsPerS + c.MissesPerS; all > 0 {
			c.RecentHitRatio = c.HitsPerS / all
		}
		f.Caches = append(f.Caches, c)
	})
	pairs(earlier.SlabCaches, now.SlabCaches, func(c *inspect.SlabCache) string { return c.Name }, func(was, is *inspect.SlabCache) {
		f.SlabCaches = append(f.SlabCaches, SlabCache{*is, rate(was.RCUArrays, is.RCUArrays)})
	})
	pairs(earlier.Allocators, now.Allocators, func(a *inspect.Allocator) string { return a.Name }, func(was, is *inspect.Allocator) {
		f.Allocators = append(f.Allocators, Allocator{
			*is, rate(was.Allocs, is.Allocs), rate(was.Waits, is.Waits), rate(was.Failures, is.Failures),
		})
	})
	return f
}

// pairs calls fn with each object of now and the one that had its name before, or
// itself if none had.
func pairs[T any](before, now []T, nameOf func(*T) string, fn func(was, is *T)) {
	named := make(map[string]*T, len(before))
	for i := range before {
		named[nameOf(&before[i])] = &before[i]
	}
	for i := range now {
		was := named[nameOf(&now[i])]
		if was == nil {
			was = &now[i]
		}
		fn(was, &now[i])
	}
}
