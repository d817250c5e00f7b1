package demo

// Report is what a run found. Its JSON form is stable: the names have the units.
type Report struct {
	OK      bool   `json:"ok"`      // no integrity errors and no leaks
	Partial bool   `json:"partial"` // interrupted
	EndedIn Phase  `json:"ended_in"`
	Dir     string `json:"dir"`
	Seed    uint64 `json:"seed"`

	Files           int     `json:"files"`
	FilesUnreadable int     `json:"files_unreadable"`
	NotRegular      int     `json:"not_regular"` // symbolic links and special files, passed over
	ContentBytes    int64   `json:"content_bytes"`
	ContentChecksum string  `json:"content_checksum"`
	LoadS           float64 `json:"load_s"`

	Readers           int     `json:"readers"`
	Writers           int     `json:"writers"`
	RunS              float64 `json:"run_s"`
	PressureS         float64 `json:"pressure_s"`
	GOMAXPROCS        int     `json:"gomaxprocs"`
	GOMAXPROCSChanges []int   `json:"gomaxprocs_changes"` // while running, in order
	Lookups           uint64  `json:"lookups"`
	LookupsPerS       float64 `json:"lookups_per_s"`
	Misses            uint64  `json:"misses_while_deleted"`
	Holds             uint64  `json:"long_holds"` // guards held for many lookups
	LongestHoldNS     int64   `json:"longest_hold_ns"`
	Replacements      uint64  `json:"replacements"`
	ReplacementsPerS  float64 `json:"replacements_per_s"`
	Deletes           uint64  `json:"deletes"`
	DeletesPerS       float64 `json:"deletes_per_s"`
	Reinserts         uint64  `json:"reinserts"`
	ReinsertsPerS     float64 `json:"reinserts_per_s"`
	NoMemory          uint64  `json:"writes_without_memory"` // given up after the reclaim timeout

	FreeRCU Contexts `json:"free_rcu_by_context"`
	Routes  Routes   `json:"objects_by_route"`

	RefusedWrites uint64 `json:"no_locks_writes_refused"` // done again outside of the raw atomic context
	RefusedAllocs uint64 `json:"no_locks_objects_refused"`
	RefusedPages  uint64 `json:"no_locks_pages_refused"` // without those of the pressure itself
	HeldPages     int    `json:"pressure_pages_held"`    // at most, at a time
	GracePeriods  uint64 `json:"grace_periods"`

	PeakBytes  int64 `json:"off_heap_peak_bytes"`
	LimitBytes int64 `json:"off_heap_limit_bytes"`

	GCCycles       int64 `json:"gc_cycles"`
	GCAsked        int64 `json:"gc_cycles_asked_for"`
	GCPauseTotalNS int64 `json:"gc_pause_total_ns"`
	GCPauseMaxNS   int64 `json:"gc_pause_max_ns"`

	IntegrityErrors  uint64   `json:"integrity_errors"`
	IntegritySamples []string `json:"integrity_samples,omitempty"`
	Leaks            uint64   `json:"leaks"`
	LeakSamples      []string `json:"leak_samples,omitempty"`

	ColdFlood *FloodReport `json:"cold_flood,omitempty"`
}

// Contexts counts FreeRCU calls by the context they were made in.
type Contexts struct {
	Plain   uint64 `json:"plain"`
	RawLock uint64 `json:"raw_lock"`
	Preempt uint64 `json:"preempt_disabled"`
	IRQ     uint64 `json:"irq_disabled"`
	Hardirq uint64 `json:"hardirq"`
}

// Total is their sum.
func (c Contexts) Total() uint64 { return c.Plain + c.RawLock + c.Preempt + c.IRQ + c.Hardirq }

// Routes counts objects by the route they went in, one of the first two, and
// the route they came back, one of the last three.
type Routes struct {
	Array    uint64 `json:"array"`
	Fallback uint64 `json:"fallback_chain"`
	Reused   uint64 `json:"whole_sheaf_reuse"`
	Bulk     uint64 `json:"kfree_bulk"`
	Chained  uint64 `json:"off_the_chain"`
}

// FloodReport has the cold flood's figures: medians over its rounds, in
// nanoseconds for an object.
type FloodReport struct {
	Objects     int   `json:"objects"`
	ObjectBytes int   `json:"object_bytes"`
	Rounds      int   `json:"rounds"`
	EvictBytes  int64 `json:"evict_bytes"` // of the buffer that is walked to make caches cold

	HandOver  FloodWay `json:"hand_over"`
	Bulk      FloodWay `json:"kfree_bulk"`
	ListWalk  float64  `json:"list_walk_ns_per_object"`
	ColdWrite float64  `json:"cold_write_ns_per_object"` // without an allocation
}

// FloodWay is the flood with one kind of reclaim.
type FloodWay struct {
	Enqueue    float64 `json:"enqueue_ns_per_object"`
	Reclaim    float64 `json:"reclaim_ns_per_object"`
	FirstWrite float64 `json:"next_first_write_ns_per_object"`
	Arrays     float64 `json:"in_arrays_percent"`
}
