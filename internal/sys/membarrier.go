package sys

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// useMembarrier is set before main and constant afterwards.
var useMembarrier = func() bool {
	if v, ok := Option("membarrier"); ok && v == "0" {
		return false
	}
	return membarrierRegister()
}()

var membarriers atomic.Uint64

// Membarrier makes every thread of this process that runs Go code pass a
// full memory barrier between the call and the return; the caller passes one
// too. It must not be called pinned: the fallback stops the world.
func Membarrier() {
	membarriers.Add(1) // ord:stat
	if useMembarrier {
		membarrierExpedited()
		return
	}
	stopTheWorld()
}

// Membarriers counts the calls of Membarrier so far.
func Membarriers() uint64 { return membarriers.Load() } // ord:stat

// HasMembarrier reports whether Membarrier is the kernel's command; false
// means that it stops the world.
func HasMembarrier() bool { return useMembarrier }

var stw struct {
	sync.Mutex
	ms runtime.MemStats
}

// stopTheWorld uses the one public function that stops and restarts every P
// and has no effect besides. 3 µs idle, 60-85 µs with busy Ps.
func stopTheWorld() {
	stw.Lock()
	runtime.ReadMemStats(&stw.ms)
	stw.Unlock()
}
