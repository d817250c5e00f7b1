package lock

import (
	"sync/atomic"

	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// Raw is a spinning lock whose holder is pinned: the kernel's
// raw_spinlock_t. It may be taken in any context. What it protects must be a
// few memory operations: everybody who waits for it is pinned too.
//
// Its methods don't show their own fields to the race detector, so that hidden
// code may use it (package race); the atomics show the lock.
type Raw struct {
	held atomic.Uint32
	irq  bool             // taken by LockIRQ; owned by the holder
	pin  preempt.Pinned   // owned by the holder
	off  preempt.IRQState // owned by the holder, set when irq
	dep  depcheck.Map
}

// Init names the lock's class. It must not be held.
func (l *Raw) Init(name string) { l.dep.Init(name) }

// Lock pins the goroutine and spins until the lock is its own. Any context.
// Taking a lock that this goroutine holds already ends the process.
//
//go:norace
func (l *Raw) Lock() {
	if depcheck.Enabled() {
		l.lockChecked(depcheck.Raw, depcheck.Pins)
		return
	}
	l.take()
}

// take is Lock without a look at lockdep.
//
//go:norace
func (l *Raw) take() {
	p := preempt.DisableNotrace()
	if !l.held.CompareAndSwap(0, 1) { // ord:raw
		l.spin(p)
	}
	l.pin = p // ord:raw-self
}

// TryLock takes the lock if nobody holds it. Any context.
//
//go:norace
func (l *Raw) TryLock() bool {
	if !l.tryTake() {
		return false
	}
	if depcheck.Enabled() {
		l.dep.Acquire(depcheck.Raw, depcheck.Try|depcheck.Pins)
	}
	return true
}

//go:norace
func (l *Raw) tryTake() bool {
	p := preempt.DisableNotrace()
	if !l.held.CompareAndSwap(0, 1) { // ord:raw
		p.EnableNotrace()
		return false
	}
	l.pin = p // ord:raw-self
	return true
}

// Unlock releases the lock and unpins. It panics if the lock is not held.
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
	p := l.pin               // ord:raw-self
	l.pin = preempt.Pinned{} // ord:raw-self
	l.held.Store(0)          // ord:raw
	if fault.Delays {
		fault.Delay("raw")
	}
	p.EnableNotrace()
}

// LockIRQ is Lock with interrupts disabled until UnlockIRQ (the kernel's
// raw_spin_lock_irqsave).
//
//go:norace
func (l *Raw) LockIRQ() {
	if depcheck.Enabled() {
		depcheck.HardirqsOff()
		l.lockChecked(depcheck.Raw, depcheck.Pins2)
		return
	}
	l.takeIRQ()
}

//go:norace
func (l *Raw) takeIRQ() {
	s := preempt.DisableIRQNotrace()
	l.take()
	l.irq, l.off = true, s
}

// UnlockIRQ ends a section begun with LockIRQ. Hardirq handlers that waited
// run now.
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
	l.irq, l.off = false, preempt.IRQState{}
	l.release()
	s.RestoreNotrace()
}

// spin waits for the lock, pinned. The holder is pinned as well, so only the
// operating system can hold it up; after a while its thread is given way by a
// raw system call, which never blocks.
//
//go:norace
func (l *Raw) spin(p preempt.Pinned) {
	for n := uint32(1); ; n++ {
		for i := uint32(0); l.held.Load() != 0; i++ { // ord:raw
			// The holder is pinned to its P. If that is this P, the
			// holder is this goroutine, which would wait for ever.
			if l.pin.Same(p) { // ord:raw-self
				panic("quiesce: " + nameOr(l.dep.Name(), "lock.Raw") + " taken twice by one goroutine")
			}
			if i < 64 {
				sys.Pause(min(n*4, 64))
			} else {
				sys.Yield()
			}
		}
		if l.held.CompareAndSwap(0, 1) { // ord:raw
			return
		}
	}
}

func (l *Raw) badUnlock() {
	if l.held.Load() == 0 { // ord:raw
		panic("quiesce: unlock of unlocked " + nameOr(l.dep.Name(), "lock.Raw"))
	}
	panic("quiesce: " + nameOr(l.dep.Name(), "lock.Raw") + ": Unlock goes with Lock, UnlockIRQ with LockIRQ")
}
