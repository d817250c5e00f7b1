package lock

import (
	"quiesce/internal/depcheck"
	"quiesce/internal/holds"
)

// LockNested is [Raw.Lock] for a second lock of a class that is already held.
// subclass, 1 to 7, tells lockdep which of them is taken later.
//
// Context: any.
//
// Linux: raw_spin_lock_nested.
//
//go:norace
func (l *Raw) LockNested(subclass int) {
	if depcheck.Enabled() {
		l.lockChecked(depcheck.Raw, depcheck.Pins|depcheck.Subclass(subclass))
		return
	}
	l.acquire()
}

// Held reports whether the calling goroutine holds the lock. It is for
// assertions: while lockdep is off, it returns true.
//
// Context: any.
//
// Linux: lockdep_is_held.
func (l *Raw) Held() bool { return l.dep.Held() }

// LockNested is [Spin.Lock] for a second lock of a class that is already held.
// subclass, 1 to 7, tells lockdep which of them is taken later.
//
// Context: task or softirq; not pinned.
//
// Linux: spin_lock_nested.
func (l *Spin) LockNested(subclass int) {
	if depcheck.Enabled() {
		l.lockChecked(depcheck.Subclass(subclass), false)
		return
	}
	l.Lock()
}

// MightLock says that the caller may take the lock, whether or not it does this
// time: lockdep checks it as if it did.
//
// Linux: might_lock.
func (l *Spin) MightLock() {
	if depcheck.Enabled() {
		l.raw.dep.Might(depcheck.Spin, depcheck.Exclusive, false)
	}
}

// MightLockIRQ is [Spin.MightLock] for [Spin.LockIRQ].
func (l *Spin) MightLockIRQ() {
	if depcheck.Enabled() {
		l.raw.dep.Might(depcheck.Spin, depcheck.Exclusive, true)
	}
}

// Held reports whether the calling goroutine holds the lock. It is for
// assertions: while lockdep is off, it returns true.
//
// Context: any.
//
// Linux: lockdep_is_held.
func (l *Spin) Held() bool { return l.raw.dep.Held() }

// LockNested is [Mutex.Lock] for a second lock of a class that is already held.
// subclass, 1 to 7, tells lockdep which of them is taken later.
//
// Context: task; not pinned, not with a Spin or an RW held.
//
// Linux: mutex_lock_nested.
func (l *Mutex) LockNested(subclass int) {
	if depcheck.Enabled() {
		l.lockChecked(depcheck.Subclass(subclass))
		return
	}
	l.mu.Lock()
	if holds.Enabled {
		l.begin()
	}
}

// MightLock says that the caller may take the lock, whether or not it does this
// time: lockdep checks it as if it did.
//
// Linux: might_lock.
func (l *Mutex) MightLock() {
	if depcheck.Enabled() {
		l.dep.Might(depcheck.Mutex, depcheck.Exclusive, false)
	}
}

// Held reports whether the calling goroutine holds the lock. It is for
// assertions: while lockdep is off, it returns true.
//
// Context: any.
//
// Linux: lockdep_is_held.
func (l *Mutex) Held() bool { return l.dep.Held() }

// LockNested is [RW.Lock] for a second lock of a class that is already held.
// subclass, 1 to 7, tells lockdep which of them is taken later.
//
// Context: task or softirq; not pinned.
//
// Linux: write_lock_nested.
func (l *RW) LockNested(subclass int) {
	if depcheck.Enabled() {
		l.lockChecked(depcheck.Subclass(subclass), false, l.lock)
		return
	}
	l.lock()
}

// Held reports whether the calling goroutine holds the lock, as a writer or as a
// reader. It is for assertions: while lockdep is off, it returns true.
//
// Context: any.
//
// Linux: lockdep_is_held.
func (l *RW) Held() bool { return l.dep.Held() }
