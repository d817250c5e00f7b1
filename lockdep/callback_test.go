package lockdep_test

import (
	"strings"
	"testing"

	"quiesce/gfp"
	"quiesce/lock"
	"quiesce/lockdep"
	"quiesce/preempt"
	"quiesce/rcu"
	"quiesce/rcuhash"
	"quiesce/slab"
)

// A Barrier under a lock that a callback takes is reported from one run of each,
// in either order, though nothing waits for ever in this one.
func TestBarrierUnderALockThatACallbackTakesIsReported(t *testing.T) {
	for _, barrierFirst := range []bool{false, true} {
		r := collect(t)
		table := name(new(lock.Mutex), "table")
		callback := func() {
			rcu.Call(func() { nest(table) })
			rcu.Barrier()
		}
		barrier := func() {
			table.Lock()
			rcu.Barrier()
			table.Unlock()
		}
		circleOf(t, r, barrierFirst, barrier, callback, "rcu.callback")
	}
}

// circleOf calls a Barrier under the lock "table" and a callback that takes that,
// in one of the two orders, and wants a report of the circle.
func circleOf(t *testing.T, r *reports, barrierFirst bool, barrier, call func(), class string) {
	t.Helper()
	if barrierFirst {
		barrier()
		call()
	} else {
		call()
		barrier()
	}
	got := r.want(t, "a Barrier under the lock", lockdep.Circular)
	if text := got[0].Text; !strings.Contains(text, class) || !strings.Contains(text, "table") {
		t.Error(text)
	}
}

// The same with a Batch and its function. Each name of a Batch is a class: the function
// may wait for other callbacks, and others may have the lock.
func TestBarrierOfABatchUnderALockThatItsFunctionTakesIsReported(t *testing.T) {
	for _, barrierFirst := range []bool{false, true} {
		r := collect(t)
		table := name(new(lock.Mutex), "table")
		other := rcu.NewBatch("other", func([]*int) {})
		b := rcu.NewBatch("sessions", func([]*int) { nest(table); other.Barrier(); rcu.Barrier() })
		call := func() {
			b.Add(new(int))
			b.Barrier()
		}
		barrier := func() {
			table.Lock()
			b.Barrier()
			table.Unlock()
		}
		table.Lock()
		other.Barrier()
		rcu.Barrier()
		table.Unlock()
		circleOf(t, r, barrierFirst, barrier, call, "rcu.Batch sessions")
	}
}

// Callbacks and Barriers that share no lock are right, and so is a callback that
// ends its goroutine.
func TestCallbacksAndBarriersAreNotReported(t *testing.T) {
	r := collect(t)
	mine, theirs := name(new(lock.Mutex), "mine"), name(new(lock.Mutex), "theirs")
	for range 2 {
		rcu.Call(func() { nest(theirs); rcu.Call(func() {}) })
		nest(theirs)
		mine.Lock()
		rcu.Barrier()
		mine.Unlock()
	}
	lockdep.CheckExited()
	r.want(t, "callbacks and barriers")
}

//go:noinline
func shrinkHere(c *slab.Cache[uint64]) { c.Shrink() }

//go:noinline
func shrinkThere(c *slab.Cache[uint64]) { c.Shrink() }

// A fault is reported once for each place in the program, not in the library,
// and the report names the place.
func TestPlacesAreThoseOfTheProgram(t *testing.T) {
	c, err := slab.NewCache[uint64]("places")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Free(c.Alloc(gfp.Kernel))
	r := collect(t)
	in := func(shrink func(*slab.Cache[uint64])) {
		preempt.Threaded(func() { shrink(c) })
	}
	for range 2 {
		in(shrinkHere)
		in(shrinkThere)
	}
	var reports []*lockdep.Report
	for _, rep := range r.list {
		if rep.Kind == lockdep.Sleeping { // the locks that it takes are another fault
			reports = append(reports, rep)
		}
	}
	if len(reports) != 2 {
		t.Fatalf("%d reports of two places, each met twice: %s", len(reports), r.kinds())
	}
	for i, place := range []string{"lockdep_test.shrinkHere (callback_test.go:", "lockdep_test.shrinkThere (callback_test.go:"} {
		if !strings.Contains(reports[i].Text, "called from invalid context at "+place) {
			t.Errorf("report %d does not name %s:\n%s", i, place, reports[i].Text)
		}
	}
}

// A zero guard proves nothing.
func TestAZeroGuardAsProofIsReported(t *testing.T) {
	if !lockdep.Tagged {
		t.Skip("-tags lockdep sees guards")
	}
	m, err := rcuhash.New[int, int](10)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.Put(1, 42)
	r := collect(t)
	var g rcu.Guard
	m.Get(g, 1)
	m.All(g)
	for _, rep := range r.want(t, "a zero guard", lockdep.SuspiciousRCU, lockdep.SuspiciousRCU) {
		if !strings.Contains(rep.Text, "use of a zero rcu.Guard") || !strings.Contains(rep.Text, "TestAZeroGuardAsProofIsReported (callback_test.go:") {
			t.Error(rep.Text)
		}
	}
	rcu.Read(func(g rcu.Guard) { m.Get(g, 1) })
	r.want(t, "a guard")
}
