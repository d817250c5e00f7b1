package rcu

import (
	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// Barrier waits until every callback that was registered before the call has
// returned. It waits neither for slab's FreeRCU nor for a [Batch], which have
// barriers of their own. It panics in a callback, which it would wait for.
//
// Context: task; not pinned, not in a read-side section, not in a callback.
//
// Linux: rcu_barrier.
func Barrier() {
	if depcheck.Enabled() {
		mayWait("waiting for callbacks in rcu.Barrier")
	}
	calls.mayBarrier("quiesce/rcu: Barrier")
	calls.barrier()
}

// mayBarrier panics where the caller must not wait for callbacks. what begins the
// message.
func (q *callQueue) mayBarrier(what string) {
	q.depCallbacks.MightWait()
	if preempt.Atomic() {
		panic(what + " in a raw atomic context, which must not wait")
	}
	if self := sys.G(); q.runner.Load() == self || q.bubbles.runner(self) { // ord:callback-self
		panic(what + " in a callback, which it would wait for")
	}
}

// barrier waits for all items that were added before.
func (q *callQueue) barrier() {
	q.waiting.Add(1)        // ord:stat
	defer q.waiting.Add(-1) // ord:stat
	inBubbles := q.bubbles.newest()
	w := new(waiter)
	w.parked.Lock()
	q.enterBarrier(w)
	q.start()
	w.parked.Lock()
	q.bubbles.wait(inBubbles)
}

// enterBarrier puts w in the list that the worker's next round begins with.
//
//go:norace
func (q *callQueue) enterBarrier(w *waiter) {
	race.Disable()
	for {
		w.next = q.barriers.Load()                // ord:barrier
		if q.barriers.CompareAndSwap(w.next, w) { // ord:barrier
			break
		}
	}
	fault.Delay("barrier")
	race.Enable()
}

// wakeBarriers wakes the Barriers of the round, whose callbacks have returned.
func (q *callQueue) wakeBarriers() {
	for w := q.now.takeBarrier(); w != nil; w = q.now.takeBarrier() {
		w.parked.Unlock()
	}
}

//go:norace
func (r *round) takeBarrier() (w *waiter) {
	if w = r.barriers; w != nil {
		r.barriers = w.next // before the wake-up, after which w is the caller's
	}
	return w
}
