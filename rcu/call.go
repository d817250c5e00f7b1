package rcu

import (
	"sync/atomic"

	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/lock"
)

// Callbacks are kept in arrays, one list of arrays per shard. They are Go funcs,
// so the arrays live on the Go heap. The worker returns an array to its shard
// when its callbacks have run. Where the shard has none, Call allocates one before
// it takes the lock: pinned callers spin for it.
const (
	shards    = 64  // with more Ps than this, Ps share shards
	arraySize = 252 // callbacks in an array, 2 KB with the other fields
	unusedMax = 2   // unused arrays of a shard. Untuned.
)

type array struct {
	next *array
	home *shard // immutable
	n    int    // registered
	done int    // started; owned by the worker
	fns  [arraySize]func()
}

// shard is the queue of one P, or of several. Its lock is held for a few stores.
type shard struct {
	mu      lock.Raw
	first   *array // registered callbacks, oldest first; protected by mu
	last    *array // protected by mu
	unused  *array // protected by mu
	unusedN int    // protected by mu
	race    race.Clock
	_       [64]byte
}

type callbacks struct {
	shard    [shards]shard
	working  atomic.Bool
	queued   atomic.Uint64
	invoked  atomic.Uint64
	barriers atomic.Int64 // Barriers that wait
}

var calls callbacks

func init() {
	for i := range calls.shard {
		calls.shard[i].mu.Init("rcu.calls.mu")
	}
}

// waiting returns the number of callbacks that have not started.
func (c *callbacks) waiting() uint64 {
	invoked := c.invoked.Load()                    // ord:stat
	return max(c.queued.Load(), invoked) - invoked // ord:stat
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
// fn may block and may call Call; while it blocks, no other callback runs, and
// after [StallTimeout] its name is logged. It must not call [Barrier]. In a bubble
// of testing/synctest fn runs on a goroutine of its own in that bubble, in no
// particular order.
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
	if inBubble() {
		callInBubble(fn)
		return
	}
	id := sys.ProcPin()
	s := &calls.shard[id%shards]
	s.race.Merge()
	race.Disable()      // the lock orders only the caller and the callback
	calls.queued.Add(1) // ord:stat
	s.mu.LockIRQ()
	sys.ProcUnpin()
	s.addAndUnlock(fn)
	race.Enable()
	startCalls()
}

// addAndUnlock appends a callback to the shard's queue. s.mu is locked with
// interrupts off, and is unlocked on return.
//
//go:norace
func (s *shard) addAndUnlock(fn func()) {
	added := s.addLocked(fn, nil)
	s.mu.UnlockIRQ()
	for !added {
		fresh := &array{home: s}
		s.mu.LockIRQ()
		added = s.addLocked(fn, fresh)
		s.mu.UnlockIRQ()
	}
}

// addLocked appends a callback to the shard's queue, and returns false if it needs
// an array for that. fresh is one, or nil. s.mu is locked.
//
//go:norace
func (s *shard) addLocked(fn func(), fresh *array) bool {
	if fresh != nil {
		s.keepLocked(fresh)
	}
	if s.last == nil || s.last.n == arraySize {
		a := s.unused
		if a == nil {
			return false
		}
		s.unused, a.next = a.next, nil
		s.unusedN--
		if s.last == nil {
			s.first = a
		} else {
			s.last.next = a
		}
		s.last = a
	}
	s.last.fns[s.last.n] = fn
	s.last.n++
	return true
}

// keepLocked keeps an unused array, if there are few. s.mu is locked.
//
//go:norace
func (s *shard) keepLocked(a *array) {
	if s.unusedN < unusedMax {
		a.next, s.unused = s.unused, a
		s.unusedN++
	}
}

// removeLocked removes and returns the registered callbacks. s.mu is locked.
//
//go:norace
func (s *shard) removeLocked() (first, last *array) {
	first, last = s.first, s.last
	s.first, s.last = nil, nil
	return first, last
}

// recycle returns an array whose callbacks have run to its shard, and the array
// that came after it to the caller.
//
//go:norace
func (a *array) recycle() (next *array) {
	next = a.next
	clear(a.fns[:a.n]) // callbacks that ended their goroutine are still there
	a.n, a.done = 0, 0
	race.Disable()
	a.home.mu.LockIRQ()
	a.home.keepLocked(a)
	a.home.mu.UnlockIRQ()
	race.Enable()
	return next
}
