package lock

import (
	"sync"

	"quiesce/internal/sys"
	"quiesce/lockdep"
	"quiesce/preempt"
)

// What the locks tell lockdep, out of their ways: the look at lockdep.Enabled
// is all that an acquisition pays while it is off. An acquisition is told
// before the wait, a release before the lock is free.

// lockChecked takes the lock as one of type ty, for itself or inside a Spin.
//
//go:norace
func (l *Raw) lockChecked(ty *lockdep.Type, how lockdep.How) {
	l.dep.Acquire(ty, how)
	if how&lockdep.Pins2 != 0 {
		l.takeIRQ()
	} else {
		l.take()
	}
	l.dep.Acquired()
}

// unlockChecked reports whether the lock may be released: its holder is pinned,
// so nobody else can do it.
//
//go:norace
func (l *Raw) unlockChecked() bool { return l.dep.Release(l.held.Load() != 0) == lockdep.Ours } // ord:raw

// LockNested is Lock of a second lock of a class: subclass, 1 to 7, says which
// of them comes later. The kernel's raw_spin_lock_nested.
//
//go:norace
func (l *Raw) LockNested(subclass int) {
	if lockdep.Enabled() {
		l.lockChecked(lockdep.Raw, lockdep.Pins|lockdep.Subclass(subclass))
		return
	}
	l.take()
}

// Held reports whether the calling goroutine holds the lock; true while lockdep
// is off. The kernel's lockdep_is_held.
func (l *Raw) Held() bool { return l.dep.Held() }

func (l *Spin) lockChecked(how lockdep.How, irq bool) {
	if irq {
		lockdep.HardirqsOff()
	}
	if !preempt.RT() {
		how |= lockdep.Pins
		if irq {
			how ^= lockdep.Pins | lockdep.Pins2
		}
		l.raw.lockChecked(lockdep.Spin, how)
		return
	}
	l.raw.dep.Acquire(lockdep.Spin, how)
	park(&l.mu)
	l.raw.dep.Acquired()
}

func (l *Spin) tried() bool {
	if lockdep.Enabled() {
		how := lockdep.Try
		if !preempt.RT() {
			how |= lockdep.Pins
		}
		l.raw.dep.Acquire(lockdep.Spin, how)
	}
	return true
}

func (l *Spin) unlockChecked() bool {
	if !preempt.RT() {
		return l.raw.unlockChecked()
	}
	return l.raw.dep.Release(isLocked(&l.mu)) != lockdep.Nobodys
}

// LockNested is Lock of a second lock of a class: subclass, 1 to 7, says which
// of them comes later. The kernel's spin_lock_nested.
func (l *Spin) LockNested(subclass int) {
	if lockdep.Enabled() {
		l.lockChecked(lockdep.Subclass(subclass), false)
		return
	}
	l.Lock()
}

// MightLock says that the caller may take the lock, whether it does this time
// or not: lockdep checks it as if it did. The kernel's might_lock.
func (l *Spin) MightLock() {
	if lockdep.Enabled() {
		l.raw.dep.Might(lockdep.Spin, lockdep.Exclusive, false)
	}
}

// MightLockIRQ is MightLock of a LockIRQ.
func (l *Spin) MightLockIRQ() {
	if lockdep.Enabled() {
		l.raw.dep.Might(lockdep.Spin, lockdep.Exclusive, true)
	}
}

// Held reports whether the calling goroutine holds the lock; true while lockdep
// is off. The kernel's lockdep_is_held.
func (l *Spin) Held() bool { return l.raw.dep.Held() }

func (l *Mutex) lockChecked(how lockdep.How) {
	l.dep.Acquire(lockdep.Mutex, how)
	park(&l.mu)
	l.dep.Acquired()
}

func (l *Mutex) tried() bool {
	if lockdep.Enabled() {
		l.dep.Acquire(lockdep.Mutex, lockdep.Try)
	}
	return true
}

func (l *Mutex) unlockChecked() bool { return l.dep.Release(isLocked(&l.mu)) != lockdep.Nobodys }

// LockNested is Lock of a second lock of a class: subclass, 1 to 7, says which
// of them comes later. The kernel's mutex_lock_nested.
func (l *Mutex) LockNested(subclass int) {
	if lockdep.Enabled() {
		l.lockChecked(lockdep.Subclass(subclass))
		return
	}
	l.mu.Lock()
}

// MightLock says that the caller may take the lock, whether it does this time
// or not: lockdep checks it as if it did. The kernel's might_lock.
func (l *Mutex) MightLock() {
	if lockdep.Enabled() {
		l.dep.Might(lockdep.Mutex, lockdep.Exclusive, false)
	}
}

// Held reports whether the calling goroutine holds the lock; true while lockdep
// is off. The kernel's lockdep_is_held.
func (l *Mutex) Held() bool { return l.dep.Held() }

func (l *Local) lockChecked() {
	how := lockdep.Exclusive
	if !preempt.RT() {
		how = lockdep.Pins
	}
	l.dep.Acquire(lockdep.Local, how)
	l.take(preempt.Atomic())
	l.dep.Acquired()
}

func (l *Local) tried() bool {
	if lockdep.Enabled() {
		how := lockdep.Try
		if !preempt.RT() {
			how |= lockdep.Pins
		}
		l.dep.Acquire(lockdep.Local, how)
	}
	return true
}

// checked takes the lock by take, one of the ways of rw.go.
func (l *RW) checked(how lockdep.How, irq bool, take func()) {
	if irq {
		lockdep.HardirqsOff()
	}
	switch {
	case preempt.RT():
	case irq:
		how |= lockdep.Pins2
	default:
		how |= lockdep.Pins
	}
	l.dep.Acquire(lockdep.RW, how)
	take()
	l.dep.Acquired()
}

func (l *RW) tried(how lockdep.How) bool {
	if lockdep.Enabled() {
		how |= lockdep.Try
		if !preempt.RT() {
			how |= lockdep.Pins
		}
		l.dep.Acquire(lockdep.RW, how)
	}
	return true
}

// unlockChecked and runlockChecked report whether the lock may be released.
// The writer alone may do it, and with preempt_rt=0 a reader of its own.

func (l *RW) unlockChecked() bool {
	return l.dep.Release(l.state.Load()&rwWriter != 0) == lockdep.Ours // ord:rw
}

func (l *RW) runlockChecked() bool {
	h := l.dep.Release(l.state.Load()&rwReaders != 0) // ord:rw
	return h == lockdep.Ours || h == lockdep.Theirs && preempt.RT()
}

// LockNested is Lock of a second lock of a class: subclass, 1 to 7, says which
// of them comes later. The kernel's write_lock_nested.
func (l *RW) LockNested(subclass int) {
	if lockdep.Enabled() {
		l.checked(lockdep.Subclass(subclass), false, l.lock)
		return
	}
	l.lock()
}

// Held reports whether the calling goroutine holds the lock, as a writer or a
// reader; true while lockdep is off. The kernel's lockdep_is_held.
func (l *RW) Held() bool { return l.dep.Held() }

// isLocked reports whether somebody has the mutex, at this moment. Whoever asks
// is about to unlock it.
func isLocked(mu *sync.Mutex) bool {
	if mu.TryLock() {
		mu.Unlock()
		return false
	}
	return true
}

// park takes a mutex. Where the goroutine is pinned, which lockdep has reported
// by now, it goes on trying, since parking would end the process.
func park(mu *sync.Mutex) {
	if preempt.Atomic() {
		lockPinned(mu)
		return
	}
	mu.Lock()
}

// patience is how long a pinned goroutine tries to get a sleeping lock: not for
// ever, because the holder may be waiting for this very P.
const patience = 3_000_000_000 // ns

func lockPinned(mu *sync.Mutex) {
	for end := sys.Nanotime() + patience; !mu.TryLock(); {
		if sys.Nanotime() > end {
			mu.Lock()
			return
		}
		sys.Pause(20)
		sys.Yield()
	}
}
