package depcheck

// Callbacks are those of one queue, of rcu.Call or of a Batch. They are no lock,
// but take part in lock orders. Callbacks is held while one of them runs, and a
// caller that waits for them takes and releases it, whether there are any or not. So
// a lock that a callback takes comes after it, a lock that is held over rcu.Barrier
// comes before it, and a lock that is both closes a circle: the Barrier would wait
// for a callback that waits for its caller. A Barrier in a callback is a recursion.
// Batches of one name are one class, as locks are.
//
// There is nothing of the kind for the barriers of package slab, whose workers
// run no code of users, nor for grace periods: a reader may take nothing that
// may be held over a wait for readers.
//
// Linux: the lockdep_map of a work item, which its handler and flush_work take.
type Callbacks struct{ dep Map }

var callbackType = Type{Name: "rcu.callback"}

// Init names the class. No callback runs.
func (c *Callbacks) Init(name string) { c.dep.Init(name) }

// Begin records that a callback runs from here on.
//
// Linux: lock_map_acquire.
func (c *Callbacks) Begin() {
	if Enabled() {
		c.dep.Acquire(&callbackType, Exclusive)
		c.dep.Acquired()
	}
}

// End records that it has ended.
//
// Linux: lock_map_release.
func (c *Callbacks) End() {
	if Enabled() {
		c.dep.Release(true)
	}
}

// MightWait records that the caller waits for callbacks.
func (c *Callbacks) MightWait() {
	if Enabled() {
		c.dep.Might(&callbackType, Exclusive, false)
	}
}
