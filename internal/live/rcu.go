package live

import "time"

// RCUFigures is what readers and grace periods are doing.
type RCUFigures struct {
	InProgress bool // a grace period is

	// What that has waited for since Waiting, for longer than it spins; "": nothing.
	WaitsFor string
	Waiting  time.Duration

	Preemptible int // read-side sections of rcu.ReadLock that are open
	Pinned      int // Ps in a pinned section
	Registered  int // rcu.Readers
	InSection   int // of them, those in a section
	Dropped     int // of those, lost by the program

	CallbacksWaiting uint64
	BarriersWaiting  int64
	Running          []Callback // callbacks that have run for long

	Deferred int64 // bytes that slab caches have waiting in closed sheaves
}

// Callback is a callback, or the function of a Batch, that still runs.
type Callback struct {
	Batch string // its name; "": of rcu.Call
	Func  string
	Ran   time.Duration // at least
}

// RCU returns the figures. Package rcu sets it when it is initialized.
//
// Context: task; not pinned.
var RCU = func() RCUFigures { return RCUFigures{} }

// Deferred returns how many bytes of objects wait for a grace period in closed
// sheaves. Package slab sets it when it is initialized. Context: any.
var Deferred = func() int64 { return 0 }
