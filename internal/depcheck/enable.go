package depcheck

import (
	"sync"
	"sync/atomic"

	"quiesce/internal/option"
	"quiesce/internal/sys"
)

// on is 1 after Enable. Every acquisition reads it, so it shares no line with a
// variable that is written more often.
var on struct {
	_ [128]byte
	atomic.Uint32
	_ [128]byte
}

// Enabled reports whether locks are checked.
//
// Context: any.
func Enabled() bool { return on.Load() != 0 }

var enabling sync.Mutex

// Enable switches the checks on, for the rest of the process. Locks that are
// held at the time of the call are unknown, and their release is not reported.
//
// Context: task; not pinned.
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
	v, ok := option.Text("lockdep")
	if v == "1" || !ok && Tagged {
		Enable()
	}
}

// proveRawLockNesting makes a lock.Spin under a lock.Raw an error: code must be
// right with preempt_rt=0 and with preempt_rt=1, whichever is in force. With
// QUIESCE=prove_raw_lock_nesting=0 it need only be right where spin locks spin.
//
// Linux: CONFIG_PROVE_RAW_LOCK_NESTING.
var proveRawLockNesting = option.Bool("prove_raw_lock_nesting")
