package compare

// Report is what a run measured. Its JSON form is stable: names have the unit.
type Report struct {
	Partial  bool       `json:"partial"` // interrupted
	Full     bool       `json:"full"`
	Quick    bool       `json:"quick,omitempty"` // rough figures
	RanS     float64    `json:"ran_s"`
	Machine  Machine    `json:"machine"`
	Objects  int        `json:"cold_objects"`
	Hot      []Hot      `json:"hot"`
	Cold     []Cold     `json:"cold"`
	Light    []Light    `json:"light"`
	Memory   []Memory   `json:"memory"`
	Survival []Survival `json:"survival"`
	Locks    []Locks    `json:"rawlocks"`
	Tracking *Tracking  `json:"tracking,omitempty"`
	Claims   []Claim    `json:"claims"`
	Errors   []string   `json:"errors,omitempty"` // jobs that could not be done
	Noisy    int        `json:"noisy_cells"`
	Cells    int        `json:"timed_cells"`
	// A fixed walk through cold memory before each job: ns a step, and how far
	// the quarters of them lie apart. Cells that were not measured together
	// differ by that much for no reason of their own.
	Reference float64 `json:"reference_ns"`
	Drift     float64 `json:"reference_drift"`
}

// Machine is where it ran.
type Machine struct {
	Go         string `json:"go"`
	OS         string `json:"os"`
	Arch       string `json:"arch"`
	CPUs       int    `json:"cpus"`
	GOMAXPROCS int    `json:"gomaxprocs"`
	CPU        string `json:"cpu,omitempty"`
	Misses     string `json:"miss_counters"` // "yes", or why not
}

// Where says which cell of the matrix a figure belongs to.
type Where struct {
	Strategy  string `json:"strategy"`
	Caller    string `json:"caller,omitempty"`
	RT        bool   `json:"preempt_rt"`
	Exhausted bool   `json:"lists_exhausted"`
}

// Timed is how far to trust a cell's times.
type Timed struct {
	Runs   int     `json:"runs"`
	Spread float64 `json:"spread"` // of the closest three runs
	Noisy  bool    `json:"noisy"`  // over maxSpread: the machine was too busy for this cell
}

// Hot is a cell of steady churn: bursts are allocated, written and freed.
type Hot struct {
	Where
	Timed
	Died       string   `json:"died,omitempty"` // the process did, of this
	Call       float64  `json:"call_ns"`        // mean of a burst; the median one
	P50        float64  `json:"call_p50_ns"`
	P99        float64  `json:"call_p99_ns"`
	Max        float64  `json:"call_max_ns"`
	RawMax     float64  `json:"longest_pinned_call_ns"`
	Churn      float64  `json:"alloc_to_reclaimed_ns"` // wall time for an object
	ChurnCPU   float64  `json:"alloc_to_reclaimed_cpu_ns"`
	Reclaim    float64  `json:"reclaim_hot_cpu_ns"`
	Fallback   float64  `json:"fallback_share"`
	GPsPerS    float64  `json:"grace_periods_per_s"`
	SleepsPerS float64  `json:"thread_sleeps_per_s"`
	Peak       int64    `json:"peak_bytes"`
	Calls      []Bucket `json:"calls,omitempty"`
	Misses     *float64 `json:"cache_misses_per_object"`
}

// Cold is a flood of objects that are in no cache, the four figures together,
// in ns for an object.
type Cold struct {
	Where
	Timed
	Died       string   `json:"died,omitempty"`
	Objects    int      `json:"objects"`
	Enqueue    float64  `json:"enqueue_ns"`
	HandOver   float64  `json:"hand_over_ns"`
	Bulk       float64  `json:"kfree_bulk_ns"`
	FirstWrite float64  `json:"first_write_ns"`
	Fallback   float64  `json:"fallback_share"`
	Peak       int64    `json:"peak_bytes"`
	Misses     *float64 `json:"cache_misses_per_object"` // by hand-over
}

// Light is a caller in a raw atomic context that frees now and then.
type Light struct {
	Where
	Timed
	Died       string  `json:"died,omitempty"`
	WakeupsPS  float64 `json:"wakeups_per_s"` // thread sleeps beyond the caller's own
	GPsPerS    float64 `json:"grace_periods_per_s"`
	LatencyMS  float64 `json:"reclaim_latency_p50_ms"` // of one object, from idle
	LatencyMax float64 `json:"reclaim_latency_max_ms"`
	IdleWakes  float64 `json:"idle_wakeups_per_s"` // when all is back, beyond those before
}

// Memory is the memory handed out over time while a reader comes back now and then.
type Memory struct {
	Where
	Died  string    `json:"died,omitempty"`
	At    []float64 `json:"at_ms"`
	Bytes []int64   `json:"bytes_in_use"`
	Peak  int64     `json:"peak_bytes"`
}

// Survival is what happens to raw callers, lists exhausted.
type Survival struct {
	Where
	Died    string   `json:"died,omitempty"`          // with the lock held elsewhere
	Reports []string `json:"lockdep_reports"`         // kinds
	First   string   `json:"lockdep_first,omitempty"` // the first one's text
	LDDied  string   `json:"lockdep_died,omitempty"`
}

// Locks compares an allocator with a raw lock to one with a lock.Spin, under
// memory stress.
type Locks struct {
	RT   bool `json:"preempt_rt"`
	Raw  Lock `json:"raw"`
	Spin Lock `json:"spin"`
	Timed
}

// Lock is what one kind of lock did, in ns.
type Lock struct {
	HoldMax    float64 `json:"longest_hold_ns"`
	PinnedMax  float64 `json:"longest_pinned_ns"` // waiting for it included; 0: its holders are not pinned
	WakeP50    float64 `json:"wakeup_latency_p50_ns"`
	WakeP99    float64 `json:"wakeup_latency_p99_ns"`
	WakeMax    float64 `json:"wakeup_latency_max_ns"`
	OpsPerS    float64 `json:"bulk_frees_per_s"`
	BatchPages int     `json:"pages_per_bulk_free"`
}

// Tracking is what it costs to know that a section is pinned.
type Tracking struct {
	Timed
	Bare    float64 `json:"pin_pair_ns"`
	Counted float64 `json:"pin_pair_counted_ns"`    // with a counter of the P's
	Disable float64 `json:"preempt_disable_ns"`     // what RCU's readers count anyway
	Atomic  float64 `json:"preempt_atomic_ns"`      // asking
	Raw     float64 `json:"raw_lock_pair_ns"`       // a lock.Raw
	Tracked float64 `json:"raw_lock_pair_track_ns"` // with one more counter
}

// maxSpread is the disagreement of repeat runs from which a cell is noisy.
const maxSpread = 0.20
