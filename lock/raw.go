package lock

import (
	"sync/atomic"

	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
	"quiesce/internal/holds"
	"quiesce/internal/pin"
	"quiesce/internal/sys"
)

// Raw is a spinning lock whose holder is pinned. It may be taken in any context.
// Hold it for a few memory operations only, because everyone that waits for it
// is pinned too.
//
// Its methods do not show their own fields to the race detector, so that hidden
// code may use it (package internal/race); the atomics show the lock.
//
// Linux: raw_spinlock_t.
type Raw struct {
	held atomic.Uint32
	hold holds.Hold  // owned by the holder
	irq  bool        // taken by LockIRQ; owned by the holder
	pin  pin.Section // owned by the holder
	off  pin.IRQ     // owned by the holder, set when irq
	dep  depcheck.Map

	contentions atomic.Uint64
}

// Init names the lock's class. The lock must not be held.
func (l *Raw) Init(name string) { l.dep.Init(name) }

// Lock pins the goroutine and spins until it has the lock. If the goroutine
// already holds it, Lock panics; being pinned, the process ends.
//
// Context: any.
//
// Linux: raw_spin_lock.
//
//go:norace
func (l *Raw) Lock() {
	if depcheck.Enabled() {
		l.lockChecked(depcheck.Raw, depcheck.Pins)
		return
	}
	l.acquire()
}

// acquire is Lock without lockdep.
//
//go:norace
func (l *Raw) acquire() {
	p := pin.Disable()
	if !l.held.CompareAndSwap(0, 1) { // ord:raw
		l.spin(p)
	}
	l.pin = p // ord:raw-self
	if holds.Enabled {
		l.begin()
	}
}

// TryLock takes the lock if it is free, and reports whether it did.
//
// Context: any.
//
// Linux: raw_spin_trylock.
//
//go:norace
func (l *Raw) TryLock() bool {
	if !l.tryAcquire() {
		return false
	}
	if depcheck.Enabled() {
		l.dep.Acquire(depcheck.Raw, depcheck.Try|depcheck.Pins)
	}
	return true
}

//go:norace
func (l *Raw) tryAcquire() bool {
	p := pin.Disable()
	if !l.held.CompareAndSwap(0, 1) { // ord:raw
		p.Enable()
		return false
	}
	l.pin = p // ord:raw-self
	if holds.Enabled {
		l.begin()
	}
	return true
}

// Unlock releases the lock and unpins. It panics if the lock is not held.
//
// Linux: raw_spin_unlock.
//
//go:norace
func (l *Raw) Unlock() {
	if depcheck.Enabled() {
		if !l.unlockChecked() {
			return
		}
		l.release()
		depcheck.Left()
		return
	}
	l.release()
}

//go:norace
func (l *Raw) release() {
	if l.held.Load() == 0 || l.irq { // ord:raw
		l.badUnlock()
	}
	if holds.Enabled {
		l.end()
	}
	p := l.pin            // ord:raw-self
	l.pin = pin.Section{} // ord:raw-self
	l.held.Store(0)       // ord:raw
	fault.Delay("raw")
	pin.Leave(p.CPU) // p.Enable, without a NOP for one more inlined call
}

// LockIRQ is [Raw.Lock] with interrupts disabled until [Raw.UnlockIRQ].
//
// Context: any.
//
// Linux: raw_spin_lock_irqsave.
//
//go:norace
func (l *Raw) LockIRQ() {
	if depcheck.Enabled() {
		depcheck.HardirqsOff()
		l.lockChecked(depcheck.Raw, depcheck.Pins2)
		return
	}
	l.acquireIRQ()
}

//go:norace
func (l *Raw) acquireIRQ() {
	s := pin.DisableIRQ()
	l.acquire()
	l.irq, l.off = true, s
}

//go:norace
func (l *Raw) tryAcquireIRQ() bool {
	s := pin.DisableIRQ()
	if !l.tryAcquire() {
		s.Restore()
		return false
	}
	l.irq, l.off = true, s
	return true
}

// UnlockIRQ releases a lock taken by [Raw.LockIRQ]. Deferred Hardirq handlers
// run now.
//
// Linux: raw_spin_unlock_irqrestore.
//
//go:norace
func (l *Raw) UnlockIRQ() {
	if depcheck.Enabled() {
		if !l.unlockChecked() {
			return
		}
		l.releaseIRQ()
		depcheck.HardirqsOn()
		depcheck.Left()
		return
	}
	l.releaseIRQ()
}

//go:norace
func (l *Raw) releaseIRQ() {
	if l.held.Load() == 0 || !l.irq { // ord:raw
		l.badUnlock()
	}
	s := l.off
	l.irq, l.off = false, pin.IRQ{}
	l.release()
	s.Restore()
}

// Contentions returns how often the lock was not free and somebody waited for it.
// A TryLock that fails does not count.
//
// Context: any.
//
// Linux: contentions in /proc/lock_stat.
//
//go:norace
func (l *Raw) Contentions() uint64 { return l.contentions.Load() } // ord:stat

// spin waits for the lock, pinned. The holder is pinned as well, so only the
// operating system can delay it. After a while spin yields the processor to the
// holder's thread by a raw system call, which never blocks.
//
//go:norace
func (l *Raw) spin(p pin.Section) {
	for n := uint32(1); ; n++ {
		for i := uint32(0); l.held.Load() != 0; i++ { // ord:raw
			// The holder is pinned to its P. If that is this P, the holder is
			// this goroutine, which would wait for itself forever.
			if l.pin.Same(p) { // ord:raw-self
				panic("quiesce/lock: " + nameOr(l.dep.Name(), "lock.Raw") + " taken twice by one goroutine")
			}
			if i < 64 {
				sys.Pause(min(n*4, 64))
			} else {
				sys.Yield()
			}
		}
		if l.held.CompareAndSwap(0, 1) { // ord:raw
			l.contentions.Add(1) // ord:stat
			return
		}
	}
}

func (l *Raw) badUnlock() {
	if l.held.Load() == 0 { // ord:raw
		panic("quiesce/lock: unlock of unlocked " + nameOr(l.dep.Name(), "lock.Raw"))
	}
	panic("quiesce/lock: " + nameOr(l.dep.Name(), "lock.Raw") + ": Unlock goes with Lock, UnlockIRQ with LockIRQ")
}
