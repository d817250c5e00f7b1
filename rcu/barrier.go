package rcu

import (
	"sync"
	"sync/atomic"

	"quiesce/internal/depcheck"
)

// Barrier waits until every callback that was registered before the call has
// returned. It does not wait for slab's FreeRCU, which has barriers of its own.
//
// Context: task; not pinned, not in a read-side section, not in a callback.
//
// Linux: rcu_barrier.
func Barrier() {
	if depcheck.Enabled() {
		mayWait("waiting for callbacks in rcu.Barrier")
		depcheck.MightWaitForCallbacks()
	}
	calls.barriers.Add(1)        // ord:stat
	defer calls.barriers.Add(-1) // ord:stat
	inBubbles := bubbles.newest()
	var left atomic.Int32
	// A locked mutex instead of a channel: the worker may be outside the
	// caller's synctest bubble, and must not close a channel made inside it.
	var done sync.Mutex
	done.Lock()
	left.Store(1) // ord:barrier
	last := func() {
		if left.Add(-1) == 0 { // ord:barrier
			done.Unlock()
		}
	}
	marker := func() {
		calls.countInvoked(^uint64(0)) // the marker is not a user's callback
		last()
	}
	// A marker after the last callback of every shard, empty ones included,
	// because their callbacks may be running.
	for i := range calls.shard {
		left.Add(1) // ord:barrier
		s := &calls.shard[i]
		s.mu.LockIRQ()
		s.addAndUnlock(marker)
	}
	startCalls()
	last()
	done.Lock()
	bubbles.wait(inBubbles)
}
