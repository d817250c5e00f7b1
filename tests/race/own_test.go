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

// inTurns runs turn in two goroutines, many times in each and never in both at
// once. The detector does not see that.
func inTurns(turn func(i int)) { inTurnsOf(func(_, i int) { turn(i) }) }

// inTurnsOf is inTurns for a turn that depends on whose it is.
func inTurnsOf(turn func(me, i int)) {
	var done [2]testkit.Flag
	loop := func(me int) func() {
		return func() {
			for i := range 1000 {
				done[1-me].Await(i + me)
				turn(me, i)
				done[me].Raise()
			}
		}
	}
	together(loop(0), loop(1))
}

// busy makes two goroutines use the library before and after every access to
// shared, in turns.
func busy(use func(c *slab.Cache[object], i int)) {
	c := newCache()
	inTurns(func(i int) {
		use(c, i)
		increment()
		use(c, i)
	})
}

// before makes one goroutine access shared and another, which is ordered after
// it, use the library many times, slow paths included, before a third uses it as
// often and accesses shared: if any of that ordered them, there would be no
// report.
func before(use func(c *slab.Cache[object], mine []*object)) {
	c := small(newPages(0)) // every goroutine takes every slow path, on any P
	var mine [2][]*object
	for i := range mine {
		for range 3000 {
			mine[i] = append(mine[i], alloc(c, 0))
		}
	}
	beforeWith(c, mine, use)
}

// beforeWith is before with objects that are there already.
//
// The goroutine that accesses shared does nothing more, or there might be no report
// for another reason: of what a goroutine did, the detector keeps no more than the
// last 80,000 calls and accesses for sure. An object that goes on the fallback chain
// takes a hundred of them. A race with an access that the detector no longer knows
// is found, but not reported. The goroutine does not end either: what it did would
// be forgotten sooner.
func beforeWith(c *slab.Cache[object], mine [2][]*object, use func(c *slab.Cache[object], mine []*object)) {
	var used, done testkit.Flag
	together(func() {
		increment()
		together(func() {
			use(c, mine[0])
			used.Raise()
			done.Await(1)
		})
	}, func() {
		used.Await(1)
		use(c, mine[1])
		increment()
		done.Raise()
	})
}

// beforeChained is beforeWith with no memory for arrays: most of what free is given
// goes on the fallback chain.
func beforeChained(free func(c *slab.Cache[object], mine []*object)) {
	c := newCache(slab.WithAllocator(newPages(1 << 20)))
	var all []*object
	for o := c.Alloc(gfp.NoWait | gfp.NoWarn); o != nil; o = c.Alloc(gfp.NoWait | gfp.NoWarn) {
		all = append(all, o)
	}
	half := len(all) / 2
	beforeWith(c, [2][]*object{all[:half], all[half:]}, func(c *slab.Cache[object], mine []*object) {
		free(c, mine)
		if mine[0] == all[0] && c.Stats().Fallback == 0 { // only the first: Stats orders those that call it
			panic("nothing went on the chain")
		}
	})
}

func freeAll(c *slab.Cache[object], mine []*object) {
	for _, o := range mine {
		c.Free(o)
	}
}

func freeRCUAll(c *slab.Cache[object], mine []*object) {
	for _, o := range mine {
		c.FreeRCU(o)
	}
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
	{name: "owners of Sheaves of one cache, all the time", run: func() {
		c := newCache()
		sheaves := [2]*slab.Sheaf[object]{stock(c, 10), stock(c, 10)}
		inTurnsOf(func(me, i int) {
			s := sheaves[me]
			s.Free(s.Alloc(gfp.Kernel))
			s.FreeRCU(s.Alloc(gfp.Kernel))
			increment()
			s.Free(s.Alloc(gfp.Kernel))
			s.FreeRCU(s.Alloc(gfp.Kernel))
		})
	}, frames: ownFrames},
	{name: "readers of an RW that write", run: func() {
		var l lock.RW
		inTurns(func(int) {
			l.RLock()
			increment()
			l.RUnlock()
		})
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
	{name: "Free, slow paths too", run: func() { before(freeAll) }, frames: ownFrames},
	{name: "FreeRCU, slow paths too", run: func() { before(freeRCUAll) }, frames: ownFrames},
	{name: "FreeBulk, slow paths too", run: func() { before((*slab.Cache[object]).FreeBulk) }, frames: ownFrames},
	{name: "Free, with no memory for arrays", run: func() { beforeChained(freeAll) }, frames: ownFrames},
	{name: "FreeRCU, with no memory for arrays", run: func() { beforeChained(freeRCUAll) }, frames: ownFrames},
	{name: "FreeBulk, with no memory for arrays", run: func() { beforeChained((*slab.Cache[object]).FreeBulk) },
		frames: ownFrames},
	{name: "Sheaves of one cache, slow paths too", run: func() {
		c := small(newPages(0))
		var mine [2][]*object
		sheaves := map[*object]*slab.Sheaf[object]{}
		for i := range mine {
			for range 3000 {
				mine[i] = append(mine[i], alloc(c, 0))
			}
			sheaves[mine[i][0]] = stock(c, 10)
		}
		beforeWith(c, mine, func(c *slab.Cache[object], mine []*object) {
			s := sheaves[mine[0]]
			free := [2]func(*object){s.Free, s.FreeRCU}
			for i, o := range mine {
				free[i%2](o)
			}
			s.Close()
		})
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
