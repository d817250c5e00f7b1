package depcheck

import (
	"sync"
	"sync/atomic"

	"quiesce/internal/sys"
)

// on is 1 once Enable was called. It is read on every acquisition.
var on atomic.Uint32

// Enabled reports whether locks are checked. Any context.
func Enabled() bool { return on.Load() != 0 }

var enabling sync.Mutex

// Enable switches the checks on, for the rest of the process: every
// acquisition of a lock of package lock, every context of package preempt, and
// every allocation that leaves its fast path. QUIESCE=lockdep=1 does it at
// start, and a build with -tags lockdep too (but for QUIESCE=lockdep=0), which
// also sees readers and allocations on fast paths. Locks that are held at the
// time of the call are not known, nor missed when they are released. Unpinned.
func Enable() {
	enabling.Lock()
	defer enabling.Unlock()
	if Enabled() {
		return
	}
	sys.FindGoid()
	setUp()
	on.Store(1)
}

func init() {
	v, ok := sys.Option("lockdep")
	if ok && v != "0" || !ok && Tagged {
		Enable()
	}
}

// proveRawLockNesting: a lock.Spin under a lock.Raw is an error. Code must be
// right with preempt_rt=0 and 1 alike, whichever is chosen. With
// QUIESCE=prove_raw_lock_nesting=0 it need only be right where spin locks spin.
// The kernel's CONFIG_PROVE_RAW_LOCK_NESTING.
var proveRawLockNesting = func() bool {
	v, ok := sys.Option("prove_raw_lock_nesting")
	return !ok || v != "0"
}()
