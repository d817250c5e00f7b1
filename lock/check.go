package lock

import (
	"sync"

	"quiesce/internal/depcheck"
	"quiesce/preempt"
)

// What the locks tell lockdep, out of their ways: the look at depcheck.Enabled
// is all that an acquisition pays while it is off. An acquisition is told
// before the wait, a release before the lock is free.

// lockChecked takes the lock as one of type ty, for itself or inside a Spin.
//
//go:norace
func (l *Raw) lockChecked(ty *depcheck.Type, how depcheck.How) {
	l.dep.Acquire(ty, how)
	if how&depcheck.Pins2 != 0 {
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
func (l *Raw) unlockChecked() bool { return l.dep.Release(l.held.Load() != 0) == depcheck.Ours } // ord:raw

func (l *Spin) lockChecked(how depcheck.How, irq bool) {
	if irq {
		depcheck.HardirqsOff()
	}
	if !preempt.RT() {
		how |= depcheck.Pins
		if irq {
			how ^= depcheck.Pins | depcheck.Pins2
		}
		l.raw.lockChecked(depcheck.Spin, how)
		return
	}
	l.raw.dep.Acquire(depcheck.Spin, how)
	park(&l.mu)
	l.raw.dep.Acquired()
}

func (l *Spin) tried() bool {
	if depcheck.Enabled() {
		how := depcheck.Try
		if !preempt.RT() {
			how |= depcheck.Pins
		}
		l.raw.dep.Acquire(depcheck.Spin, how)
	}
	return true
}

func (l *Spin) unlockChecked() bool {
	if !preempt.RT() {
		return l.raw.unlockChecked()
	}
	return l.raw.dep.Release(isLocked(&l.mu)) != depcheck.Nobodys
}

func (l *Mutex) lockChecked(how depcheck.How) {
	l.dep.Acquire(depcheck.Mutex, how)
	park(&l.mu)
	l.dep.Acquired()
}

func (l *Mutex) tried() bool {
	if depcheck.Enabled() {
		l.dep.Acquire(depcheck.Mutex, depcheck.Try)
	}
	return true
}

func (l *Mutex) unlockChecked() bool { return l.dep.Release(isLocked(&l.mu)) != depcheck.Nobodys }

func (l *Local) lockChecked() {
	how := depcheck.Exclusive
	if !preempt.RT() {
		how = depcheck.Pins
	}
	l.dep.Acquire(depcheck.Local, how)
	l.take(preempt.Atomic())
	l.dep.Acquired()
}

func (l *Local) tried() bool {
	if depcheck.Enabled() {
		how := depcheck.Try
		if !preempt.RT() {
			how |= depcheck.Pins
		}
		l.dep.Acquire(depcheck.Local, how)
	}
	return true
}

// checked takes the lock by take, one of the ways of rw.go.
func (l *RW) checked(how depcheck.How, irq bool, take func()) {
	if irq {
		depcheck.HardirqsOff()
	}
	switch {
	case preempt.RT():
	case irq:
		how |= depcheck.Pins2
	default:
		how |= depcheck.Pins
	}
	l.dep.Acquire(depcheck.RW, how)
	take()
	l.dep.Acquired()
}

func (l *RW) tried(how depcheck.How) bool {
	if depcheck.Enabled() {
		how |= depcheck.Try
		if !preempt.RT() {
			how |= depcheck.Pins
		}
		l.dep.Acquire(depcheck.RW, how)
	}
	return true
}

// unlockChecked and runlockChecked report whether the lock may be released.
// The writer alone may do it, and with preempt_rt=0 a reader of its own.

func (l *RW) unlockChecked() bool {
	return l.dep.Release(l.state.Load()&rwWriter != 0) == depcheck.Ours // ord:rw
}

func (l *RW) runlockChecked() bool {
	h := l.dep.Release(l.state.Load()&rwReaders != 0) // ord:rw
	return h == depcheck.Ours || h == depcheck.Theirs && preempt.RT()
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
