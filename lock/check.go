package lock

import (
	"sync"

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

// isLocked reports whether somebody has the mutex, at this moment. Whoever asks
// is about to unlock it.
func isLocked(mu *sync.Mutex) bool {
	if mu.TryLock() {
		mu.Unlock()
		return false
	}
	return true
}
