package race_test

import (
	"runtime"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/rcu"
	"quiesce/rcuhash"
	"quiesce/slab"
)

// (B) A use of an object that no section protects, and a free or a write that
// no grace period precedes, is reported.
func TestB_UsesOutsideOfSectionsAreReported(t *testing.T) { check(t, wrong) }

// linked returns a pointer to an object of the cache.
func linked(c *slab.Cache[object]) (*slab.Cache[object], *slab.Pointer[object]) {
	link := new(slab.Pointer[object])
	link.Store(alloc(c, 0))
	return c, link
}

// misread runs a reader that breaks the rules together with a writer that keeps
// them. In small sheaves objects don't wait long for their grace period to
// begin: what the reader does before that is no mistake.
func misread(read func(*slab.Pointer[object])) {
	c, link := linked(small(newPages(0)))
	during([]func(){func() { read(link) }}, func() {
		repeat(long, func(i int) {
			c.FreeRCU(link.Swap(alloc(c, uint64(i))))
			runtime.Gosched()
		})
	})
}

// keep runs a reader that uses an object after the section it got it in.
func keep(enter func() (leave func())) {
	misread(func(l *slab.Pointer[object]) {
		leave := enter()
		o := l.Load()
		leave()
		runtime.Gosched()
		useTooLate(o)
	})
}

// freeUnderReader has a reader in a section use what Kmalloc returned, and
// another goroutine free it without a grace period.
func freeUnderReader(free func(unsafe.Pointer)) {
	p := slab.Kmalloc(64, gfp.Kernel)
	var in testkit.Flag
	together(func() {
		g := rcu.ReadLock()
		useTooLate((*object)(p))
		g.Unlock()
		in.Raise()
	}, func() {
		in.Await(1)
		free(p)
	})
}

//go:noinline
func useTooLate(o *object) uint64 { return o.v[3] }

var tooLate = []string{"race_test.useTooLate()"}

var wrong = []scenario{
	{name: "use after Unlock", run: func() { keep(func() func() { return enter(false) }) }, frames: tooLate},
	{name: "use after Enable", run: func() { keep(func() func() { return enter(true) }) }, frames: tooLate},
	{name: "use after a Reader's Unlock", run: func() {
		r := rcu.NewReader()
		keep(func() func() { r.ReadLock(); return r.Unlock })
	}, frames: tooLate},
	{name: "two goroutines use one Reader", run: func() {
		r := rcu.NewReader()
		use := func() {
			repeat(long, func(int) {
				r.ReadLock()
				runtime.Gosched()
				r.Unlock()
			})
		}
		together(use, use)
	}, frames: []string{"rcu.(*Reader)."}},
	{name: "two goroutines use one Sheaf", run: func() {
		s := stock(newCache(), 10)
		inTurns(func(int) { s.Free(s.Alloc(gfp.Kernel)) })
	}, frames: []string{"slab.(*Sheaf["}},
	{name: "two goroutines have one Sheaf retire", run: func() {
		c := newCache()
		s := stock(c, 10)
		inTurns(func(int) { s.FreeRCU(c.Alloc(gfp.Kernel)) })
	}, frames: []string{"slab.(*Sheaf["}},
	{name: "use after Unlock of what a Sheaf frees", run: func() {
		c, link := linked(small(newPages(0)))
		s := stock(c, 10)
		during([]func(){func() {
			leave := enter(false)
			o := link.Load()
			leave()
			runtime.Gosched()
			useTooLate(o)
		}}, func() {
			repeat(long, func(i int) {
				o := s.Alloc(gfp.Kernel)
				o.set(uint64(i))
				s.FreeRCU(link.Swap(o))
				runtime.Gosched()
			})
		})
	}, frames: tooLate},
	{name: "a Sheaf's Free while a reader uses the object", run: func() {
		s := stock(newCache(), 10)
		o := s.Alloc(gfp.Kernel)
		var in testkit.Flag
		together(func() {
			g := rcu.ReadLock()
			useTooLate(o)
			g.Unlock()
			in.Raise()
		}, func() {
			in.Await(1)
			s.Free(o)
		})
	}, frames: tooLate},
	{name: "use without a section", run: func() { keep(func() func() { return func() {} }) }, frames: tooLate},
	{name: "a pointer kept from one section to the next", run: func() {
		var kept *object
		misread(func(l *slab.Pointer[object]) {
			g := rcu.ReadLock()
			if kept != nil {
				useTooLate(kept)
			}
			kept = l.Load()
			g.Unlock()
		})
	}, frames: tooLate},

	// The use is between the end of the section that protected the object and a
	// later section, which began after the grace period did: that one's end must
	// not order the use before the grace period's end.
	{name: "use after Unlock, before another section", run: func() { between(false) },
		frames: []string{"race_test.useTooLate()", "race.FreedAfterGracePeriod()"}},
	{name: "use after Enable, before another section", run: func() { between(true) }, procs: 4,
		frames: []string{"race_test.useTooLate()", "race.Freed()"}},

	{name: "Free without a grace period", run: func() {
		c, link := linked(newCache())
		var in, out testkit.Flag
		together(func() {
			g := rcu.ReadLock()
			useTooLate(link.Load())
			in.Raise()
			out.Await(1)
			g.Unlock()
		}, func() {
			in.Await(1)
			c.Free(link.Swap(nil))
			out.Raise()
		})
	}, frames: []string{"race_test.useTooLate()", "race.Freed()", "slab.(*Cache[", "wrong_test.go"}},
	{name: "Kfree without a grace period", run: func() { freeUnderReader(slab.Kfree) },
		frames: []string{"race_test.useTooLate()", "race.Freed()", "slab.Kfree()", "wrong_test.go"}},
	{name: "Krealloc without a grace period", run: func() {
		freeUnderReader(func(p unsafe.Pointer) { slab.Krealloc(p, 128, gfp.Kernel) })
	}, frames: []string{"race_test.useTooLate()", "race.Freed()", "slab.Krealloc()", "wrong_test.go"}},
	{name: "use of an object that was freed and allocated again", run: func() {
		c := newCache()
		o := alloc(c, 1)
		var freed testkit.Flag
		together(func() {
			c.Free(o)
			for o != alloc(c, 2) {
			}
			freed.Raise()
		}, func() {
			freed.Await(1)
			useTooLate(o)
		})
	}, frames: tooLate},
	{name: "two frees of one object", run: func() {
		c := newCache()
		o := alloc(c, 1)
		together(func() { c.Free(o) }, func() { c.Free(o) })
	}, frames: []string{"race.Freed()"}},
	{name: "a cookie taken before the unlinking", run: func() {
		c, link := linked(newCache())
		var in, out testkit.Flag
		together(func() {
			in.Await(1) // the grace period has begun, and ended
			g := rcu.ReadLock()
			useTooLate(link.Load())
			g.Unlock()
			out.Raise()
		}, func() {
			cookie := rcu.StartPoll()
			rcu.CondSynchronize(cookie)
			in.Raise()
			out.Await(1)
			o := link.Swap(nil)
			if !rcu.Poll(cookie) {
				panic("not over")
			}
			c.Free(o)
		})
	}, frames: []string{"race_test.useTooLate()", "race.Freed()"}},

	{name: "a Go object written without a grace period", run: func() { goObject(func() {}) },
		frames: []string{"race_test.goObject"}},
	{name: "a Go object written after the readers' own sections only", run: func() {
		goObject(func() { g := rcu.ReadLock(); g.Unlock() })
	}, frames: []string{"race_test.goObject"}},

	{name: "a map's value used after Unlock", run: func() {
		m, err := rcuhash.New[int, uint64](16)
		if err != nil {
			panic(err)
		}
		m.Put(1, 1)
		during([]func(){func() {
			g := rcu.ReadLock()
			v := m.Get(g, 1)
			g.Unlock()
			runtime.Gosched()
			useValueTooLate(v)
		}}, func() {
			repeat(long, func(i int) { m.Put(1, uint64(i)); runtime.Gosched() })
		})
	}, frames: []string{"race_test.useValueTooLate()"}},
	{name: "a page used after Free", run: func() {
		a := newPages(0)
		p := a.Alloc(2, gfp.Kernel)
		var freed testkit.Flag
		together(func() {
			a.Free(p, 2)
			freed.Raise()
		}, func() {
			freed.Await(1)
			useTooLate((*object)(unsafe.Add(p, 5000)))
		})
	}, frames: []string{"race_test.useTooLate()", "race.PagesFreed()", "wrong_test.go"}},
	{name: "what a callback wrote, read without Barrier", run: func() {
		x := 0
		var done testkit.Flag
		together(func() {
			rcu.Call(func() { x = 1; done.Raise() })
		}, func() {
			done.Await(1)
			useValueTooLate((*uint64)(unsafe.Pointer(&x)))
		})
	}, frames: []string{"race_test.useValueTooLate()"}},
	{name: "what a Batch's function wrote, read without Barrier", run: func() {
		x := uint64(0)
		var done testkit.Flag
		b := rcu.NewBatch("race", func(ps []*uint64) { *ps[0] = 1; done.Raise() })
		together(func() {
			b.Add(&x)
		}, func() {
			done.Await(1)
			useValueTooLate(&x)
		})
	}, frames: []string{"race_test.useValueTooLate()"}},
	{name: "what another added to a Batch, used as if Add had published it", run: func() {
		x := uint64(0)
		var added testkit.Flag
		b := rcu.NewBatch("race", func([]*uint64) {})
		together(func() {
			x = 1
			b.Add(&x)
			added.Raise()
		}, func() {
			added.Await(1)
			b.Add(new(uint64))
			useValueTooLate(&x)
		})
	}, frames: []string{"race_test.useValueTooLate()"}},
}

//go:noinline
func useValueTooLate(v *uint64) uint64 { return *v }

// between: see the scenarios that call it.
func between(pinned bool) {
	c := newCache()
	var link slab.Pointer[object]
	for range 200 { // the grace period may end too early, between the lines
		link.Store(alloc(c, 0))
		var in testkit.Flag
		together(func() {
			leave := enter(pinned)
			o := link.Load()
			before := rcu.GetState()
			in.Raise()
			for rcu.GetState() == before { // until a grace period has begun
				if !pinned {
					runtime.Gosched()
				}
			}
			leave()
			useTooLate(o)
			enter(pinned)()
		}, func() {
			in.Await(1)
			o := link.Swap(nil)
			if pinned { // without membarrier Barrier would wait for it too early
				rcu.Synchronize()
				c.Free(o)
				return
			}
			c.FreeRCU(o)
			c.Barrier()
		})
	}
}
