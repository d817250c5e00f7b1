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
//
// Unlock marks the variable that it is called on. A copy is not marked: unlock
// the guard or its copy, never both.
type Guard struct {
	dep depcheck.Section // first, for depcheck.CheckGuard; empty but with -tags lockdep
	idx uint64           // the index of the counters and the bits below
}

// The bits of Guard.idx. The zero Guard has none of them.
const (
	guardIndex  = 1 << 0 // which counters the reader entered with
	guardLive   = 1 << 1 // ReadLock returned it and it was not unlocked
	guardLent   = 1 << 2 // Read lent it
	guardDone   = 1 << 3 // it was unlocked
	guardReader = 1 << 4 // it is a Reader's, and has none of the first two (see readerGuard)
	guardEpoch  = 5      // the bits from here on are the epoch, in race builds
)

// index selects the counters that new readers use: 0 or 1.
var index alone

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
	if sys.Leaves {
		return Guard{idx: leafLock()}
	}
	return readLock()
}

// readLock is ReadLock by a pin.
//
//go:norace
//go:nosplit
func readLock() Guard {
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
	i |= race.Enter()<<guardEpoch | guardLive
	sys.ProcUnpin()
	if depcheck.Tagged {
		return Guard{depcheck.Enter(depcheck.RCU), i}
	}
	return Guard{idx: i}
}

// lockPinned is what leafLock leaves undone: the first section on a P.
func lockPinned() (state uint64) { return readLock().idx }

// firstReadLock is readLock on a P on which no reader entered before. It is
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
	i |= race.Enter()<<guardEpoch | guardLive
	sys.ProcUnpin()
	sys.ProcUnpin()
	if depcheck.Tagged {
		return Guard{depcheck.Enter(depcheck.RCU), i}
	}
	return Guard{idx: i}
}

// Unlock ends the section. It must be called exactly once. It panics if the
// guard is zero, was unlocked before, or was lent by [Read]; a section that ends
// twice would let a grace period end while another reader is in its section.
//
// Context: any. In a raw atomic context its panic ends the process.
//
// Linux: rcu_read_unlock.
//
//go:norace
//go:nosplit
func (g *Guard) Unlock() {
	if sys.Leaves {
		leafUnlock(g)
		return
	}
	g.unlock()
}

// unlock is Unlock by a pin.
//
//go:norace
//go:nosplit
func (g *Guard) unlock() {
	i := g.idx
	if i&(guardLive|guardLent) != guardLive {
		g.unlockSlow()
		return
	}
	if depcheck.Tagged && !g.dep.Exit("rcu.Guard") {
		return // a copy was unlocked before
	}
	g.idx = guardDone
	race.Exit(i >> guardEpoch)
	percpu.Pin().Unlock[i&guardIndex]++ // ord:unlock
	sys.ProcUnpin()
}

// unlockPinned is what leafUnlock leaves undone: guards of a Reader, and those that
// can't be unlocked.
func unlockPinned(g *Guard) { g.unlock() }

// unlockSlow is unlock of a guard that is a Reader's, or can't be unlocked.
//
//go:noinline
func (g *Guard) unlockSlow() {
	switch {
	case g.idx&(guardReader|guardLive|guardLent) == guardReader:
		g.unlockReader()
		return
	case g.idx&guardLent != 0:
		panic("quiesce/rcu: Unlock of a Guard that rcu.Read lent: the section ends when the function returns")
	case g.idx&guardDone != 0:
		if depcheck.Tagged {
			g.dep.Exit("rcu.Guard") // reports it
		}
		panic("quiesce/rcu: Unlock of a Guard that was unlocked before")
	}
	panic("quiesce/rcu: Unlock of a zero Guard: only ReadLock makes one")
}

// Read calls fn in a read-side critical section, which ends when fn returns,
// panics, or ends its goroutine. The guard is fn's for the length of the call:
// fn must not keep it, and can't unlock it.
//
// Prefer Read to [ReadLock] where a panic may be recovered further up, as in a
// handler of net/http: a section that a panic left open holds up every grace
// period of the process from then on.
//
// Context: any.
func Read(fn func(g Guard)) {
	g := ReadLock()
	defer g.Unlock()
	fn(g.lend())
}

// lend returns a copy that can't be unlocked.
func (g Guard) lend() Guard {
	g.idx |= guardLent
	return g
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
