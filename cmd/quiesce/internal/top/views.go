package top

import (
	"fmt"
	"strings"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/inspect"
)

// view is a kind of object that the screen can show.
type view struct {
	title string
	count func(*Frame) int // of objects; less than 0: it is not counted
	show  func(f *Frame, width int, o order) text
}

// viewOf is the view of a table.
func viewOf[T any](title string, t table[T], rows func(*Frame) []T) view {
	return view{
		title: title,
		count: func(f *Frame) int { return len(rows(f)) },
		show:  func(f *Frame, width int, o order) text { return t.lines(rows(f), width, o) },
	}
}

// views are what keys 1 to 5 show.
var views = []view{
	viewOf("caches", table[Cache]{order: 1, columns: []column[Cache]{
		name("cache", 0, 0, func(c *Cache) string { return c.Name }),
		number("bytes", 9, 0, size, func(c *Cache) float64 { return float64(c.Bytes) }),
		number("full %", 7, 0, percent, func(c *Cache) float64 { return part(c.Bytes, c.MaxBytes) }),
		number("entries", 9, 0, amount, func(c *Cache) float64 { return float64(c.Entries) }),
		number("hit %", 6, 0, percent, func(c *Cache) float64 { return c.RecentHitRatio }),
		number("hits/s", 8, 0, rate, func(c *Cache) float64 { return c.HitsPerS }),
		number("misses/s", 8, 100, rate, func(c *Cache) float64 { return c.MissesPerS }),
		number("sets/s", 8, 0, rate, func(c *Cache) float64 { return c.SetsPerS }),
		number("evict/s", 8, 0, rate, func(c *Cache) float64 { return c.EvictionsPerS }),
		number("max", 9, 120, bound, func(c *Cache) float64 { return float64(c.MaxBytes) }),
		name("allocator", 16, 120, func(c *Cache) string { return c.Allocator }),
	}}, func(f *Frame) []Cache { return f.Caches }),
	viewOf("maps", table[inspect.Map]{order: 1, columns: []column[inspect.Map]{
		name("map", 0, 0, func(m *inspect.Map) string { return m.Name }),
		number("bytes", 9, 0, size, func(m *inspect.Map) float64 { return float64(m.Bytes) }),
		number("keys", 9, 0, amount, func(m *inspect.Map) float64 { return float64(m.Keys) }),
		number("table", 9, 0, size, func(m *inspect.Map) float64 { return float64(m.Table) }),
		number("bytes/key", 10, 0, perKey, func(m *inspect.Map) float64 { return part(m.Bytes, int64(m.Keys)) }),
		name("allocator", 16, 0, func(m *inspect.Map) string { return m.Allocator }),
	}}, func(f *Frame) []inspect.Map { return f.Maps }),
	viewOf("slab caches", table[SlabCache]{order: 1, columns: []column[SlabCache]{
		name("slab cache", 0, 0, func(c *SlabCache) string { return c.Name }),
		number("bytes", 9, 0, size, func(c *SlabCache) float64 { return float64(c.Bytes) }),
		number("live", 9, 0, size, func(c *SlabCache) float64 { return float64(c.LiveBytes) }),
		number("fill %", 6, 0, percent, func(c *SlabCache) float64 { return c.Fill }),
		number("objects", 8, 0, amount, func(c *SlabCache) float64 { return float64(c.Live) }),
		number("cached", 8, 0, amount, func(c *SlabCache) float64 { return float64(c.Cached) }),
		number("deferred", 8, 0, amount, func(c *SlabCache) float64 { return float64(c.Deferred) }),
		number("rcu/s", 8, 0, rate, func(c *SlabCache) float64 { return c.FreedPerS }),
		number("held", 8, 110, amount, func(c *SlabCache) float64 { return float64(c.Held) }),
		number("size", 7, 110, amount, func(c *SlabCache) float64 { return float64(c.ObjectSize) }),
		name("allocator", 16, 120, func(c *SlabCache) string { return c.Allocator }),
	}}, func(f *Frame) []SlabCache { return f.SlabCaches }),
	viewOf("allocators", table[Allocator]{order: 1, columns: []column[Allocator]{
		name("allocator", 0, 0, func(a *Allocator) string { return a.Name }),
		number("resident", 9, 0, size, func(a *Allocator) float64 { return float64(a.Resident) }),
		number("limit", 9, 0, bound, func(a *Allocator) float64 { return float64(a.Limit) }),
		number("full %", 7, 0, percent, func(a *Allocator) float64 { return part(a.Resident, a.Limit) }),
		number("in use", 9, 0, size, func(a *Allocator) float64 { return float64(a.InUse) }),
		number("free", 9, 0, size, func(a *Allocator) float64 { return float64(a.FreePopulated + a.OnLists) }),
		number("allocs/s", 8, 0, rate, func(a *Allocator) float64 { return a.AllocsPerS }),
		number("waits/s", 8, 0, rate, func(a *Allocator) float64 { return a.WaitsPerS }),
		number("peak", 9, 110, size, func(a *Allocator) float64 { return float64(a.Peak) }),
		number("failed/s", 8, 110, rate, func(a *Allocator) float64 { return a.FailuresPerS }),
	}}, func(f *Frame) []Allocator { return f.Allocators }),
	{"rcu", func(*Frame) int { return -1 }, rcuLines},
}

func perKey(v float64) string {
	if v < 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", v)
}

// rcuLines tells of readers, grace periods and callbacks. It has no order.
func rcuLines(f *Frame, _ int, _ order) (out text) {
	r := f.RCU
	say := func(key, format string, args ...any) {
		out.lines = append(out.lines, fmt.Sprintf("%-18s ", key)+fmt.Sprintf(format, args...))
	}
	lasted := func(ns int64) time.Duration { return time.Duration(ns).Round(time.Millisecond) }
	say("grace periods", "%s, %s/s; %s expedited", kit.Count(r.GracePeriods), perSecond(r.GracePeriodsPerS), kit.Count(r.Expedited))
	if r.WaitsFor != "" {
		say("waits for", "%s, for %v", clean(r.WaitsFor), lasted(r.WaitingNS))
	}
	say("stalls", "%s", kit.Count(r.Stalls))
	if r.Stall != "" {
		say("stalled by", "%s, for %v", clean(r.Stall), lasted(r.StallNS))
	}
	say("callbacks", "%s, %s/s; %s wait", kit.Count(r.Invoked), perSecond(r.CallbacksPerS), kit.Count(r.CallbacksWaiting))
	for _, c := range r.Running {
		say("slow callback", "%s, for %v", clean(strings.TrimSpace(c.Batch+" "+c.Func)), lasted(c.RanNS))
	}
	say("barriers", "%s wait", kit.Count(r.BarriersWaiting))
	say("deferred", "%s of objects wait for readers", size(float64(f.Memory.Deferred)))
	say("readers", "%d in rcu.ReadLock, %d Ps pinned", r.Readers.Preemptible, r.Readers.Pinned)
	say("rcu.Readers", "%s, %d in a section, %d lost there", kit.Count(r.Readers.Registered), r.Readers.InSection, r.Readers.Dropped)
	say("lock waits", "%s", kit.Count(f.Locks.Contentions))
	if f.Locks.Lockdep {
		say("lockdep", "on, %s reports", kit.Count(f.Locks.Reports))
	}
	for i := len(r.Events) - 1; i >= 0; i-- { // the latest first
		e := r.Events[i]
		say(e.Time.Format("2006-01-02 15:04:05"), "%s, %v: %s", clean(e.Kind), lasted(e.LastedNS), clean(e.What))
	}
	return out
}
