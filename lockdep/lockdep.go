package lockdep

import "quiesce/internal/depcheck"

// Tagged reports whether this is a build with -tags lockdep, in which lockdep
// also sees readers, pinned sections and allocations that never leave their fast
// paths.
const Tagged = depcheck.Tagged

// Enable switches the checks on, for the rest of the process: every acquisition
// of a lock of package lock, every context of package preempt, and every
// allocation that leaves its fast path. QUIESCE=lockdep=1 does it at start, and
// so does a build with -tags lockdep, unless QUIESCE=lockdep=0 says otherwise.
// Locks that are held at the time of the call are unknown to lockdep, and their
// release is not reported.
//
// Context: task; not pinned.
func Enable() { depcheck.Enable() }

// Enabled reports whether the checks are on.
//
// Context: any.
func Enabled() bool { return depcheck.Enabled() }

// Reset forgets all classes, orders, held locks and reported faults, but not
// which contexts goroutines are in. No goroutine should hold a lock during the
// call, because lockdep would forget that too.
//
// Context: task; not pinned.
//
// Linux: lockdep_reset.
func Reset() { depcheck.Reset() }

// MightSleep declares that the caller may block, whether it does this time or
// not. It is reported in a raw atomic context, in an interrupt handler, under a
// lock that spins and, with -tags lockdep, in a read-side section. It costs a
// load while lockdep is off.
//
// Context: any.
//
// Linux: might_sleep.
func MightSleep() { depcheck.MightSleep(1, "sleeping function called") }

// CheckNoLocksHeld reports what the calling goroutine holds. Defer it at the
// start of a goroutine that must hold nothing when it ends.
//
// Context: task; not pinned.
//
// Linux: debug_check_no_locks_held.
func CheckNoLocksHeld() { depcheck.CheckNoLocksHeld() }

// CheckExited reports goroutines that ended while they held something: locks
// and, with -tags lockdep, read-side sections whose guard was never unlocked,
// which hold up every grace period. It reads the stacks of all goroutines, which
// stops the world for a moment.
//
// Context: task; not pinned.
func CheckExited() { depcheck.CheckExited() }
