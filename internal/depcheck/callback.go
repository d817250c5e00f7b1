package depcheck

// callbacks is no lock, but takes part in lock orders. It is held while a
// callback of rcu.Call runs, and a caller that waits for callbacks takes and releases
// it, whether there are any or not. So a lock that a callback takes comes after
// it, a lock that is held over rcu.Barrier comes before it, and a lock that is
// both closes a circle: the Barrier would wait for a callback that waits for its
// caller. A Barrier in a callback is a recursion.
//
// There is nothing of the kind for the barriers of package slab, whose workers
// run no code of users, nor for grace periods: a reader may take nothing that
// may be held over a wait for readers.
//
// Linux: the lockdep_map of a work item, which its handler and flush_work take.
var callbacks = Map{name: "rcu.callback"}

var callbackType = Type{Name: "rcu.callback"}

// CallbackBegin records that a callback runs from here on.
//
// Linux: lock_map_acquire.
func CallbackBegin() {
	if Enabled() {
		callbacks.Acquire(&callbackType, Exclusive)
		callbacks.Acquired()
	}
}

// CallbackEnd records that it has ended.
//
// Linux: lock_map_release.
func CallbackEnd() {
	if Enabled() {
		callbacks.Release(true)
	}
}

// MightWaitForCallbacks records that the caller waits for callbacks.
func MightWaitForCallbacks() {
	if Enabled() {
		callbacks.Might(&callbackType, Exclusive, false)
	}
}
