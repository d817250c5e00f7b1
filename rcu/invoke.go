package rcu

import (
	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// startCalls starts the worker unless it runs.
//
//go:norace
func startCalls() {
	fault.Delay("wake-call")
	race.Disable()
	start := !calls.working.Load() && calls.working.CompareAndSwap(false, true) // ord:wake-call
	race.Enable()
	if start {
		sys.Go(runCalls)
	}
}

// runCalls is the worker: dequeue everything, wait for one grace period, run
// everything.
func runCalls() {
	for {
		for b := dequeueCalls(); b.first != nil; b = dequeueCalls() {
			// The cookie is taken after the last callback was dequeued.
			wait(snap(), false)
			b.invoke()
		}
		calls.working.Store(false) // ord:wake-call
		fault.Delay("wake-call")
		if !callsPending() || !calls.working.CompareAndSwap(false, true) { // ord:wake-call
			return
		}
	}
}

// batch has callbacks whose grace period has ended, or is waited for.
type batch struct{ first *array }

// invoke runs a batch. If a callback ends its goroutine (by runtime.Goexit, as
// testing's FailNow does), a new goroutine takes over the rest of the batch and
// the work of the worker.
func (b *batch) invoke() {
	watch.begin()
	finished := false
	defer func() {
		watch.end()
		if !finished {
			depcheck.CallbackEnd()
			go func() {
				b.invoke()
				runCalls()
			}()
		}
	}()
	for b.first != nil {
		a := b.first
		watch.set(a)
		for fn := a.start(); fn != nil; fn = a.start() {
			calls.countInvoked(1)
			depcheck.CallbackBegin()
			fn()
			depcheck.CallbackEnd()
			a.returned()
		}
		b.first = a.recycle()
	}
	finished = true
}

// start returns the array's next callback, or nil at its end.
//
//go:norace
func (a *array) start() (fn func()) {
	if a.done < a.n {
		fn = a.fns[a.done]
		a.done++
	}
	return fn
}

// returned lets go of the callback that start returned last. Until then the
// watchdog may read it.
//
//go:norace
func (a *array) returned() { a.fns[a.done-1] = nil }

// dequeueCalls removes and returns all registered callbacks.
//
//go:norace
func dequeueCalls() *batch {
	b := new(batch)
	end := &b.first
	for i := range calls.shard {
		s := &calls.shard[i]
		s.mu.LockIRQ()
		first, last := s.removeLocked()
		s.mu.UnlockIRQ()
		s.race.Acquire()
		if first != nil {
			*end = first
			end = &last.next
		}
	}
	return b
}

// callsPending reports whether a callback is registered.
//
//go:norace
func callsPending() bool {
	for i := range calls.shard {
		s := &calls.shard[i]
		s.mu.LockIRQ()
		p := s.first != nil
		s.mu.UnlockIRQ()
		if p {
			return true
		}
	}
	return false
}
