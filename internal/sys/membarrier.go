package sys

import (
	"runtime"
	"sync"
	"sync/atomic"

	"quiesce/internal/race"
)

// How a barrier of the whole process is made. It is settled at the first one,
// because registering takes the kernel milliseconds in a process that has more
// than one thread, and an import should cost nothing.
const (
	barrierUnsettled = iota
	barrierExpedited // the kernel's command, membarrierExpedited
	barrierStopWorld // stopTheWorld
)

var barrierKind atomic.Uint32

// funnel shares barriers: a caller needs one that began after its own accesses,
// so whoever arrives while one runs shares the next, however many arrive. Linux
// runs the command under one mutex for the whole system.
//
// The argument. A caller reads begun by a read-modify-write and gets s: its
// accesses so far come before every later read-modify-write of begun, those of
// the leader with number s+1 and above included, and so before that leader's
// command. The command orders them against all that other threads do, and the
// leader's store of ended, which the caller loads, orders it against what the
// caller does next. Had the caller shared barrier s, which may have visited a
// thread already, a reader there could have entered after the visit and still
// have missed the caller's store. formal/funnel.pml has the model, and that
// mistake as a mutant.
var funnel struct {
	turn  sync.RWMutex // write-locked by the leader; those who wait for it are readers, woken all at once
	begun atomic.Uint64
	ended atomic.Uint64
}

// Membarrier makes every thread of this process that runs Go code pass a
// full memory barrier between the call and the return; the caller passes one
// too. It must not be called pinned: it may wait for another caller's barrier,
// and the fallback stops the world.
func Membarrier() {
	race.Disable()                                    // the funnel orders nothing for users
	want := funnel.begun.Add(0) + 1                   // ord:funnel
	for try := 0; funnel.ended.Load() < want; try++ { // ord:funnel
		switch {
		case funnel.turn.TryLock():
		case try < 4: // a barrier runs: all who wait for it are woken at once
			funnel.turn.RLock()
			funnel.turn.RUnlock() //nolint:staticcheck // to wait was the purpose
			continue
		default: // never crowded out by others who wait
			funnel.turn.Lock()
		}
		if funnel.ended.Load() < want { // ord:funnel
			lead()
		}
		funnel.turn.Unlock()
	}
	race.Enable()
}

// lead makes a barrier. The caller holds funnel.turn.
func lead() {
	if barrierKind.Load() == barrierUnsettled { // ord:funnel
		settle(membarrierWanted() && membarrierRegister())
	}
	n := funnel.begun.Add(1)                    // ord:funnel
	if barrierKind.Load() != barrierExpedited { // ord:funnel
		stopTheWorld()
	} else if !membarrierExpedited() && !(membarrierRegister() && membarrierExpedited()) {
		// The registration is lost (a process restored from a checkpoint) or
		// a filter installed after the start forbids the command.
		settle(false)
		stopTheWorld()
	}
	funnel.ended.Store(n) // ord:funnel
}

func settle(expedited bool) {
	kind := uint32(barrierStopWorld)
	if expedited {
		kind = barrierExpedited
	}
	barrierKind.Store(kind) // ord:funnel
}

// membarrierWanted is false under QUIESCE=membarrier=0.
func membarrierWanted() bool {
	v, ok := Option("membarrier")
	return !ok || v != "0"
}

// Membarriers counts the barriers that have begun.
func Membarriers() uint64 { return funnel.begun.Load() } // ord:stat

// HasMembarrier reports whether Membarrier is the kernel's command; false
// means that it stops the world.
func HasMembarrier() bool {
	if barrierKind.Load() == barrierUnsettled { // ord:funnel
		Membarrier()
	}
	return barrierKind.Load() == barrierExpedited // ord:funnel
}

var memStats runtime.MemStats // protected by funnel.turn

// stopTheWorld uses the one public function that stops and restarts every P
// and has no effect besides. 3 µs idle, 60-85 µs with busy Ps. The caller holds
// funnel.turn.
func stopTheWorld() { runtime.ReadMemStats(&memStats) }
