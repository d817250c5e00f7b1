package race_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
	"quiesce/rcuhash"
	"quiesce/slab"
)

// (A) A program that keeps the rules is not reported.
func TestA_CorrectProgramsAreSilent(t *testing.T) { check(t, correct) }

var correct = []scenario{
	{name: "FreeRCU", run: func() {
		c := newCache()
		replace(c, c.FreeRCU)
	}},
	{name: "FreeRCU, small sheaves", run: func() {
		c := small(newPages(0))
		replace(c, c.FreeRCU)
	}},
	{name: "FreeRCU through Sheaves", run: func() { replaceByOwners(newCache()) }},
	{name: "FreeRCU through Sheaves, small sheaves", run: func() { replaceByOwners(small(newPages(0))) }},
	{name: "a Sheaf that is handed over", run: func() {
		c := small(newPages(0))
		hand := make(chan *slab.Sheaf[object], 1)
		hand <- stock(c, 10)
		turn := func() {
			repeat(awhile, func(i int) {
				s := <-hand
				o, p := s.Alloc(gfp.Kernel), s.Alloc(gfp.Kernel)
				o.set(uint64(i))
				p.set(uint64(i))
				s.Free(o)
				s.FreeRCU(p)
				hand <- s
				c.Free(alloc(c, uint64(i)))
			})
		}
		together(turn, turn)
		(<-hand).Close()
	}},
	{name: "caches that are closed at the same time", run: func() {
		pages := newPages(0)
		<-testkit.AsyncN(8, func(int) {
			repeat(awhile, func(i int) {
				c := small(pages)
				c.FreeRCU(alloc(c, uint64(i)))
				if err := c.Close(); err != nil {
					panic(err)
				}
			})
		})
	}},
	{name: "Synchronize, then Free", run: func() {
		c := newCache()
		replace(c, func(o *object) { rcu.Synchronize(); c.Free(o) })
	}},
	{name: "Poll, then write and Free", run: func() {
		c := newCache()
		replace(c, func(o *object) {
			cookie := rcu.StartPoll()
			for !rcu.Poll(cookie) {
				runtime.Gosched()
			}
			if o != nil {
				o.set(0)
			}
			c.Free(o)
		})
	}},
	{name: "CondSynchronize after another's cookie", run: func() {
		c := newCache()
		type cooked struct {
			o *object
			c rcu.Cookie
		}
		hand := make(chan cooked, 16)
		done := make(chan bool)
		go func() {
			for k := range hand {
				rcu.CondSynchronize(k.c)
				if k.o != nil {
					k.o.set(0)
				}
				c.Free(k.o)
			}
			close(done)
		}()
		var link slab.Pointer[object]
		during(readers(&link), func() {
			repeat(awhile, func(i int) {
				o := link.Swap(alloc(c, uint64(i)))
				hand <- cooked{o, rcu.GetState()}
			})
		})
		close(hand)
		<-done
	}},
	{name: "Call, then Free; Barrier", run: func() {
		c := newCache()
		replace(c, func(o *object) {
			ran := false
			rcu.Call(func() {
				if o != nil {
					o.set(0)
				}
				c.Free(o)
				ran = true
			})
			if rcu.Barrier(); !ran {
				panic("the callback was not waited for")
			}
		})
	}},
	{name: "Call while the worker runs", run: func() {
		var running, called, ran testkit.Flag
		together(func() {
			rcu.Call(func() { running.Raise(); called.Await(1) })
		}, func() {
			running.Await(1)
			x := 1
			rcu.Call(func() { x++; ran.Raise() })
			called.Raise()
			ran.Await(1)
			rcu.Barrier()
			if x != 2 {
				panic("the callback was not waited for")
			}
		})
	}},
	{name: "Barrier after others' callbacks that have returned", run: func() {
		x := 0
		var ran testkit.Flag
		together(func() {
			rcu.Call(func() { x++; ran.Raise() })
		}, func() {
			ran.Await(1)
			workerEnds()
			rcu.Barrier()
			x++
		})
	}},
	{name: "Batch: Add, its function, Barrier", run: func() {
		type obj struct{ v int }
		sum := 0
		b := rcu.NewBatch("race", func(os []*obj) {
			for i, o := range os {
				sum += o.v
				o.v = 0
				os[i] = nil
			}
		})
		for round := range 20 {
			var adders []func()
			for id := range 3 {
				adders = append(adders, func() {
					for i := range 100 {
						b.Add(&obj{id + i})
					}
				})
			}
			together(adders...)
			if round%2 == 0 {
				workerEnds()
			}
			b.Barrier()
			sum++
		}
		if err := b.Close(); err != nil {
			panic(err)
		}
		sum++
	}},
	{name: "Barrier after a Batch's function has returned", run: func() {
		x := 0
		var ran testkit.Flag
		b := rcu.NewBatch("race", func([]*int) { x++; ran.Raise() })
		together(func() {
			b.Add(new(int))
		}, func() {
			ran.Await(1)
			workerEnds()
			b.Barrier()
			x++
		})
	}},
	{name: "Go objects", run: func() {
		type obj struct{ v int }
		var link atomic.Pointer[obj]
		link.Store(&obj{})
		var loops []func()
		for _, section := range sections {
			sum := 0
			loops = append(loops, func() { section(func() { sum += link.Load().v }) })
		}
		during(loops, func() {
			repeat(awhile, func(i int) {
				old := link.Swap(&obj{i})
				switch i % 3 {
				case 0:
					rcu.Synchronize()
					old.v = -1
				case 1:
					rcu.SynchronizeExpedited()
					old.v = -1
				case 2:
					rcu.Call(func() { old.v = -1 })
				}
			})
		})
		rcu.Barrier()
	}},
	{name: "what a section wrote is read after the grace period", run: func() {
		for i := range 200 {
			x, in := 0, make(chan bool)
			go func() {
				g := rcu.ReadLock()
				in <- true
				x = i
				g.Unlock()
			}()
			<-in
			rcu.Synchronize()
			if x != i {
				panic("the section was not waited for")
			}
		}
	}},
	{name: "FreeRCU in raw atomic contexts, with no memory for arrays", run: func() {
		pages := newPages(1 << 20)
		c := newCache(slab.WithAllocator(pages))
		var os []*object
		for o := c.Alloc(gfp.NoWait | gfp.NoWarn); o != nil; o = c.Alloc(gfp.NoWait | gfp.NoWarn) {
			o.set(1)
			os = append(os, o)
		}
		half := len(os) / 2
		together(func() {
			for _, o := range os[:half] {
				p := preempt.Disable()
				c.FreeRCU(o)
				p.Enable()
			}
		}, func() {
			for _, o := range os[half:] {
				p := preempt.Disable()
				c.Free(o)
				p.Enable()
			}
		})
		c.Barrier()
		if c.Stats().FallbackFreed == 0 {
			panic("nothing went on the chain")
		}
		together(func() { alloc(c, 2) }, func() { alloc(c, 3) })
	}},
	{name: "what Krealloc moved away from, allocated by another", run: func() {
		h := slab.NewHeap(newPages(0))
		p := h.Kmalloc(64, gfp.Kernel)
		neighbour := h.Kmalloc(64, gfp.Kernel) // their slab stays
		if h.Prepare(128) != nil {
			panic("no memory")
		}
		var moved, done testkit.Flag
		together(func() {
			(*object)(p).v[3] = 1
			q := h.Krealloc(p, 128, gfp.Kernel)
			moved.Raise()
			done.Await(1) // the detector forgets sooner what a goroutine did when it has ended
			h.Kfree(q)
		}, func() {
			moved.Await(1)
			for i := 1; ; i++ {
				q := h.Kmalloc(64, gfp.Kernel)
				if q == nil {
					panic("no memory")
				}
				if q == p {
					break
				}
				if i%100 == 0 {
					h.Shrink() // it may be in another P's sheaf
				}
			}
			(*object)(p).v[3] = 2
			done.Raise()
		})
		runtime.KeepAlive(neighbour)
	}},
	{name: "several caches at the limit of one allocator", run: func() {
		pages := newPages(2 << 20)
		h := slab.NewHeap(pages)
		var fns []func()
		for w := range 4 {
			fns = append(fns, func() {
				var mine []unsafe.Pointer
				repeat(2*awhile, func(i int) {
					size := 16 << (i / 64 % 8)
					if p := h.Kmalloc(size, gfp.NoWait|gfp.NoWarn); p != nil {
						b := unsafe.Slice((*byte)(p), size)
						for k := 0; k < size; k += 8 {
							b[k] = byte(w)
						}
						mine = append(mine, p)
					}
					if len(mine) > 200 || i%100 == 99 {
						for k, p := range mine {
							if k%2 == 0 {
								h.Kfree(p)
							} else {
								h.KfreeRCU(p)
							}
						}
						mine = mine[:0]
					}
					if i%1000 == 999 {
						h.Shrink()
						pages.Shrink()
					}
				})
				h.KfreeBulk(mine)
			})
		}
		together(fns...)
		if err := h.Close(); err != nil {
			panic(err)
		}
		if err := pages.Close(); err != nil {
			panic(err)
		}
	}},
	{name: "bulk, and zeroed objects", run: func() {
		c := newCache()
		body := func() {
			var os [50]*object
			repeat(awhile, func(i int) {
				f := gfp.Kernel
				if i%2 == 0 {
					f |= gfp.Zero
				}
				n := c.AllocBulk(f, os[:])
				if o := c.Alloc(f); o.sum() != 0 && f&gfp.Zero != 0 {
					panic("not zero")
				} else {
					o.set(1)
					c.Free(o)
				}
				for _, o := range os[:n] {
					o.set(uint64(i))
				}
				c.FreeBulk(os[:n])
				runtime.Gosched()
			})
		}
		together(body, body, body)
	}},
	{name: "pages", run: func() {
		pages := newPages(16 << 20)
		body := func() {
			repeat(awhile, func(i int) {
				order := i % 10
				if p := pages.Alloc(order, gfp.NoWait|gfp.NoWarn); p != nil {
					b := unsafe.Slice((*byte)(p), page.Size<<order)
					for k := 0; k < len(b); k += 512 {
						b[k]++
					}
					pages.Free(p, order)
				}
				if i%100 == 0 {
					pages.Shrink()
				}
			})
		}
		together(body, body, body)
	}},
	{name: "a map's readers and writers", run: func() {
		m, err := rcuhash.New[string, [4]uint64](64)
		if err != nil {
			panic(err)
		}
		keys := []string{"a", "bb", "ccc", "dddd"}
		write := func() {
			repeat(awhile, func(i int) {
				k := keys[i%4]
				m.Put(k, [4]uint64{uint64(i)})
				if i%7 == 0 {
					m.Delete(k)
				}
			})
		}
		read := func() {
			sum := uint64(0)
			repeat(awhile, func(i int) {
				g := rcu.ReadLock()
				if v := m.Get(g, keys[i%4]); v != nil {
					sum += v[0] + v[3]
				}
				for _, v := range m.All(g) { // in this section
					sum += v[1]
				}
				g.Unlock()
				m.Range(func(_ string, v *[4]uint64) bool { sum += v[2]; return true }) // in sections of its own
			})
		}
		together(write, write, read, read)
		if err := m.Close(); err != nil {
			panic(err)
		}
	}},
}

// goObject runs a reader that keeps the rules, and an updater that writes to the
// object after wait.
func goObject(wait func()) {
	var link atomic.Pointer[[4]int]
	link.Store(new([4]int))
	var in testkit.Flag
	together(func() {
		g := rcu.ReadLock()
		_ = link.Load()[2]
		in.Raise()
		g.Unlock()
	}, func() {
		in.Await(1)
		old := link.Swap(nil)
		wait()
		old[2] = 1
	})
}
