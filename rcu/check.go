package rcu

import (
	"sync/atomic"

	"quiesce/internal/depcheck"
)

// ReadLockHeld reports whether the calling goroutine is in a read-side section.
// It is for assertions: only builds with -tags lockdep know. Without the tag,
// and while lockdep is off, it returns true.
//
// Context: any.
//
// Linux: rcu_read_lock_held.
func ReadLockHeld() bool { return depcheck.InReader() }

// Dereference loads a pointer to RCU-protected data on the Go heap. With -tags
// lockdep, a load outside a read-side section is reported.
//
// Context: any.
//
// Linux: rcu_dereference.
func Dereference[T any](p *atomic.Pointer[T]) *T {
	if depcheck.Tagged {
		depcheck.NeedReader(1, "suspicious rcu_dereference_check() usage!")
	}
	return p.Load() // ord:link
}

// DereferenceProtected is [Dereference] for an updater. It needs no section,
// because a lock keeps other updaters from changing the pointer; held is usually
// that lock's Held method. With -tags lockdep, false is reported.
//
// Context: any.
//
// Linux: rcu_dereference_protected.
func DereferenceProtected[T any](p *atomic.Pointer[T], held bool) *T {
	if depcheck.Tagged && !held {
		depcheck.Suspicious(1, "suspicious rcu_dereference_protected() usage!")
	}
	return p.Load() // ord:link
}

// Adopt reports to lockdep that the calling goroutine is in the section from now on,
// after another goroutine has handed the guard over. Otherwise lockdep reports a
// use of what the section protects, because it knows only the goroutine that
// called ReadLock. Without -tags lockdep it does nothing.
//
// Context: any.
func (g Guard) Adopt() {
	if depcheck.Tagged {
		g.dep.Adopt()
	}
}

// mayWait checks, for lockdep, that the caller may wait for readers: it must not
// be in a read-side section, nor where sleeping is forbidden. If it is, mayWait
// reports that and returns true.
func mayWait(what string) (bad bool) {
	return depcheck.NeedNoReader(2, what) || depcheck.MightSleep(0, what)
}

// reported marks a wait that has been reported, so that the locks inside it are
// not reported too.
var (
	reported     depcheck.Map
	reportedType = depcheck.Type{Name: "rcu.reported", Inner: depcheck.WaitSleep, Kind: depcheck.WaitOverride}
)
