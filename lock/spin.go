package lock

import (
	"runtime"
	"sync"

	"quiesce/internal/depcheck"
	"quiesce/internal/holds"
	"quiesce/internal/race"
	"quiesce/preempt"
)

// Spin is a lock that sleeps or spins, as preempt_rt says. With preempt_rt=1
// (the default) a waiter parks, after some 10 µs in which it only looks, and the
// holder stays preemptible; with QUIESCE=preempt_rt=0 it is a [Raw]. Code that is
// correct in both modes neither takes it in a raw atomic context nor sleeps while
// holding it.
//
// Linux: spinlock_t.
type Spin struct {
	mu  sync.Mutex // preempt_rt=1
	raw Raw        // preempt_rt=0
}

// Init names the lock's class. The lock must not be held.
func (l *Spin) Init(name string) { l.raw.Init(name) }

// Lock takes the lock. With preempt_rt=1 it may park, after some 10 µs.
//
// Context: task or softirq; not pinned.
//
// Linux: spin_lock.
func (l *Spin) Lock() {
	if depcheck.Enabled() {
		l.lockChecked(0, false)
		return
	}
	if preempt.RT() {
		l.sleep()
		if holds.Enabled {
			l.begin()
		}
		return
	}
	l.raw.acquire()
}

// patientTries is how often a waiter looks at the lock before it parks, for some
// 10 µs. A holder is mostly done by then, and to wake a thread up costs more. Without
// PAUSE, which some virtual machines leave to their host. Untuned.
const patientTries = 10_000

// manyCPUs is false where the holder can't run while a waiter looks.
var manyCPUs = runtime.NumCPU() > 1

// sleep takes the lock with preempt_rt=1, and counts if it had to wait.
// Linux: adaptive spinning of rt_mutex.
func (l *Spin) sleep() {
	if l.mu.TryLock() {
		return
	}
	if !l.look() {
		l.mu.Lock()
	}
	l.raw.contentions.Add(1) // ord:stat
}

// look tries to take the lock for a while.
func (l *Spin) look() bool {
	if !manyCPUs || race.Enabled { // there a try takes much longer
		return false
	}
	for range patientTries {
		if l.mu.TryLock() {
			return true
		}
	}
	return false
}

// Contentions is [Raw.Contentions].
func (l *Spin) Contentions() uint64 { return l.raw.Contentions() }

// TryLock takes the lock if it is free, and reports whether it did.
//
// Context: any.
//
// Linux: spin_trylock.
func (l *Spin) TryLock() bool {
	if preempt.RT() {
		return l.mu.TryLock() && l.recordTry()
	}
	return l.raw.tryAcquire() && l.recordTry()
}

// Unlock releases the lock. If the lock is not held, it is a fatal error with
// preempt_rt=1, and a panic with preempt_rt=0.
//
// Linux: spin_unlock.
func (l *Spin) Unlock() {
	if depcheck.Enabled() && !l.unlockChecked() {
		return
	}
	if preempt.RT() {
		if holds.Enabled {
			l.end()
		}
		l.mu.Unlock()
		return
	}
	l.raw.release()
	depcheck.Left()
}

// LockIRQ is [Spin.Lock] that with preempt_rt=0 also disables interrupts. With
// preempt_rt=1 it does not, as in the kernel, because there interrupt handlers
// are threads, which wait for the lock.
//
// Context: task or softirq; not pinned.
//
// Linux: spin_lock_irqsave.
func (l *Spin) LockIRQ() {
	if depcheck.Enabled() {
		l.lockChecked(0, true)
		return
	}
	if preempt.RT() {
		l.sleep()
		if holds.Enabled {
			l.begin()
		}
		return
	}
	l.raw.acquireIRQ()
}

// TryLockIRQ is [Spin.TryLock] for a lock that others take by [Spin.LockIRQ]:
// with preempt_rt=0 interrupts stay disabled until [Spin.UnlockIRQ].
//
// Context: any.
//
// Linux: spin_trylock_irqsave.
func (l *Spin) TryLockIRQ() bool {
	how := depcheck.Try
	if preempt.RT() {
		if !l.mu.TryLock() {
			return false
		}
		if holds.Enabled {
			l.begin()
		}
	} else {
		if !l.raw.tryAcquireIRQ() {
			return false
		}
		how |= depcheck.Pins2
	}
	if depcheck.Enabled() {
		depcheck.HardirqsOff()
		l.raw.dep.Acquire(depcheck.Spin, how)
	}
	return true
}

// UnlockIRQ releases a lock taken by [Spin.LockIRQ] or [Spin.TryLockIRQ].
//
// Linux: spin_unlock_irqrestore.
func (l *Spin) UnlockIRQ() {
	if depcheck.Enabled() && !l.unlockChecked() {
		return
	}
	if preempt.RT() {
		if holds.Enabled {
			l.end()
		}
		l.mu.Unlock()
	} else {
		l.raw.releaseIRQ()
	}
	if depcheck.Enabled() {
		depcheck.HardirqsOn()
		depcheck.Left()
	}
}

// Mutex is a sleeping lock whose holder may sleep.
//
// Linux: mutex.
type Mutex struct {
	mu   sync.Mutex
	hold holds.Hold // owned by the holder
	dep  depcheck.Map
}

// Init names the lock's class. The lock must not be held.
func (l *Mutex) Init(name string) { l.dep.Init(name) }

// Lock takes the lock. It may park.
//
// Context: task; not pinned, not with a Spin or an RW held.
//
// Linux: mutex_lock.
func (l *Mutex) Lock() {
	if depcheck.Enabled() {
		l.lockChecked(0)
		return
	}
	l.mu.Lock()
	if holds.Enabled {
		l.begin()
	}
}

// TryLock takes the lock if it is free, and reports whether it did.
//
// Context: any.
//
// Linux: mutex_trylock.
func (l *Mutex) TryLock() bool { return l.mu.TryLock() && l.recordTry() }

// Unlock releases the lock. If the lock is not held, that is a fatal error.
//
// Linux: mutex_unlock.
func (l *Mutex) Unlock() {
	if depcheck.Enabled() && !l.unlockChecked() {
		return
	}
	if holds.Enabled {
		l.end()
	}
	l.mu.Unlock()
}
