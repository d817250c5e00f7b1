package slab

import (
	"strings"
	"sync/atomic"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/lockdep"
	"quiesce/lockdep/lockdeptest"
	"quiesce/preempt"
	"quiesce/rcu"
)

// What waits is reported where nothing may sleep, whether it has to wait this
// time or not, by both faces of the package.
func TestWaitingWhereNothingMaySleepIsReported(t *testing.T) {
	if testkit.Scenario() == "" { // the reports are not this process's
		out, err := testkit.OfTest(t, "waiting", "QUIESCE=lockdep=1,preempt_rt=1").Output()
		if err != nil {
			t.Errorf("the child ended with %v and said:\n%s", err, out)
		}
		return
	}
	sys.HasMembarrier() // until it is known, barriers stop the world, which no pinned caller may
	for _, place := range []struct {
		name string
		in   func(func())
	}{
		// Where waiting is wrong but does not end the process, should it happen.
		{"in a Threaded handler", preempt.Threaded},
		{"under a Spin", func(fn func()) { var l lock.Spin; l.Lock(); fn(); l.Unlock() }},
		{"in ReadLockBH", func(fn func()) { g := rcu.ReadLockBH(); fn(); g.Unlock() }},
	} {
		a := newPages(t, 0)
		c := newTest[cell](t, a)
		h := NewHeap(a)
		for _, wait := range []struct {
			name, says string
			fn         func()
		}{
			{"Cache.Barrier", "slab: Barrier", c.Barrier},
			{"Cache.Shrink", "slab: Shrink", c.Shrink},
			{"Cache.Close", "slab: Close", func() { _ = c.Close() }},
			{"Heap.Barrier", "slab: Barrier", h.Barrier},
			{"Heap.Shrink", "slab: Shrink", h.Shrink},
			{"Heap.Close", "slab: Close", func() { _ = h.Close() }},
		} {
			t.Run(wait.name+" "+place.name, func(t *testing.T) {
				lockdep.Reset() // it reports a fault once
				var reported atomic.Bool
				restore := lockdep.SetReporter(func(r *lockdep.Report) {
					if r.Kind == lockdep.Sleeping && strings.Contains(r.Text, "\n"+wait.says+"\n") {
						reported.Store(true)
					}
				})
				defer restore()
				place.in(wait.fn)
				eventually(t, "a report of "+wait.says, reported.Load) // from a goroutine of its own
			})
		}
		mustClose(t, a)
	}
}

// The same calls in a task are right, whatever they find.
func TestWaitingInATaskIsNotReported(t *testing.T) {
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	h := NewHeap(a)
	lockdeptest.Expect(t, func() {
		c.FreeRCU(c.Alloc(gfp.Kernel))
		for _, size := range []int{16, 500} {
			h.KfreeRCU(h.Kmalloc(size, gfp.Kernel))
			h.Kfree(h.Kmalloc(size, gfp.Kernel))
		}
		for _, wait := range []func(){c.Barrier, c.Shrink, h.Barrier, h.Shrink} {
			wait()
		}
		for _, closed := range []func() error{c.Close, h.Close} {
			if err := closed(); err != nil {
				t.Error(err)
			}
		}
	})
	mustClose(t, a)
}
