package rcu

import (
	"sync/atomic"

	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// Guard is the token of a read-side critical section. Functions take it as proof
// that their caller is in one. It carries what Unlock needs, so it may be
// unlocked on another P, or by another goroutine (see [Guard.Adopt]).
type Guard struct {
	dep depcheck.Section // first, for depcheck.CheckGuard; empty but with -tags lockdep
	idx uint64           // index of the counters; in race builds the epoch is above it
}

// index selects the counters that new readers use: 0 or 1.
var index atomic.Uint64

// ReadLock begins a read-side critical section. The goroutine stays
// preemptible. Blocking inside the section is tolerated, but it delays every
// grace period and so every RCU-deferred free in the process. Sections nest; a
// pointer loaded in one is protected until that one ends, regardless of other
// sections.
//
// Context: any.
//
// Linux: rcu_read_lock.
//
//go:norace
//go:nosplit
func ReadLock() Guard {
	// The branch on the P's own flag, with the rest out of line, was measured
	// against a test of the counter (1.5 ns more) and of a global mark (0.6).
	c := percpu.Pin()
	if c.Reader == 0 { // ord:mark
		return firstReadLock()
	}
	race.Disable()    // index orders nothing for users
	i := index.Load() // ord:index
	fault.Delay("index")
	c.Lock[i&1]++ // ord:lock
	fault.Delay("lock")
	race.Enable()
	i |= race.Enter() << 1
	sys.ProcUnpin()
	if depcheck.Tagged {
		return Guard{depcheck.Enter(depcheck.RCU), i}
	}
	return Guard{idx: i}
}

// firstReadLock is ReadLock on a P on which no reader entered before. It is
// called pinned and unpins.
//
//go:norace
//go:noinline
func firstReadLock() Guard {
	id := sys.ProcPin()
	race.Disable()
	percpu.RegisterReader(id) // ord:mark
	fault.Delay("mark")
	i := index.Load() // ord:index
	fault.Delay("index")
	percpu.Of(id).Lock[i&1]++ // ord:lock
	race.Enable()
	i |= race.Enter() << 1
	sys.ProcUnpin()
	sys.ProcUnpin()
	if depcheck.Tagged {
		return Guard{depcheck.Enter(depcheck.RCU), i}
	}
	return Guard{idx: i}
}

// Unlock ends the section. It must be called exactly once.
//
// Context: any.
//
// Linux: rcu_read_unlock.
//
//go:norace
//go:nosplit
func (g Guard) Unlock() {
	if depcheck.Tagged && !g.dep.Exit("rcu.Guard") {
		return
	}
	race.Exit(g.idx >> 1)
	percpu.Pin().Unlock[g.idx&1]++ // ord:unlock
	sys.ProcUnpin()
}

// sumUnlocks sums the exits of each index. An exit on a P above the high-water
// mark is missed, which can only make the driver wait: no entry is missed, and
// FindReaders eventually finds such a P.
//
//go:norace
func sumUnlocks() (sum [2]uint64) {
	for id := range percpu.Readers() {
		c := percpu.Of(id)
		sum[0] += atomic.LoadUint64(&c.Unlock[0]) // ord:unlock
		sum[1] += atomic.LoadUint64(&c.Unlock[1]) // ord:unlock
	}
	return sum
}

// sumLocks sums the entries of each index.
//
//go:norace
func sumLocks() (sum [2]uint64) {
	for id := range percpu.Readers() {
		c := percpu.Of(id)
		sum[0] += atomic.LoadUint64(&c.Lock[0]) // ord:lock
		sum[1] += atomic.LoadUint64(&c.Lock[1]) // ord:lock
	}
	return sum
}
