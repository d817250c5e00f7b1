package race_test

import (
	"runtime"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/preempt"
	"quiesce/rcu"
	"quiesce/slab"
)

// (C) The library does not order goroutines that merely use it at the same
// time: a race of their own is reported, even on one P.
func TestC_UsersOwnRacesAreReported(t *testing.T) { check(t, own) }

// shared is what two goroutines race on.
var shared int

//go:noinline
func increment() { shared++ }

var ownFrames = []string{"race_test.increment()"}

// busy makes two goroutines use the library before and after every access to
// shared, in turns.
func busy(use func(c *slab.Cache[object], i int)) {
	c := newCache()
	loop := func() {
		for i := range 1000 { // too short for a preemption to help
			use(c, i)
			increment()
			use(c, i)
			runtime.Gosched()
		}
	}
	together(loop, loop)
}

// before makes one goroutine access shared and use the library many times, slow
// paths included, before another uses it as often and accesses shared: if any of
// that ordered them, there would be no report.
func before(use func(c *slab.Cache[object], mine []*object)) {
	c := newCache()
	var mine [2][]*object
	for i := range mine {
		for range 3000 { // some sheaves; the detector's memory of accesses is short
			mine[i] = append(mine[i], alloc(c, 0))
		}
	}
	var first, second testkit.Flag
	together(func() {
		increment()
		use(c, mine[0])
		first.Raise()
		second.Await(1) // the detector forgets sooner what a goroutine did when it has ended
	}, func() {
		first.Await(1)
		use(c, mine[1])
		increment()
		second.Raise()
	})
}

var own = []scenario{
	{name: "everything, all the time", run: func() {
		busy(func(c *slab.Cache[object], i int) {
			g := rcu.ReadLock()
			o := c.Alloc(gfp.Kernel)
			c.Free(o)
			g.Unlock()
			p := preempt.Disable()
			c.FreeRCU(c.Alloc(gfp.NoLocks))
			p.Enable()
		})
	}, frames: ownFrames},
	{name: "Alloc and Free, all the time", run: func() {
		busy(func(c *slab.Cache[object], i int) { c.Free(c.Alloc(gfp.Kernel)) })
	}, frames: ownFrames},
	{name: "Alloc and FreeRCU, all the time", run: func() {
		busy(func(c *slab.Cache[object], i int) { c.FreeRCU(c.Alloc(gfp.Kernel)) })
	}, frames: ownFrames},
	{name: "AllocBulk and FreeBulk, all the time", run: func() {
		busy(func(c *slab.Cache[object], i int) {
			var os [10]*object
			c.FreeBulk(os[:c.AllocBulk(gfp.Kernel, os[:])])
		})
	}, frames: ownFrames},
	{name: "Kmalloc and KfreeRCU, all the time", run: func() {
		busy(func(_ *slab.Cache[object], i int) { slab.KfreeRCU(slab.Kmalloc(64, gfp.Kernel)) })
	}, frames: ownFrames},
	{name: "Call and Poll, all the time", run: func() {
		busy(func(_ *slab.Cache[object], i int) {
			rcu.Call(func() {})
			rcu.Poll(rcu.StartPoll())
		})
	}, frames: ownFrames},

	{name: "softirqs and sections without them, all the time", run: func() {
		busy(func(*slab.Cache[object], int) {
			preempt.Softirq(func() {})
			g := rcu.ReadLockBH()
			g.Unlock()
		})
	}, frames: ownFrames},
	{name: "readers of an RW that write", run: func() {
		var l lock.RW
		loop := func() {
			for range 1000 {
				l.RLock()
				increment()
				l.RUnlock()
				runtime.Gosched()
			}
		}
		together(loop, loop)
	}, frames: ownFrames},

	{name: "sections", run: func() {
		locks := make(chan *lock.Raw, 2)
		before(func(*slab.Cache[object], []*object) {
			l := new(lock.Raw) // of its own
			locks <- l         // not on the stack, whose memory is reused
			n := 0
			for range 500 {
				g := rcu.ReadLock()
				g.Unlock()
				r := rcu.NewReader()
				r.ReadLock()
				r.Unlock()
				g = r.ReadLock()
				g.Unlock()
				r.Close()
				preempt.Disable().Enable()
				s := preempt.DisableIRQ()
				s.Restore()
				l.Lock()
				n++
				l.Unlock()
			}
		})
	}, frames: ownFrames},
	{name: "sections next to grace periods", run: func() {
		stop := make(chan bool)
		go func() {
			for {
				select {
				case <-stop:
				default:
					rcu.Synchronize()
					runtime.Gosched()
				}
			}
		}()
		before(func(*slab.Cache[object], []*object) {
			r := rcu.NewReader()
			for range 500 {
				g := rcu.ReadLock()
				g.Unlock()
				preempt.Disable().Enable()
				r.ReadLock()
				r.Unlock()
				runtime.Gosched()
			}
		})
	}, frames: ownFrames},
	{name: "Free, slow paths too", run: func() {
		before(func(c *slab.Cache[object], mine []*object) {
			for _, o := range mine {
				c.Free(o)
			}
		})
	}, frames: ownFrames},
	{name: "FreeRCU, slow paths too", run: func() {
		before(func(c *slab.Cache[object], mine []*object) {
			for _, o := range mine {
				c.FreeRCU(o)
			}
		})
	}, frames: ownFrames},
	{name: "FreeBulk, slow paths too", run: func() {
		before(func(c *slab.Cache[object], mine []*object) { c.FreeBulk(mine) })
	}, frames: ownFrames},
	{name: "Call and StartPoll", run: func() {
		before(func(*slab.Cache[object], []*object) {
			for range 500 {
				rcu.Call(func() {})
				rcu.StartPoll()
			}
		})
	}, frames: ownFrames},
}
