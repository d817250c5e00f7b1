package rcu

import (
	"sync/atomic"
	"unsafe"

	"quiesce/internal/depcheck"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/lock"
)

// Callbacks are kept in arrays, one list of arrays per shard. An item is a func of
// Call, or an object of a Batch. Both may be on the Go heap, so the arrays are.
// The worker returns an array to its shard when its callbacks have run. Where the
// shard has none, add allocates one before it takes the lock: pinned callers spin
// for it.
const (
	shardsMax  = 64  // with more Ps than this, Ps share shards
	arraySize  = 252 // items in an array, 2 KB with the other fields
	unusedMin  = 2   // arrays that a shard keeps whatever it needed lately
	unusedMax  = 64  // most of them that it keeps for what it needed. Untuned.
	peakWindow = 64  // looks of the worker after which a peak is an old one. Untuned.
)

type array struct {
	next  *array
	home  *shard // immutable
	n     int    // items in it
	done  int    // items that were started; owned by the worker
	items [arraySize]unsafe.Pointer
}

// shard is the queue of one P, or of several. Its lock is held for a few stores.
type shard struct {
	mu      lock.Raw
	closed  bool   // nothing is added any more; protected by mu
	added   uint64 // items ever; written under mu, read by anybody
	first   *array // registered callbacks, oldest first; protected by mu
	last    *array // protected by mu
	unused  *array // protected by mu
	unusedN int    // protected by mu

	// How many arrays there are with callbacks that have not all run, and the
	// most in this window and in the last one; protected by mu. As many arrays
	// as that are kept: a steady flow allocates none, and a flood's go again.
	used, peak, lastPeak int
	looks                int // of the worker, in this window; protected by mu

	race race.Clock
	_    [percpu.Line]byte
}

// callQueue is a queue of callbacks with a worker of its own, which ends when
// there is nothing to do. Call has one, and so has every Batch.
//
// A caller puts its item in an array under a shard's lock and then looks at
// working. The worker takes all arrays, under the same locks, and then waits for
// the grace period of a cookie that it makes by a read-modify-write. So that grace
// period begins after every item was added that it is for. Workers of several
// queues share it, as all callers do.
//
// A Barrier puts itself in barriers, and then looks at working too. The worker
// takes that list before the arrays, and wakes its members when it has run what
// was in those. An item that was added before a Barrier is among them, or was taken
// and run in an earlier round: there is one worker at a time. formal/callbacks.pml
// has all of this.
type callQueue struct {
	shards []shard        // as many as a power of two; immutable
	invoke func(a *array) // runs the callbacks of an array; immutable
	run    func()         // the worker; immutable
	name   string         // of the Batch, or ""; immutable
	code   uintptr        // of the Batch's function; 0: the items are funcs. Immutable.

	bubbles      bubbleCalls // callbacks of synctest bubbles
	depCallbacks depcheck.Callbacks

	_       [percpu.Line]byte
	working atomic.Bool // there is a worker
	_       [percpu.Line]byte

	barriers atomic.Pointer[waiter] // those that the worker has not seen, newest first
	waiting  atomic.Int64           // Barriers that have not returned
	invoked  atomic.Uint64          // items that were started
	runner   atomic.Uintptr         // the goroutine that runs callbacks, or 0
	now      round                  // owned by the worker
	watched  watched                // by the watchdog
	ran      race.Clock             // what workers that ended did
}

// init makes a queue of at most n shards, a power of two. code is that of the
// function of a Batch with that name.
func (q *callQueue) init(name string, n int, invoke func(*array), code uintptr) {
	q.shards = make([]shard, n)
	for i := range q.shards {
		q.shards[i].mu.Init("rcu.calls.mu")
	}
	q.bubbles.mu.Init("rcu.bubbles.mu")
	q.name, q.invoke, q.run, q.code = name, invoke, q.work, code
	dep := "rcu.callback"
	if code != 0 {
		dep = "rcu.Batch " + name
	}
	q.depCallbacks.Init(dep)
}

// added returns the number of items ever added.
//
//go:norace
func (q *callQueue) added() (n uint64) {
	for i := range q.shards {
		n += atomic.LoadUint64(&q.shards[i].added) // ord:stat
	}
	return n + q.bubbles.newest()
}

// unstarted returns the number of items that have not started.
//
//go:norace
func (q *callQueue) unstarted() uint64 {
	invoked := q.invoked.Load() // ord:stat
	return max(q.added(), invoked) - invoked
}

// countInvoked adds n to the items started.
//
//go:norace
func (q *callQueue) countInvoked(n int) {
	race.Disable()           // the count orders nothing
	q.invoked.Add(uint64(n)) // ord:stat
	race.Enable()
}

// add registers a callback. If the queue is closed it returns false.
//
//go:norace
func (q *callQueue) add(item unsafe.Pointer) (ok bool) {
	if inBubble() {
		return q.addInBubble(item)
	}
	id := sys.ProcPin()
	s := &q.shards[id&(len(q.shards)-1)]
	s.race.Merge()
	race.Disable() // the lock orders only the caller and the callback
	s.mu.LockIRQ()
	sys.ProcUnpin()
	added, ok := s.addLocked(item, nil)
	s.mu.UnlockIRQ()
	for !added && ok {
		fresh := &array{home: s}
		s.mu.LockIRQ()
		added, ok = s.addLocked(item, fresh)
		s.mu.UnlockIRQ()
	}
	race.Enable()
	q.start()
	return ok
}

// addLocked appends an item to the shard's queue. It returns added false if it
// needs an array for that, and ok false if the queue is closed. fresh is an array,
// or nil. s.mu is locked.
//
//go:norace
func (s *shard) addLocked(item unsafe.Pointer, fresh *array) (added, ok bool) {
	a := s.last
	if a == nil || a.n == arraySize {
		if s.closed {
			return false, false
		}
		if fresh != nil {
			s.keepLocked(fresh)
		}
		if a = s.unused; a == nil {
			return false, true
		}
		s.unused, a.next = a.next, nil
		s.unusedN--
		s.used++
		s.peak = max(s.peak, s.used)
		if s.last == nil {
			s.first = a
		} else {
			s.last.next = a
		}
		s.last = a
	}
	a.items[a.n] = item
	a.n++
	s.added++
	return true, true
}

// keepLocked keeps an unused array, if there are not enough. s.mu is locked.
//
//go:norace
func (s *shard) keepLocked(a *array) {
	if s.used+s.unusedN < min(max(s.peak, s.lastPeak, unusedMin), unusedMax) || s.unused == nil {
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
	if first != nil {
		if s.looks++; s.looks == peakWindow {
			s.looks, s.lastPeak, s.peak = 0, s.peak, s.used
		}
	}
	return first, last
}

// recycle returns an array whose callbacks have run to its shard, and the array
// that came after it to the caller.
//
//go:norace
func (a *array) recycle() (next *array) {
	next = a.next
	clear(a.items[:a.n]) // callbacks that ended their goroutine are still there
	a.n, a.done = 0, 0
	race.Disable()
	a.home.mu.LockIRQ()
	a.home.used--
	a.home.keepLocked(a)
	a.home.mu.UnlockIRQ()
	race.Enable()
	return next
}
