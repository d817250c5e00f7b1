package rcu

import (
	"quiesce/internal/fault"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// start starts the worker unless it runs.
//
//go:norace
func (q *callQueue) start() {
	fault.Delay("wake-call")
	race.Disable()
	start := !q.working.Load() && q.working.CompareAndSwap(false, true) // ord:wake-call
	race.Enable()
	if start {
		sys.Go(q.run)
	}
}

// work is the worker: dequeue everything, wait for one grace period, run
// everything.
func (q *callQueue) work() {
	for {
		q.ran.Acquire()
		for q.dequeue() {
			if q.now.first != nil {
				// The cookie is made after the last item was dequeued.
				wait(snap(), false)
				q.runArrays()
			}
			q.wakeBarriers()
		}
		q.ran.Release()
		if !q.end() {
			return
		}
	}
}

// end ends the worker, unless there is something to do and no other worker does
// it: then it returns true.
//
//go:norace
func (q *callQueue) end() (more bool) {
	race.Disable()
	q.working.Store(false) // ord:wake-call
	fault.Delay("wake-call")
	more = q.pending() && q.working.CompareAndSwap(false, true) // ord:wake-call
	race.Enable()
	return more
}

// round is what the worker has dequeued: callbacks whose grace period has ended,
// or is waited for, and the Barriers that wait for them.
type round struct {
	first    *array
	barriers *waiter
}

// runArrays runs the callbacks of the round. If one ends its goroutine (by
// runtime.Goexit, as testing's FailNow does), a new goroutine takes over the rest
// of the round and the work of the worker.
func (q *callQueue) runArrays() {
	watch.begin(q)
	q.runner.Store(sys.G()) // ord:callback-self
	finished := false
	defer func() {
		q.runner.Store(0) // ord:callback-self
		watch.end(q)
		if !finished {
			q.depCallbacks.End()
			go func() {
				q.runArrays()
				q.wakeBarriers()
				q.work()
			}()
		}
	}()
	for q.now.first != nil {
		a := q.now.first
		q.watched.set(a)
		q.invoke(a)
		q.now.first = a.recycle()
	}
	finished = true
}

// dequeue removes all registered callbacks, and the Barriers that were there
// before. It returns false if there is nothing.
//
//go:norace
func (q *callQueue) dequeue() (found bool) {
	race.Disable()
	q.now.barriers = q.barriers.Swap(nil) // first: ord:barrier
	fault.Delay("barrier")
	race.Enable()
	end := &q.now.first
	for i := range q.shards {
		s := &q.shards[i]
		race.Disable()
		s.mu.LockIRQ()
		first, last := s.removeLocked()
		s.mu.UnlockIRQ()
		race.Enable()
		s.race.Acquire()
		if first != nil {
			*end = first
			end = &last.next
		}
	}
	return q.now.first != nil || q.now.barriers != nil
}

// pending reports whether a callback is registered, or a Barrier waits that the
// worker has not seen.
//
//go:norace
func (q *callQueue) pending() bool {
	if q.barriers.Load() != nil { // ord:barrier
		return true
	}
	for i := range q.shards {
		s := &q.shards[i]
		s.mu.LockIRQ()
		p := s.first != nil
		s.mu.UnlockIRQ()
		if p {
			return true
		}
	}
	return false
}
