package rcu

import (
	"runtime"

	"quiesce/internal/sys"
)

// backoff is how the driver waits for a reader: it spins, then yields, then
// sleeps.
type backoff struct {
	spun    int   // pauses that spun
	start   int64 // of the yields; 0 before them
	sleeps  int   // pauses that slept
	waited  int64 // ns that the driver waited, without what the system stopped it for
	reports int   // of this stall
	next    int64 // the next report is due when waited is more; 0 before the first
	found   int   // where the next FindReaders begins
}

// The steps of a wait. Untuned.
const (
	spins    = 30      // × 20 PAUSEs
	yieldFor = 50_000  // ns; by time, because with busy Ps one yield takes milliseconds
	minSleep = 20_000  // ns
	maxSleep = 500_000 // ns
	expSleep = 20_000  // ns, expedited
)

// A sleep that takes this many ns longer than asked counts as if it took no
// longer: the process was stopped, or its machine suspended, and so were its
// readers. Busy Ps alone delay a sleep by tens of milliseconds.
const late = 200_000_000

// Reports of one stall: the next is due after twice the time that the last one
// named, but after no more than this many ns.
const reportEvery = 300_000_000_000

// pause waits a moment for readers of a flavour. It returns true if a report of a
// stall is due.
//
//go:norace
func (b *backoff) pause(flavour uint32) (stalled bool) {
	if b.spun < spins {
		b.spun++
		sys.Pause(20)
		return false
	}
	now := sys.Nanotime()
	if b.start == 0 {
		b.start = now
	}
	b.noteWait(flavour)
	if now-b.start < yieldFor && gp.expedite.Load() == 0 { // ord:hint
		runtime.Gosched()
		return false
	}
	ns := int64(maxSleep)
	if b.sleeps < 5 {
		ns = minSleep << b.sleeps
	}
	if gp.expedite.Load() > 0 { // ord:hint
		ns = expSleep
	}
	b.sleeps++
	sys.Sleep(ns)
	b.waited += min(sys.Nanotime()-now, ns+late)
	return b.due(int64(StallTimeout))
}

// due reports whether a report of a stall is due, and counts it.
func (b *backoff) due(timeout int64) bool {
	if timeout <= 0 || b.waited <= max(timeout, b.next) {
		return false
	}
	b.reports++
	b.next = b.waited + min(b.waited, max(timeout, reportEvery))
	return true
}
