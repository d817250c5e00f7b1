package sys

import (
	"runtime"
	"sync"
	"sync/atomic"

	"quiesce/internal/option"
	"quiesce/internal/race"
)

// How a barrier of the whole process is made. An import should cost nothing, so
// the first barrier registers; and because registering waits for a grace period
// of the kernel (8 to 16 ms in a process with threads, 100 and more on a busy
// machine), it does so on a goroutine of its own, while barriers stop the world.
const (
	barrierUnsettled   = iota
	barrierRegistering // stopTheWorld, until register ends
	barrierExpedited   // the kernel's command, membarrierExpedited
	barrierStopWorld   // stopTheWorld, from then on
)

var barrierKind atomic.Uint32

// funnel shares barriers: a caller needs one that began after its own accesses,
// so all callers that arrive while one runs share the next. Linux runs the
// command under one mutex for the whole system.
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
	_     [128]byte    // written by every barrier
	turn  sync.RWMutex // write-locked by the leader; the callers that wait for it are readers, woken all at once
	begun atomic.Uint64
	ended atomic.Uint64
	_     [128]byte
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
		case try < 4: // a barrier runs: all callers that wait for it are woken at once
			funnel.turn.RLock()
			funnel.turn.RUnlock() //nolint:staticcheck // to wait was the purpose
			continue
		default: // never crowded out by other waiting callers
			funnel.turn.Lock()
		}
		if funnel.ended.Load() < want { // ord:funnel
			leadLocked()
		}
		funnel.turn.Unlock()
	}
	race.Enable()
}

// leadLocked makes a barrier. The caller holds funnel.turn.
func leadLocked() {
	if barrierKind.Load() == barrierUnsettled { // ord:funnel
		Go(register)
	}
	n := funnel.begun.Add(1)                    // ord:funnel
	if barrierKind.Load() != barrierExpedited { // ord:funnel
		stopTheWorld()
	} else if !membarrierExpedited() && !(membarrierRegister() && membarrierExpedited()) {
		// The registration is lost (a process restored from a checkpoint) or
		// a filter installed after the start forbids the command.
		barrierKind.Store(barrierStopWorld) // ord:funnel
		stopTheWorld()
	}
	funnel.ended.Store(n) // ord:funnel
}

// membarrierWanted is false under QUIESCE=membarrier=0. It is read at the start:
// leadLocked may start register's goroutine hidden from the race detector, for which
// that goroutine would not come after the initialization of packages.
var membarrierWanted = option.Bool("membarrier")

// register settles how barriers are made, once.
//
//go:norace
func register() {
	if !barrierKind.CompareAndSwap(barrierUnsettled, barrierRegistering) { // ord:funnel
		return
	}
	kind := uint32(barrierStopWorld)
	if membarrierWanted && membarrierRegister() {
		kind = barrierExpedited
	}
	barrierKind.Store(kind) // ord:funnel
}

// Membarriers returns how many barriers have begun.
func Membarriers() uint64 { return funnel.begun.Load() } // ord:stat

// HasMembarrier reports whether Membarrier is the kernel's command; false
// means that it stops the world. It waits until that is known.
func HasMembarrier() bool {
	for register(); barrierKind.Load() == barrierRegistering; { // ord:funnel
		Sleep(100_000)
	}
	return barrierKind.Load() == barrierExpedited // ord:funnel
}

var memStats runtime.MemStats // protected by funnel.turn

// stopTheWorld uses the one public function that stops and restarts every P and
// has no other effect. It takes 3 µs idle, 60 to 85 µs with busy Ps. The caller
// holds funnel.turn.
func stopTheWorld() { runtime.ReadMemStats(&memStats) }
