package lock

import "quiesce/internal/depcheck"

// LockNested is Lock of a second lock of a class: subclass, 1 to 7, says which
// of them comes later. The kernel's raw_spin_lock_nested.
//
//go:norace
func (l *Raw) LockNested(subclass int) {
	if depcheck.Enabled() {
		l.lockChecked(depcheck.Raw, depcheck.Pins|depcheck.Subclass(subclass))
		return
	}
	l.take()
}

// Held reports whether the calling goroutine holds the lock; true while lockdep
// is off. The kernel's lockdep_is_held.
func (l *Raw) Held() bool { return l.dep.Held() }

// LockNested is Lock of a second lock of a class: subclass, 1 to 7, says which
// of them comes later. The kernel's spin_lock_nested.
func (l *Spin) LockNested(subclass int) {
	if depcheck.Enabled() {
		l.lockChecked(depcheck.Subclass(subclass), false)
		return
	}
	l.Lock()
}

// MightLock says that the caller may take the lock, whether it does this time
// or not: lockdep checks it as if it did. The kernel's might_lock.
func (l *Spin) MightLock() {
	if depcheck.Enabled() {
		l.raw.dep.Might(depcheck.Spin, depcheck.Exclusive, false)
	}
}

// MightLockIRQ is MightLock of a LockIRQ.
func (l *Spin) MightLockIRQ() {
	if depcheck.Enabled() {
		l.raw.dep.Might(depcheck.Spin, depcheck.Exclusive, true)
	}
}

// Held reports whether the calling goroutine holds the lock; true while lockdep
// is off. The kernel's lockdep_is_held.
func (l *Spin) Held() bool { return l.raw.dep.Held() }

// LockNested is Lock of a second lock of a class: subclass, 1 to 7, says which
// of them comes later. The kernel's mutex_lock_nested.
func (l *Mutex) LockNested(subclass int) {
	if depcheck.Enabled() {
		l.lockChecked(depcheck.Subclass(subclass))
		return
	}
	l.mu.Lock()
}

// MightLock says that the caller may take the lock, whether it does this time
// or not: lockdep checks it as if it did. The kernel's might_lock.
func (l *Mutex) MightLock() {
	if depcheck.Enabled() {
		l.dep.Might(depcheck.Mutex, depcheck.Exclusive, false)
	}
}

// Held reports whether the calling goroutine holds the lock; true while lockdep
// is off. The kernel's lockdep_is_held.
func (l *Mutex) Held() bool { return l.dep.Held() }

// LockNested is Lock of a second lock of a class: subclass, 1 to 7, says which
// of them comes later. The kernel's write_lock_nested.
func (l *RW) LockNested(subclass int) {
	if depcheck.Enabled() {
		l.checked(depcheck.Subclass(subclass), false, l.lock)
		return
	}
	l.lock()
}

// Held reports whether the calling goroutine holds the lock, as a writer or a
// reader; true while lockdep is off. The kernel's lockdep_is_held.
func (l *RW) Held() bool { return l.dep.Held() }
