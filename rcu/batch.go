package rcu

import (
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"

	"quiesce/internal/depcheck"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// ErrClosed is the error of Close on a [Batch] that is already closed. The error
// that is returned wraps it and names the Batch.
var ErrClosed = errors.New("already closed")

// Batch runs one function for many objects, each after a grace period that began
// after the object was added: what [Call] does with one closure for each. The
// objects' addresses are kept in arrays, and the function gets them by the array.
// It need not fetch a closure from memory for each of them, and can do for all at
// once what it would do for each: lock, free, look up.
//
// Each Batch has a queue and a worker of its own, which ends when there is nothing
// to do. A function that blocks holds up its own Batch only. After [StallTimeout]
// the Batch is logged by its name. They share grace periods.
//
// T may be any type. Objects on the Go heap stay reachable until the function has
// returned; those of package slab may be added too. (To free one of those, FreeRCU
// costs less still.)
//
// A Batch needs a few kilobytes for each P. One that is dropped without Close still
// runs its function for what was added to it. It must not be copied.
//
// Linux: none; kfree_rcu's arrays, with a function.
type Batch[T any] struct {
	_ noCopy

	q       callQueue
	closing atomic.Bool // Close was called
}

// NewBatch makes a Batch. It is for variables that live long, and its name is for
// reports. Batches with the same name are one class to lockdep.
//
// fn is called with up to a few hundred objects at a time, one call after the
// other, by a goroutine that is not pinned. It may block, and may add objects. The
// slice is valid until fn returns; fn may change it. Objects that were added on one
// P come in their order. A panic in fn ends the process, as in any goroutine. If fn
// ends its goroutine, by runtime.Goexit, it has had the objects.
//
// In a bubble of testing/synctest, Add starts a goroutine of that bubble, which
// calls fn with one object: there the calls come in no particular order, and several
// at a time.
//
// Context: task; not pinned.
func NewBatch[T any](name string, fn func([]*T)) *Batch[T] {
	if fn == nil {
		panic("quiesce/rcu: NewBatch " + name + ": a nil func")
	}
	b := new(Batch[T])
	b.q.init(name, batchShards(), func(a *array) {
		if items := b.q.startAll(a); len(items) > 0 {
			b.q.depCallbacks.Begin()
			fn(unsafe.Slice((**T)(unsafe.Pointer(&items[0])), len(items)))
			b.q.depCallbacks.End()
		}
	}, sys.FuncPC(*(*func())(unsafe.Pointer(&fn))))
	return b
}

// batchShards returns how many shards a Batch has: one for each P that there is.
func batchShards() int {
	return min(1<<bits.Len(uint(runtime.GOMAXPROCS(0)-1)), shardsMax)
}

// startAll returns the items of an array that has not been started, and otherwise
// none: the function had them, and ended its goroutine.
//
//go:norace
func (q *callQueue) startAll(a *array) (items []unsafe.Pointer) {
	if a.done > 0 {
		return nil
	}
	a.done = a.n
	q.countInvoked(a.n)
	return a.items[:a.n]
}

// Add has the Batch's function called with p after a grace period that begins
// later. It never sleeps, and allocates nothing in a steady flow. It panics if p is
// nil, or if the Batch was closed.
//
// Context: any. In a raw atomic context its panic ends the process.
//
// Linux: call_rcu.
//
//go:norace
func (b *Batch[T]) Add(p *T) {
	if p == nil || !b.q.add(unsafe.Pointer(p)) {
		b.badAdd(p == nil)
	}
}

//go:noinline
func (b *Batch[T]) badAdd(isNil bool) {
	if isNil {
		panic("quiesce/rcu: Add of a nil pointer to Batch " + b.q.name)
	}
	panic("quiesce/rcu: Add to Batch " + b.q.name + ", which is closed")
}

// Barrier waits until the Batch's function has returned from the calls with every
// object that was added before. It panics in that function, which it would wait
// for.
//
// Context: task; not pinned, not in a read-side section, not in the Batch's
// function.
//
// Linux: rcu_barrier.
func (b *Batch[T]) Barrier() {
	if depcheck.Enabled() {
		mayWait("waiting for callbacks in Barrier of an rcu.Batch")
	}
	b.q.mayBarrier("quiesce/rcu: Barrier of Batch " + b.q.name)
	b.q.barrier()
}

// Close waits as Barrier does; then the Batch refuses objects, and Add panics. What
// is added while Close runs is either refused, or has had its call when Close returns.
// It returns an error that wraps [ErrClosed] if Close was called before.
//
// Context: task; not pinned, not in a read-side section, not in the Batch's
// function.
func (b *Batch[T]) Close() error {
	if depcheck.Enabled() {
		mayWait("waiting for callbacks in Close of an rcu.Batch")
	}
	b.q.mayBarrier("quiesce/rcu: Close of Batch " + b.q.name)
	if b.closing.Swap(true) { // ord:callback-close
		return fmt.Errorf("rcu: Batch %s: %w", b.q.name, ErrClosed)
	}
	b.q.barrier() // the function may add while it runs for what is there
	b.q.close()
	b.q.barrier()
	return nil
}

// close has add refuse items. One that still has room in an array is not refused;
// a Barrier that begins later takes those arrays away, and waits for what is in them.
//
//go:norace
func (q *callQueue) close() {
	race.Disable()
	q.bubbles.close()
	for i := range q.shards {
		s := &q.shards[i]
		s.mu.LockIRQ()
		s.closed = true
		s.mu.UnlockIRQ()
	}
	race.Enable()
}
