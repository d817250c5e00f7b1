package inspect

import (
	"iter"
	"slices"
)

// Metric is a figure of [State] that is worth keeping over time. What feeds a
// monitoring system makes its instruments of them: quiesce/contrib/prom for
// Prometheus, quiesce/contrib/otel for OpenTelemetry.
type Metric struct {
	Of      string   // what has the figure: allocator, slab_cache, map, cache, rcu or lockdep
	Name    string   // such as hits: lower case, words joined by _, without a unit
	Unit    string   // of UCUM: By for bytes, s for seconds, or what is counted, {hit}
	Help    string   // a sentence
	Counter bool     // it only grows while what has it is there
	Labels  []string // what its objects are told apart by: first Of, whose values are unique. None: there is one value

	read func(*State, func(labels []string, value float64) bool)
}

// Metrics returns the figures that are worth keeping, those of one kind of object
// together. A figure that others add up to, or follow from by a division, is not
// among them.
func Metrics() []Metric { return slices.Clone(metricTable) }

// Values returns the metric's value for each object of a snapshot, with the values
// of Labels. All metrics that have the same Of give the same labels, in one order.
func (m Metric) Values(s *State) iter.Seq2[[]string, float64] {
	return func(yield func([]string, float64) bool) { m.read(s, yield) }
}

// figure is a Metric of a T.
type figure[T any] struct {
	name, unit string
	kind       figureKind
	help       string
	value      func(*T) float64
}

type figureKind bool

const (
	gauge   figureKind = false
	counter figureKind = true
)

// metricsOf makes the metrics of a kind of object. labelsOf returns the values of
// labels; the objects are those that list returns.
func metricsOf[T any](of string, labels []string, list func(*State) []T, labelsOf func(*T) []string, figures []figure[T]) []Metric {
	out := make([]Metric, 0, len(figures))
	for _, f := range figures {
		out = append(out, Metric{
			Of: of, Name: f.name, Unit: f.unit, Help: f.help, Counter: f.kind == counter, Labels: labels,
			read: func(s *State, yield func([]string, float64) bool) {
				all := list(s)
				for i := range all {
					if !yield(labelsOf(&all[i]), f.value(&all[i])) {
						return
					}
				}
			},
		})
	}
	return out
}

// one is for what there is one of.
func one[T any](part func(*State) T) func(*State) []T {
	return func(s *State) []T { return []T{part(s)} }
}

func unlabelled[T any](*T) []string { return nil }

var metricTable = slices.Concat(
	metricsOf("allocator", []string{"allocator"},
		func(s *State) []Allocator { return s.Allocators }, func(a *Allocator) []string { return []string{a.Name} }, []figure[Allocator]{
			{"limit", "By", gauge, "The most memory that the allocator holds populated; 0 is no limit.", func(a *Allocator) float64 { return float64(a.Limit) }},
			{"resident", "By", gauge, "Populated memory, which counts towards the limit.", func(a *Allocator) float64 { return float64(a.Resident) }},
			{"peak", "By", gauge, "Highest value of the populated memory.", func(a *Allocator) float64 { return float64(a.Peak) }},
			{"metadata", "By", gauge, "Populated memory that describes other memory.", func(a *Allocator) float64 { return float64(a.Metadata) }},
			{"in_use", "By", gauge, "Memory that is handed out.", func(a *Allocator) float64 { return float64(a.InUse) }},
			{"free", "By", gauge, "Free memory in blocks, populated or not.", func(a *Allocator) float64 { return float64(a.Free) }},
			{"free_populated", "By", gauge, "Free memory in blocks that is populated.", func(a *Allocator) float64 { return float64(a.FreePopulated) }},
			{"on_lists", "By", gauge, "Free memory on the lists of Ps.", func(a *Allocator) float64 { return float64(a.OnLists) }},
			{"deferred", "By", gauge, "Memory that was freed and is not yet among the free blocks.", func(a *Allocator) float64 { return float64(a.Deferred) }},
			{"largest_free", "By", gauge, "Largest free block.", func(a *Allocator) float64 { return float64(a.LargestFree) }},
			{"allocations", "{allocation}", counter, "Blocks that were handed out.", func(a *Allocator) float64 { return float64(a.Allocs) }},
			{"frees", "{free}", counter, "Blocks that were freed.", func(a *Allocator) float64 { return float64(a.Frees) }},
			{"failures", "{failure}", counter, "Requests for blocks that got nil because there was no memory; a later attempt may have succeeded.", func(a *Allocator) float64 { return float64(a.Failures) }},
			{"refusals", "{refusal}", counter, "Requests with gfp.NoLocks that got nil because nothing was cached.", func(a *Allocator) float64 { return float64(a.Refusals) }},
			{"waits", "{wait}", counter, "Requests with gfp.Kernel that waited for memory.", func(a *Allocator) float64 { return float64(a.Waits) }},
			{"reclaims", "{round}", counter, "Rounds of reclaim by requests that waited.", func(a *Allocator) float64 { return float64(a.Reclaims) }},
			{"reclaims_ahead", "{round}", counter, "Rounds of reclaim in the background.", func(a *Allocator) float64 { return float64(a.Ahead) }},
			{"scavenged", "By", counter, "Memory of free blocks that was returned to the system.", func(a *Allocator) float64 { return float64(a.Scavenged) }},
			{"lock_contentions", "{wait}", counter, "Waits for the lock of the free blocks.", func(a *Allocator) float64 { return float64(a.Contentions) }},
		}),
	metricsOf("slab_cache", []string{"slab_cache", "allocator", "owner"},
		func(s *State) []SlabCache { return s.SlabCaches }, func(c *SlabCache) []string { return []string{c.Name, c.Allocator, c.Owner} }, []figure[SlabCache]{
			{"size", "By", gauge, "Memory of slabs and of arrays of free objects.", func(c *SlabCache) float64 { return float64(c.Bytes) }},
			{"live", "By", gauge, "Memory of live objects.", func(c *SlabCache) float64 { return float64(c.LiveBytes) }},
			{"slabs", "{slab}", gauge, "Slabs.", func(c *SlabCache) float64 { return float64(c.Slabs) }},
			{"objects", "{object}", gauge, "Objects that the slabs have room for.", func(c *SlabCache) float64 { return float64(c.Objects) }},
			{"objects_live", "{object}", gauge, "Objects that are allocated.", func(c *SlabCache) float64 { return float64(c.Live) }},
			{"objects_cached", "{object}", gauge, "Free objects for the next allocations of a P or of all.", func(c *SlabCache) float64 { return float64(c.Cached) }},
			{"objects_deferred", "{object}", gauge, "Objects that were given to FreeRCU and are not yet free.", func(c *SlabCache) float64 { return float64(c.Deferred) }},
			{"objects_held", "{object}", gauge, "Objects that open Sheaves of goroutines hold.", func(c *SlabCache) float64 { return float64(c.Held) }},
			{"pending_sheaves", "{sheaf}", gauge, "Arrays of objects that wait for a grace period.", func(c *SlabCache) float64 { return float64(c.Pending) }},
			{"rcu_freed", "{object}", counter, "Objects that FreeRCU put into arrays.", func(c *SlabCache) float64 { return float64(c.RCUArrays) }},
			{"reused", "{object}", counter, "Of them, objects that were allocated again in whole arrays.", func(c *SlabCache) float64 { return float64(c.Reused) }},
			{"bulk_freed", "{object}", counter, "Of them, objects that went back to their slabs together.", func(c *SlabCache) float64 { return float64(c.Bulk) }},
			{"fallback", "{object}", counter, "Objects that FreeRCU or Free put on the fallback chain.", func(c *SlabCache) float64 { return float64(c.Fallback) }},
			{"refusals", "{refusal}", counter, "Requests with gfp.NoLocks that got nil because nothing was cached.", func(c *SlabCache) float64 { return float64(c.Refusals) }},
			{"failures", "{failure}", counter, "Objects that callers asked for and did not get.", func(c *SlabCache) float64 { return float64(c.Failures) }},
			{"lock_contentions", "{wait}", counter, "Waits for the lock of the slabs.", func(c *SlabCache) float64 { return float64(c.Contentions) }},
		}),
	metricsOf("map", []string{"map", "allocator"},
		func(s *State) []Map { return s.Maps }, func(m *Map) []string { return []string{m.Name, m.Allocator} }, []figure[Map]{
			{"keys", "{key}", gauge, "Keys.", func(m *Map) float64 { return float64(m.Keys) }},
			{"size", "By", gauge, "Memory of keys, values and the table.", func(m *Map) float64 { return float64(m.Bytes) }},
			{"table", "By", gauge, "Memory of the table.", func(m *Map) float64 { return float64(m.Table) }},
		}),
	metricsOf("cache", []string{"cache", "allocator"},
		func(s *State) []Cache { return s.Caches }, func(c *Cache) []string { return []string{c.Name, c.Allocator} }, []figure[Cache]{
			{"entries", "{entry}", gauge, "Entries.", func(c *Cache) float64 { return float64(c.Entries) }},
			{"size", "By", gauge, "Memory of the cache.", func(c *Cache) float64 { return float64(c.Bytes) }},
			{"max_size", "By", gauge, "The most memory that the cache takes; 0 is the allocator's limit alone.", func(c *Cache) float64 { return float64(c.MaxBytes) }},
			{"hits", "{hit}", counter, "Look-ups that found their key.", func(c *Cache) float64 { return float64(c.Hits) }},
			{"misses", "{miss}", counter, "Look-ups that did not find their key.", func(c *Cache) float64 { return float64(c.Misses) }},
			{"sets", "{entry}", counter, "Entries that were stored.", func(c *Cache) float64 { return float64(c.Sets) }},
			{"evictions", "{entry}", counter, "Entries that left to make room.", func(c *Cache) float64 { return float64(c.Evictions) }},
			{"expirations", "{entry}", counter, "Entries that left when their time to live was over.", func(c *Cache) float64 { return float64(c.Expirations) }},
			{"deletes", "{entry}", counter, "Entries that were deleted.", func(c *Cache) float64 { return float64(c.Deletes) }},
			{"replaced", "{entry}", counter, "Entries that a later one of the same key replaced.", func(c *Cache) float64 { return float64(c.Replaced) }},
			{"cleared", "{entry}", counter, "Entries that were cleared with all others.", func(c *Cache) float64 { return float64(c.Cleared) }},
			{"dropped", "{entry}", counter, "Entries that left because storing a later one of the same key failed.", func(c *Cache) float64 { return float64(c.Dropped) }},
			{"busy", "{failure}", counter, "Entries that were not stored because there was no memory in time.", func(c *Cache) float64 { return float64(c.Busy) }},
			{"too_large", "{failure}", counter, "Entries that were not stored because they were too large.", func(c *Cache) float64 { return float64(c.TooLarge) }},
		}),
	metricsOf("rcu", nil, one(func(s *State) RCU { return s.RCU }), unlabelled, []figure[RCU]{
		{"grace_periods", "{period}", counter, "Grace periods that are over.", func(r *RCU) float64 { return float64(r.GracePeriods) }},
		{"expedited", "{call}", counter, "Calls that expedited their grace period.", func(r *RCU) float64 { return float64(r.Expedited) }},
		{"waiting", "s", gauge, "How long the grace period in progress has waited for what it waits for.", func(r *RCU) float64 { return float64(r.WaitingNS) / 1e9 }},
		{"stalls", "{stall}", counter, "Readers that were reported because they held up a grace period.", func(r *RCU) float64 { return float64(r.Stalls) }},
		{"stall", "s", gauge, "How long the reader that was reported has held up the grace period; 0 if it no longer does.", func(r *RCU) float64 { return float64(r.StallNS) / 1e9 }},
		{"callbacks", "{callback}", counter, "Callbacks that were queued.", func(r *RCU) float64 { return float64(r.Callbacks) }},
		{"callbacks_invoked", "{callback}", counter, "Callbacks that have run.", func(r *RCU) float64 { return float64(r.Invoked) }},
		{"callbacks_waiting", "{callback}", gauge, "Callbacks that are queued.", func(r *RCU) float64 { return float64(r.CallbacksWaiting) }},
		{"callbacks_slow", "{callback}", gauge, "Callbacks that hold up others by running for long.", func(r *RCU) float64 { return float64(len(r.Running)) }},
		{"barriers_waiting", "{barrier}", gauge, "Calls of Barrier that wait.", func(r *RCU) float64 { return float64(r.BarriersWaiting) }},
		{"deferred", "By", gauge, "Memory of objects that wait for readers in closed arrays.", func(r *RCU) float64 { return float64(r.DeferredBytes) }},
		{"readers_preemptible", "{reader}", gauge, "Open read-side sections of rcu.ReadLock.", func(r *RCU) float64 { return float64(r.Readers.Preemptible) }},
		{"readers_pinned", "{reader}", gauge, "Ps in a pinned section.", func(r *RCU) float64 { return float64(r.Readers.Pinned) }},
		{"readers_registered", "{reader}", gauge, "Readers of rcu.NewReader.", func(r *RCU) float64 { return float64(r.Readers.Registered) }},
		{"readers_in_section", "{reader}", gauge, "Of them, those in a section.", func(r *RCU) float64 { return float64(r.Readers.InSection) }},
		{"readers_dropped", "{reader}", gauge, "Of those, Readers that the program lost.", func(r *RCU) float64 { return float64(r.Readers.Dropped) }},
	}),
	metricsOf("lockdep", nil, one(func(s *State) Locks { return s.Locks }), unlabelled, []figure[Locks]{
		{"reports", "{report}", counter, "Reports of lockdep.", func(l *Locks) float64 { return float64(l.Reports) }},
	}),
)
