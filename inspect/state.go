package inspect

import "time"

// State is what [Snapshot] returns. Lists are sorted by name. Sizes are in bytes,
// and what ends in _ns in nanoseconds. Its keys in JSON are stable: there may be
// more, but none that are there go.
type State struct {
	Time       time.Time   `json:"time"`
	Process    Process     `json:"process"`
	Memory     Memory      `json:"memory"`
	Allocators []Allocator `json:"allocators"`
	SlabCaches []SlabCache `json:"slab_caches"`
	Maps       []Map       `json:"maps"`
	Caches     []Cache     `json:"caches"`
	RCU        RCU         `json:"rcu"`
	Locks      Locks       `json:"locks"`
}

// Process is what the Go runtime says.
type Process struct {
	GoVersion   string `json:"go_version"`
	GOMAXPROCS  int    `json:"gomaxprocs"`
	Goroutines  int    `json:"goroutines"`
	GoBytes     int64  `json:"go_bytes"`      // what the runtime holds of the system
	GoHeapBytes int64  `json:"go_heap_bytes"` // of them, objects on the heap
	GoMemLimit  int64  `json:"go_mem_limit"`  // GOMEMLIMIT; 0: none
	GCCycles    uint64 `json:"gc_cycles"`
}

// Memory sums up the allocators. Live is the sum of all slab caches' LiveBytes.
type Memory struct {
	Resident int64 `json:"resident_bytes"`
	Limit    int64 `json:"limit_bytes"` // of those that have one
	InUse    int64 `json:"in_use_bytes"`
	Slabs    int64 `json:"slab_bytes"` // of InUse: slabs and their arrays
	Live     int64 `json:"live_bytes"`
	Deferred int64 `json:"deferred_bytes"` // of objects that wait for readers
}

// Allocator is a page.Allocator: see page.Stats. At rest
//
//	Resident = Metadata + page.Size + InUse + OnLists + Deferred + FreePopulated
type Allocator struct {
	Name          string `json:"name"`
	Limit         int64  `json:"limit_bytes"` // 0: none
	Resident      int64  `json:"resident_bytes"`
	Peak          int64  `json:"peak_bytes"`
	Metadata      int64  `json:"metadata_bytes"`
	InUse         int64  `json:"in_use_bytes"`
	Free          int64  `json:"free_bytes"`
	FreePopulated int64  `json:"free_populated_bytes"`
	OnLists       int64  `json:"on_lists_bytes"`
	Deferred      int64  `json:"deferred_bytes"`

	// LargestFree is the size of the largest free block, populated or not, up to
	// the largest that the allocator hands out.
	LargestFree int64 `json:"largest_free_bytes"`

	Allocs      uint64 `json:"allocs_total"`
	Frees       uint64 `json:"frees_total"`
	Failures    uint64 `json:"failures_total"`
	Refusals    uint64 `json:"refusals_total"`
	Waits       uint64 `json:"waits_total"`
	Reclaims    uint64 `json:"reclaims_total"`
	Ahead       uint64 `json:"reclaims_ahead_total"`
	Scavenged   uint64 `json:"scavenged_bytes_total"`
	Contentions uint64 `json:"contentions_total"`
}

// SlabCache is a slab.Cache, or a size class of a slab.Heap: see slab.CacheStats.
// At rest
//
//	Objects = Free + Out
//	Out     = Live + Cached + Deferred + Held
type SlabCache struct {
	Name       string `json:"name"`
	Owner      string `json:"owner"` // of a size class: its Heap, map or cache; ""
	Allocator  string `json:"allocator"`
	ObjectSize int    `json:"object_bytes"` // of one, rounded up to 16
	SlabBytes  int    `json:"bytes_per_slab"`
	SheafCap   int    `json:"objects_per_sheaf"`

	Slabs    int `json:"slabs"`
	Objects  int `json:"objects"` // that the slabs have room for
	Free     int `json:"free"`    // in their slabs
	Out      int `json:"out"`
	Live     int `json:"live"`     // allocated
	Cached   int `json:"cached"`   // in the Ps' sheaves and the depot
	Deferred int `json:"deferred"` // given to FreeRCU, not yet free
	Held     int `json:"held"`     // by open Sheaves of goroutines

	Bytes     int64   `json:"bytes"` // pages: slabs and arrays
	LiveBytes int64   `json:"live_bytes"`
	Fill      float64 `json:"fill"` // LiveBytes / Bytes, or 0

	Pending       int    `json:"pending_sheaves"`
	Depot         int    `json:"depot_sheaves"`
	Sheaves       int    `json:"open_sheaves"`
	RCUArrays     uint64 `json:"rcu_freed_total"`
	Reused        uint64 `json:"reused_total"`
	Helped        uint64 `json:"helped_total"`
	Bulk          uint64 `json:"bulk_freed_total"`
	Fallback      uint64 `json:"fallback_total"`
	FallbackFreed uint64 `json:"fallback_freed_total"`
	Flushed       uint64 `json:"flushed_total"`
	Refusals      uint64 `json:"refusals_total"`
	Failures      uint64 `json:"failures_total"`
	Contentions   uint64 `json:"contentions_total"`
}

// Map is an rcuhash.Map or rcuhash.Bytes that is not a cache's.
type Map struct {
	Name      string `json:"name"`
	Allocator string `json:"allocator"`
	Keys      int    `json:"keys"`
	Bytes     int64  `json:"bytes"` // keys, values and table
	Table     int64  `json:"table_bytes"`
}

// Cache is a cache.Cache or cache.Bytes: see cache.Stats. At rest
//
//	Sets = Entries + Evictions + Expirations + Deletes + Replaced + Cleared + Dropped
type Cache struct {
	Name      string  `json:"name"`
	Allocator string  `json:"allocator"`
	Entries   int     `json:"entries"`
	Bytes     int64   `json:"bytes"`
	MaxBytes  int64   `json:"max_bytes"` // 0: the allocator's limit alone
	HitRatio  float64 `json:"hit_ratio"` // since the cache was made

	Hits        uint64 `json:"hits_total"`
	Misses      uint64 `json:"misses_total"`
	Sets        uint64 `json:"sets_total"`
	Evictions   uint64 `json:"evictions_total"`
	Expirations uint64 `json:"expirations_total"`
	Deletes     uint64 `json:"deletes_total"`
	Replaced    uint64 `json:"replaced_total"`
	Cleared     uint64 `json:"cleared_total"`
	Dropped     uint64 `json:"dropped_total"`
	Busy        uint64 `json:"busy_total"`
	TooLarge    uint64 `json:"too_large_total"`
}

// RCU is what readers, grace periods and callbacks do: see rcu.Stats.
type RCU struct {
	GracePeriods uint64 `json:"grace_periods_total"`
	Expedited    uint64 `json:"expedited_total"`
	Callbacks    uint64 `json:"callbacks_total"`
	Invoked      uint64 `json:"invoked_total"`
	Stalls       uint64 `json:"stalls_total"`

	InProgress bool   `json:"in_progress"` // a grace period is
	WaitsFor   string `json:"waits_for"`   // what it has waited for since WaitingNS; "": nothing
	WaitingNS  int64  `json:"waiting_ns"`
	Stall      string `json:"stall"` // the reader that was reported and still holds it up; ""
	StallNS    int64  `json:"stall_ns"`

	Readers          Readers    `json:"readers"`
	CallbacksWaiting uint64     `json:"callbacks_waiting"`
	BarriersWaiting  int64      `json:"barriers_waiting"`
	Running          []Callback `json:"slow_callbacks"` // callbacks that have run for long
	DeferredBytes    int64      `json:"deferred_bytes"` // of objects in closed sheaves
	Events           []Event    `json:"events"`         // the last reports, the oldest first
}

// Readers counts the read-side sections that are open.
type Readers struct {
	Preemptible int `json:"preemptible"` // of rcu.ReadLock
	Pinned      int `json:"pinned"`      // Ps in a pinned section
	Registered  int `json:"registered"`  // rcu.Readers, in a section or not
	InSection   int `json:"in_section"`  // of them, those in a section
	Dropped     int `json:"dropped"`     // of those, lost by the program
}

// Callback is a callback that runs and holds up others, by the time of the last
// look: they are a few seconds apart.
type Callback struct {
	Batch string `json:"batch"` // whose function it is; "": of rcu.Call
	Func  string `json:"func"`
	RanNS int64  `json:"ran_ns"`
}

// Event is a report of a reader that held up a grace period, or of a callback that
// held up others.
type Event struct {
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"` // reader or callback
	What     string    `json:"what"`
	LastedNS int64     `json:"lasted_ns"`
}

// Locks is what is known of locks.
type Locks struct {
	Contentions uint64 `json:"contentions_total"` // waits for the locks of allocators and slab caches
	Lockdep     bool   `json:"lockdep"`           // it checks
	Reports     uint64 `json:"lockdep_reports_total"`
}
