package inspect

import (
	"cmp"
	"expvar"
	"math"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"time"

	"quiesce/cache"
	"quiesce/internal/live"
	"quiesce/internal/stall"
	"quiesce/lockdep"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/slab"
)

// Snapshot returns the figures of everything that is not closed. It takes a few
// microseconds for each slab cache.
//
// Context: task; not pinned.
func Snapshot() State {
	s := State{Time: time.Now(), Process: process(), RCU: rcuState()}
	s.Allocators = read(live.Allocators, allocator)
	s.SlabCaches = read(live.Slabs, slabCache)
	s.Maps = read(live.Maps, func(f live.Figures, m live.MapFigures) Map {
		return Map{Name: f.Label, Allocator: f.Allocator, Keys: m.Keys, Bytes: m.Bytes, Table: m.Buckets}
	})
	s.Caches = read(live.Caches, boundedCache)
	for _, a := range s.Allocators {
		s.Memory.Resident += a.Resident
		s.Memory.Limit += a.Limit
		s.Memory.InUse += a.InUse
		s.Locks.Contentions += a.Contentions
	}
	for _, c := range s.SlabCaches {
		s.Memory.Slabs += c.Bytes
		s.Memory.Live += c.LiveBytes
		s.Memory.Deferred += int64(c.Deferred) * int64(c.ObjectSize)
		s.Locks.Contentions += c.Contentions
	}
	s.Locks.Lockdep, s.Locks.Reports = lockdep.Enabled(), lockdep.ReadStats().Reports
	return s
}

// PublishExpvar publishes [Snapshot] as a variable of package expvar, which is
// read when the variable is. It panics if there is a variable of that name.
func PublishExpvar(name string) {
	expvar.Publish(name, expvar.Func(func() any { return Snapshot() }))
}

// read returns the objects of a kind, sorted by name. F is the type of its figures.
func read[F, T any](k live.Kind, show func(live.Figures, F) T) []T {
	all := live.Read(k)
	slices.SortFunc(all, func(a, b live.Figures) int { return compareNames(a.Label, b.Label) })
	out := make([]T, 0, len(all))
	for _, f := range all {
		out = append(out, show(f, f.Of.(F)))
	}
	return out
}

// compareNames orders names as people do: numbers in them count as numbers.
func compareNames(a, b string) int {
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	for same > 0 && isDigit(a[same-1]) { // the number that they differ in
		same--
	}
	a, b = a[same:], b[same:]
	x, y := number(a), number(b)
	if x == "" || y == "" || x == y {
		return strings.Compare(a, b)
	}
	x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y), strings.Compare(a, b))
}

// number returns the digits that a string begins with.
func number(s string) string {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return s[:n]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func allocator(f live.Figures, s page.Stats) Allocator {
	a := Allocator{
		Name: f.Label, Limit: s.Limit, Resident: s.Resident, Peak: s.Peak, Metadata: s.Metadata, InUse: s.InUse,
		Free: s.Free, FreePopulated: s.FreePopulated, OnLists: s.OnLists, Deferred: s.Deferred,
		Allocs: s.Allocs, Frees: s.Frees, Failures: s.Failures, Refusals: s.Refusals, Waits: s.Waits,
		Reclaims: s.Reclaims, Ahead: s.Ahead, Scavenged: s.Scavenged, Contentions: s.Contentions,
	}
	for order, n := range s.FreeBlocks {
		if n > 0 {
			a.LargestFree = page.Size << order
		}
	}
	return a
}

func slabCache(f live.Figures, s slab.CacheStats) SlabCache {
	c := SlabCache{
		Name: f.Label, Owner: f.Owner, Allocator: f.Allocator,
		ObjectSize: s.ObjectSize, SlabBytes: s.SlabBytes, SheafCap: s.SheafCap,
		Slabs: s.Slabs, Objects: s.Objects, Free: max(s.Objects-s.Out, 0), Out: s.Out,
		Live: s.Live, Cached: s.Cached, Deferred: s.Deferred, Held: s.Held,
		Bytes: s.Bytes, LiveBytes: int64(s.Live) * int64(s.ObjectSize),
		Pending: s.Pending, Depot: s.Depot, Sheaves: s.Sheaves,
		RCUArrays: s.RCUArrays, Reused: s.Reused, Helped: s.Helped, Bulk: s.Bulk,
		Fallback: s.Fallback, FallbackFreed: s.FallbackFreed, Flushed: s.Flushed,
		Refusals: s.Refusals, Failures: s.Failures, Contentions: s.Contentions,
	}
	if c.Bytes > 0 {
		c.Fill = float64(c.LiveBytes) / float64(c.Bytes)
	}
	return c
}

func boundedCache(f live.Figures, s cache.Stats) Cache {
	return Cache{
		Name: f.Label, Allocator: f.Allocator, Entries: s.Entries, Bytes: s.Bytes, MaxBytes: s.MaxBytes, HitRatio: s.HitRatio(),
		Hits: s.Hits, Misses: s.Misses, Sets: s.Sets, Evictions: s.Evictions, Expirations: s.Expirations, Deletes: s.Deletes,
		Replaced: s.Replaced, Cleared: s.Cleared, Dropped: s.Dropped, Busy: s.Busy, TooLarge: s.TooLarge,
	}
}

func rcuState() RCU {
	s, f := rcu.ReadStats(), live.RCU()
	r := RCU{
		GracePeriods: s.GracePeriods, Expedited: s.Expedited, Callbacks: s.Callbacks, Invoked: s.Invoked, Stalls: s.Stalls,
		InProgress: f.InProgress, WaitsFor: f.WaitsFor, WaitingNS: int64(f.Waiting),
		Readers: Readers{
			Preemptible: f.Preemptible, Pinned: f.Pinned, Registered: f.Registered, InSection: f.InSection, Dropped: f.Dropped,
		},
		CallbacksWaiting: f.CallbacksWaiting, BarriersWaiting: f.BarriersWaiting, DeferredBytes: f.Deferred,
		Running: []Callback{}, Events: []Event{},
	}
	reader, since := stall.Current()
	r.Stall, r.StallNS = reader, int64(since)
	for _, c := range f.Running {
		r.Running = append(r.Running, Callback{Batch: c.Batch, Func: c.Func, RanNS: int64(c.Ran)})
	}
	for _, e := range stall.History() {
		r.Events = append(r.Events, Event{Time: e.When, Kind: e.Kind, What: e.What, LastedNS: int64(e.Lasted)})
	}
	return r
}

// The runtime's figures that Process has.
const (
	metricTotal    = "/memory/classes/total:bytes"
	metricReleased = "/memory/classes/heap/released:bytes"
	metricObjects  = "/memory/classes/heap/objects:bytes"
	metricLimit    = "/gc/gomemlimit:bytes"
	metricCycles   = "/gc/cycles/total:gc-cycles"
)

func process() Process {
	ms := []metrics.Sample{{Name: metricTotal}, {Name: metricReleased}, {Name: metricObjects}, {Name: metricLimit}, {Name: metricCycles}}
	metrics.Read(ms)
	value := func(i int) int64 {
		if ms[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return int64(min(ms[i].Value.Uint64(), math.MaxInt64))
	}
	p := Process{
		GoVersion: runtime.Version(), GOMAXPROCS: runtime.GOMAXPROCS(0), Goroutines: runtime.NumGoroutine(),
		GoBytes: value(0) - value(1), GoHeapBytes: value(2), GoMemLimit: value(3), GCCycles: uint64(value(4)),
	}
	if p.GoMemLimit == math.MaxInt64 {
		p.GoMemLimit = 0
	}
	return p
}
