package page

import (
	"quiesce/internal/fault"
	"quiesce/internal/sys"
)

// The scavenger returns the memory of free blocks to the system after a peak, as
// the Go runtime's does. Its goroutine starts when much memory is free, looks at
// it every scavengeTick, and ends when there is little. What it returns was free
// for a whole window, so that memory that is about to be used again stays; and
// no more at a time than costs a few percent of a processor. Shrink is the same
// at once.

const (
	scavengeTick   = 100_000_000 // ns
	scavengeWindow = 10          // ticks: for so long memory must have been free

	// scavengeKeep bytes may stay free, and a sixteenth of what is in use.
	scavengeKeep = 8 << 20
	// A tick returns a sixteenth of what there is too much, between these two.
	// To discard 64 MiB takes some 6 ms. Untuned.
	scavengeLeast = 8 << 20
	scavengeMost  = 64 << 20
	// scavengeHold is what is returned under one hold of the grow lock.
	scavengeHold = 2 << 20
)

// claimScavenger reports whether the caller must start the scavenger's goroutine:
// much memory is free, and it does not run. Context: any.
func (a *Allocator) claimScavenger() bool {
	return a.zone.freePop.Load() > scavengeKeep/Size && !a.scavenging.Load() && // ord:wake-zone
		a.scavenging.CompareAndSwap(false, true) // ord:wake-zone
}

// scavengeLoop is the scavenger's goroutine. At most one runs.
func (a *Allocator) scavengeLoop() {
	for {
		var free [scavengeWindow]int64
		for tick := 0; ; tick++ {
			free[tick%len(free)] = a.tooMuch()
			excess := free[0]
			for _, f := range free {
				excess = min(excess, f)
			}
			if tick < len(free) {
				excess = 1 // not known yet
			} else if excess > 0 {
				a.returnSome(min(max(excess/16, scavengeLeast), scavengeMost, excess))
			}
			if excess <= 0 || a.closed.Load() { // ord:gate
				break
			}
			sys.Sleep(scavengeTick)
		}
		a.scavenging.Store(false) // ord:wake-zone
		fault.Delay("wake-zone")
		if a.closed.Load() || a.tooMuch() <= 0 || !a.scavenging.CompareAndSwap(false, true) { // ord:gate,wake-zone
			return
		}
	}
}

// tooMuch returns how many bytes of free memory there are beyond what is kept.
func (a *Allocator) tooMuch() int64 {
	free := a.zone.freePop.Load() * Size                          // ord:zone
	return free - scavengeKeep - (a.zone.resident.Load()-free)/16 // ord:zone
}

// returnSome returns bytes of free memory to the system, holding the grow lock
// for some of it at a time: Close, which has it, finds no block in transit.
func (a *Allocator) returnSome(bytes int64) {
	for bytes > 0 {
		a.grow.Lock()
		var got int64
		if !a.closed.Load() { // ord:gate
			got = a.scavenge(min(bytes, scavengeHold))
		}
		a.grow.Unlock()
		if got == 0 {
			return
		}
		bytes -= got
	}
}
