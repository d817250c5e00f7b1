package lock

import (
	"sync"

	"quiesce/internal/depcheck"
	"quiesce/internal/holds"
	"quiesce/preempt"
)

// lockdep hooks, kept out of the lock paths: with lockdep off an acquisition
// pays one load, of depcheck.Enabled. An acquisition is recorded before it
// waits, a release before the lock is free.

// lockChecked takes the lock with lockdep on. ty is its type: its own, or that of
// the Spin that it is part of.
//
//go:norace
func (l *Raw) lockChecked(ty *depcheck.Type, how depcheck.How) {
	l.dep.Acquire(ty, how)
	if how&depcheck.Pins2 != 0 {
		l.acquireIRQ()
	} else {
		l.acquire()
	}
	l.dep.Acquired()
}

// unlockChecked records a release, and reports whether the lock may be released:
// its holder is pinned, so no other goroutine can release it.
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
	if park(&l.mu) {
		l.raw.contentions.Add(1) // ord:stat
	}
	if holds.Enabled {
		l.begin()
	}
	l.raw.dep.Acquired()
}

// recordTry records a successful TryLock. It returns true.
func (l *Spin) recordTry() bool {
	if holds.Enabled && preempt.RT() {
		l.begin()
	}
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
	if holds.Enabled {
		l.begin()
	}
	l.dep.Acquired()
}

func (l *Mutex) recordTry() bool {
	if holds.Enabled {
		l.begin()
	}
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
	l.acquire(preempt.Atomic())
	l.dep.Acquired()
}

func (l *Local) recordTry() bool {
	if depcheck.Enabled() {
		how := depcheck.Try
		if !preempt.RT() {
			how |= depcheck.Pins
		}
		l.dep.Acquire(depcheck.Local, how)
	}
	return true
}

// lockChecked takes the lock with lockdep on, by acquire, one of the functions in
// rw.go.
func (l *RW) lockChecked(how depcheck.How, irq bool, acquire func()) {
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
	acquire()
	l.dep.Acquired()
}

func (l *RW) recordTry(how depcheck.How) bool {
	if depcheck.Enabled() {
		how |= depcheck.Try
		if !preempt.RT() {
			how |= depcheck.Pins
		}
		l.dep.Acquire(depcheck.RW, how)
	}
	return true
}

// unlockChecked and runlockChecked record a release, and report whether the lock
// may be released: a write lock only by the writer, and with preempt_rt=0 a read
// lock only by one of its readers.

func (l *RW) unlockChecked() bool {
	return l.dep.Release(l.state.Load()&rwWriter != 0) == depcheck.Ours // ord:rw
}

func (l *RW) runlockChecked() bool {
	h := l.dep.Release(l.state.Load()&rwReaders != 0) // ord:rw
	return h == depcheck.Ours || h == depcheck.Theirs && preempt.RT()
}

// isLocked reports whether the mutex is locked at this moment. The caller is
// about to unlock it.
func isLocked(mu *sync.Mutex) bool {
	if mu.TryLock() {
		mu.Unlock()
		return false
	}
	return true
}
