package rcu

import (
	"sync"
	"sync/atomic"

	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/lock"
)

// Callbacks are kept in arrays, one list of arrays per shard. They are Go funcs,
// so the arrays live on the Go heap; allocating one while pinned is allowed.
const (
	shards    = 64  // with more Ps than this, Ps share shards
	arraySize = 255 // callbacks in an array, 2 KB with the count
)

type array struct {
	n    int // registered
	done int // invoked; owned by the worker
	fns  [arraySize]func()
}

// shard is the queue of one P, or of several. Its lock is held for a few stores.
type shard struct {
	mu   lock.Raw
	full []*array // protected by mu
	cur  *array   // protected by mu
	race race.Clock
	_    [64]byte
}

type callbacks struct {
	shard   [shards]shard
	working atomic.Bool
	queued  atomic.Uint64
	invoked atomic.Uint64
}

var calls callbacks

func init() {
	for i := range calls.shard {
		calls.shard[i].mu.Init("rcu.calls.mu")
	}
}

// countInvoked adds n to the callbacks started.
//
//go:norace
func (c *callbacks) countInvoked(n uint64) {
	race.Disable()   // the count orders nothing
	c.invoked.Add(n) // ord:stat
	race.Enable()
}

// Call runs fn after a grace period, on a worker goroutine that is not pinned.
// It never sleeps. Callbacks registered on one P run in order of registration.
//
// fn may block and may call Call; while it blocks, no other callback runs. It
// must not call [Barrier].
//
// Context: any.
//
// Linux: call_rcu.
//
//go:norace
func Call(fn func()) {
	if fn == nil {
		panic("quiesce/rcu: Call of a nil func")
	}
	id := sys.ProcPin()
	s := &calls.shard[id%shards]
	s.race.Merge()
	race.Disable()      // the lock orders only the caller and the callback
	calls.queued.Add(1) // ord:stat
	s.mu.LockIRQ()
	sys.ProcUnpin()
	s.addLocked(fn)
	s.mu.UnlockIRQ()
	race.Enable()
	startCalls()
}

// addLocked appends a callback to the shard's queue. s.mu is locked.
//
//go:norace
func (s *shard) addLocked(fn func()) {
	if s.cur == nil || s.cur.n == arraySize {
		if s.cur != nil {
			s.full = append(s.full, s.cur)
		}
		s.cur = new(array)
	}
	s.cur.fns[s.cur.n] = fn
	s.cur.n++
}

// startCalls starts the worker unless it runs.
//
//go:norace
func startCalls() {
	fault.Delay("wake-call")
	race.Disable()
	start := !calls.working.Load() && calls.working.CompareAndSwap(false, true) // ord:wake-call
	race.Enable()
	if start {
		go runCalls()
	}
}

// runCalls is the worker: dequeue everything, wait for one grace period, run
// everything.
func runCalls() {
	for {
		for batch := dequeueCalls(); len(batch) > 0; batch = dequeueCalls() {
			// The cookie is taken after the last callback was dequeued.
			wait(snap(), false)
			invoke(batch)
		}
		calls.working.Store(false) // ord:wake-call
		fault.Delay("wake-call")
		if !callsPending() || !calls.working.CompareAndSwap(false, true) { // ord:wake-call
			return
		}
	}
}

// invoke runs a batch. If a callback ends its goroutine (by runtime.Goexit, as
// testing's FailNow does), a new goroutine takes over the rest of the batch and
// the work of the worker.
func invoke(batch []*array) {
	finished := false
	defer func() {
		if !finished {
			go func() {
				invoke(batch)
				runCalls()
			}()
		}
	}()
	for _, a := range batch {
		for a.done < a.n {
			fn := a.fns[a.done]
			a.fns[a.done] = nil
			a.done++
			calls.countInvoked(1)
			fn()
		}
	}
	finished = true
}

// dequeueCalls removes and returns all registered callbacks.
//
//go:norace
func dequeueCalls() (batch []*array) {
	for i := range calls.shard {
		s := &calls.shard[i]
		s.mu.LockIRQ()
		full, cur := s.full, s.cur
		s.full, s.cur = nil, nil
		s.mu.UnlockIRQ()
		s.race.Acquire()
		batch = append(batch, full...)
		if cur != nil {
			batch = append(batch, cur)
		}
	}
	return batch
}

// callsPending reports whether a callback is registered.
//
//go:norace
func callsPending() bool {
	for i := range calls.shard {
		s := &calls.shard[i]
		s.mu.LockIRQ()
		p := s.cur != nil
		s.mu.UnlockIRQ()
		if p {
			return true
		}
	}
	return false
}

// Barrier waits until every callback that was registered before the call has
// returned. It does not wait for slab's FreeRCU, which has barriers of its own.
//
// Context: task; not pinned, not in a read-side section, not in a callback.
//
// Linux: rcu_barrier.
func Barrier() {
	if depcheck.Enabled() {
		mayWait("waiting for callbacks in rcu.Barrier")
	}
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
		s.addLocked(marker)
		s.mu.UnlockIRQ()
	}
	startCalls()
	last()
	done.Lock()
}
