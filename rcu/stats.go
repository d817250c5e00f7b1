package rcu

// Stats is a snapshot of what RCU has done in this process.
type Stats struct {
	GracePeriods uint64 // completed
	Expedited    uint64 // calls of SynchronizeExpedited and CondSynchronizeExpedited
	Callbacks    uint64 // registered by Call
	Invoked      uint64 // callbacks started; after Barrier, those registered before it have returned
	Stalls       uint64 // readers reported
}

// ReadStats returns the current counters.
//
// Context: any.
func ReadStats() Stats {
	return Stats{
		GracePeriods: seq.Load() / 2,      // ord:stat
		Expedited:    gp.expedited.Load(), // ord:stat
		Callbacks:    calls.added(),
		Invoked:      calls.invoked.Load(), // ord:stat
		Stalls:       stalls.Load(),        // ord:stat
	}
}
