package rcu

import (
	"sync/atomic"

	"quiesce/internal/depcheck"
)

// ReadLockHeld reports whether the calling goroutine is in a read-side
// section. It is for assertions: only a build with -tags lockdep knows;
// others, and lockdep that is off, say yes. Any context. The kernel's
// rcu_read_lock_held.
func ReadLockHeld() bool { return depcheck.InReader() }

// Dereference loads a pointer to data that RCU protects, on the Go heap. With
// -tags lockdep a load outside of a read-side section is reported. Any context.
// The kernel's rcu_dereference.
func Dereference[T any](p *atomic.Pointer[T]) *T {
	if depcheck.Tagged {
		depcheck.NeedReader(1, "suspicious rcu_dereference_check() usage!")
	}
	return p.Load() // ord:link
}

// DereferenceProtected is Dereference of an updater, who needs no section,
// because what is held keeps others from changing the pointer: the lock's Held,
// as a rule. With -tags lockdep a false one is reported. The kernel's
// rcu_dereference_protected.
func DereferenceProtected[T any](p *atomic.Pointer[T], held bool) *T {
	if depcheck.Tagged && !held {
		depcheck.Suspicious(1, "suspicious rcu_dereference_protected() usage!")
	}
	return p.Load() // ord:link
}

// Adopt tells lockdep that the calling goroutine is in the section from now on,
// after another one has handed the guard over. Without it only that one may use
// what the section protects, as far as lockdep can tell. It does nothing but
// with -tags lockdep.
func (g Guard) Adopt() {
	if depcheck.Tagged {
		g.dep.Adopt()
	}
}

// Check reports, with -tags lockdep, a guard that was unlocked already: for
// functions that take a guard for a proof. skip is the number of frames
// between the caller of Check and the line to blame. Any context.
func (g Guard) Check(skip int) {
	if depcheck.Tagged && !g.dep.Open() {
		depcheck.Suspicious(skip+1, "use of an rcu.Guard after its Unlock")
	}
}

// mayWait reports a wait for readers by one of them, or where nothing may
// sleep, and returns whether it is one.
func mayWait(what string) (bad bool) {
	return depcheck.NeedNoReader(2, what) || depcheck.MightSleep(0, what)
}

// reported marks a wait that was reported, so that the locks inside of it are
// not reported as well.
var (
	reported     depcheck.Map
	reportedType = depcheck.Type{Name: "rcu.reported", Inner: depcheck.WaitSleep, Kind: depcheck.WaitOverride}
)
