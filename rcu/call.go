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

// Callbacks are kept in arrays, one chain of arrays per shard. They hold Go
// funcs and so live on the Go heap; making an array while pinned is allowed.
const (
	shards    = 64  // Ps share a shard beyond this many
	arraySize = 255 // callbacks to an array, 2 KB with the count
)

type array struct {
	n    int // registered
	done int // invoked, owned by the worker
	fns  [arraySize]func()
}

// shard is one P's (or several Ps') queue. Its lock is held for a few stores.
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

// begun counts callbacks that were begun.
//
//go:norace
func (c *callbacks) begun(n uint64) {
	race.Disable()   // the count orders nobody
	c.invoked.Add(n) // ord:stat
	race.Enable()
}

// Call runs fn after a grace period, on a worker goroutine, unpinned. fn may
// block and may call Call, but holds up the callbacks behind it; it must not
// call Barrier. Callbacks registered on one P run in their order. Any
// context; never sleeps. The kernel's call_rcu.
//
//go:norace
func Call(fn func()) {
	if fn == nil {
		panic("quiesce: rcu.Call of a nil func")
	}
	id := sys.ProcPin()
	s := &calls.shard[id%shards]
	s.race.Merge()
	race.Disable()      // the lock orders nobody but caller and callback
	calls.queued.Add(1) // ord:stat
	s.mu.LockIRQ()
	sys.ProcUnpin()
	s.add(fn)
	s.mu.UnlockIRQ()
	race.Enable()
	startCalls()
}

//go:norace
func (s *shard) add(fn func()) {
	if s.cur == nil || s.cur.n == arraySize {
		if s.cur != nil {
			s.full = append(s.full, s.cur)
		}
		s.cur = new(array)
	}
	s.cur.fns[s.cur.n] = fn
	s.cur.n++
}

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

// runCalls is the worker: take everything, one grace period, run everything.
func runCalls() {
	for {
		for batch := takeCalls(); len(batch) > 0; batch = takeCalls() {
			// The cookie comes after the last callback was taken.
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

// invoke runs a batch. A callback that ends its goroutine (runtime.Goexit, as
// testing's FailNow does) must not take the others with it: they, and the
// worker's duty, go to a new goroutine.
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
			calls.begun(1)
			fn()
		}
	}
	finished = true
}

//go:norace
func takeCalls() (batch []*array) {
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

// Barrier waits until every callback registered before has returned. It does
// not wait for slab's FreeRCU, which has barriers of its own. Unpinned,
// outside of read-side sections, not in a callback. The kernel's rcu_barrier.
func Barrier() {
	if depcheck.Enabled() {
		mayWait("waiting for callbacks in rcu.Barrier")
	}
	var left atomic.Int32
	// A locked mutex and no channel: one made in a synctest bubble must not be
	// closed by a worker outside of it.
	var done sync.Mutex
	done.Lock()
	left.Store(1) // ord:barrier
	last := func() {
		if left.Add(-1) == 0 { // ord:barrier
			done.Unlock()
		}
	}
	marker := func() {
		calls.begun(^uint64(0)) // counted, but it is no callback of anybody's
		last()
	}
	// A marker behind the last callback of every shard, empty ones included:
	// their callbacks may be running.
	for i := range calls.shard {
		left.Add(1) // ord:barrier
		s := &calls.shard[i]
		s.mu.LockIRQ()
		s.add(marker)
		s.mu.UnlockIRQ()
	}
	startCalls()
	last()
	done.Lock()
}
