package rcu

import (
	"unsafe"

	"quiesce/internal/sys"
)

// calls is the queue of Call. Its items are funcs.
var calls callQueue

func init() { calls.init("rcu.callback", shardsMax, calls.invokeFuncs, 0) }

// A func is a pointer to its closure. (Package sys reads the code's address there.)

func funcItem(fn func()) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&fn)) }

func itemFunc(item unsafe.Pointer) func() { return *(*func())(unsafe.Pointer(&item)) }

// Call runs fn after a grace period, on a worker goroutine that is not pinned.
// It never sleeps. Callbacks registered on one P run in order of registration.
//
// fn may block and may call Call; while it blocks, no other callback runs, and
// after [StallTimeout] its name is logged. It must not call [Barrier], which
// panics there. In a bubble of testing/synctest fn runs on a goroutine of its own
// in that bubble, in no particular order. Where the same function is to run for
// many objects, a [Batch] costs less.
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
	calls.add(funcItem(fn))
}

// invokeFuncs runs the callbacks of an array that have not started.
func (q *callQueue) invokeFuncs(a *array) {
	for item := a.start(); item != nil; item = a.start() {
		q.countInvoked(1)
		q.depCallbacks.Begin()
		itemFunc(item)()
		q.depCallbacks.End()
		a.returned()
	}
}

// start returns the array's next callback, or nil at its end.
//
//go:norace
func (a *array) start() (item unsafe.Pointer) {
	if a.done < a.n {
		item = a.items[a.done]
		a.done++
	}
	return item
}

// returned lets go of the callback that start returned last. Until then the
// watchdog may read it.
//
//go:norace
func (a *array) returned() { a.items[a.done-1] = nil }

// code returns the entry of the code of the callback that start returned last, or 0.
//
//go:norace
func (a *array) code() uintptr {
	if item := a.items[(a.done-1)%arraySize]; item != nil {
		return sys.FuncPC(itemFunc(item))
	}
	return 0
}
