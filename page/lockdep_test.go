package page

import (
	"testing"

	"quiesce/gfp"
	"quiesce/lock"
	"quiesce/lockdep"
	"quiesce/lockdep/lockdeptest"
	"quiesce/preempt"
)

// userReclaimer is a Reclaimer that does what a test wants.
type userReclaimer struct{ fn func() }

func (u *userReclaimer) Reclaim(int64) { u.fn() }

// A lock that is held over a gfp.Kernel allocation, and that a Reclaimer takes:
// memory need not run short to find it.
func TestALockOverAKernelAllocationAndInAReclaimerIsReported(t *testing.T) {
	for _, reclaimFirst := range []bool{false, true} {
		a := newTest(t, Config{Name: map[bool]string{false: "held first", true: "reclaimed first"}[reclaimFirst]})
		var l lock.Mutex
		l.Init(t.Name() + a.name)
		r := &userReclaimer{fn: func() { l.Lock(); defer l.Unlock() }}
		a.AddReclaimer(r)
		steps := []func(){
			func() {
				l.Lock()
				defer l.Unlock()
				a.Free(a.Alloc(4, gfp.Kernel), 4)
			},
			func() { a.core.Reclaim(Size) },
		}
		if reclaimFirst {
			steps[0], steps[1] = steps[1], steps[0]
		}
		steps[0]()
		lockdeptest.Expect(t, steps[1], lockdep.Circular)
		a.RemoveReclaimer(r)
	}
}

func TestAKernelAllocationInAReclaimerIsReported(t *testing.T) {
	a := newTest(t, Config{Name: "reclaimer that waits"})
	b := newTest(t, Config{Name: "another one"})
	r := &userReclaimer{fn: func() { b.Free(b.Alloc(4, gfp.Kernel), 4) }}
	a.AddReclaimer(r)
	lockdeptest.Expect(t, func() { a.core.Reclaim(Size) })
	r.fn = func() { a.Free(a.Alloc(4, gfp.Kernel), 4) }
	lockdeptest.Expect(t, func() { a.core.Reclaim(Size) }, lockdep.Recursion+": page.reclaim of reclaimer that waits")
	a.RemoveReclaimer(r)
}

// gfp.NoWait allocations in handlers, and frees: the zone lock is taken with
// interrupts off, so that they are right. The first of them makes the allocator
// grow, under a lock that no handler takes otherwise.
func TestNoWaitInHandlersIsRight(t *testing.T) {
	a := newTest(t, Config{Name: "handlers"})
	for _, handler := range []func(func()){preempt.Threaded, preempt.Softirq} {
		lockdeptest.Expect(t, func() {
			a.Free(a.Alloc(4, gfp.Kernel), 4)
			handler(func() {
				if p := a.Alloc(MaxOrder, gfp.NoWait|gfp.NoWarn); p != nil {
					a.Free(p, MaxOrder)
				}
			})
			a.Free(a.Alloc(4, gfp.Kernel), 4)
			a.Shrink()
		})
	}
}
