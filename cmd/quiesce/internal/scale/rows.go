package scale

import (
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/kit/perf"
	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
	"quiesce/slab"
)

// peersCommand measures the peers that are not written in Go.
const peersCommand = "go run ./bench/peers"

// checkRows is the table of targets, in the order of docs/measured/scale.md.
var checkRows = []row{
	{name: "pinned reader", command: "go test -run xxx -bench Reader ./rcu", peers: peersCommand,
		figures: []Figure{told("lock and unlock", "ns"), atMost("of a bare pin pair", "×", 2)},
		open:    openPinned},
	{name: "ReadLock", command: "go test -run xxx -bench Reader ./rcu", peers: peersCommand,
		figures: []Figure{told("lock and unlock", "ns"), atMost("of a bare pin pair", "×", 4.5),
			atLeast("faster than RWMutex", "×", 2.5), atLeast("faster than RWMutex, 2 Ps", "×", 9),
			atMost("of its cost alone, 2 Ps", "×", flatLimit)},
		open: openReadLock},
	{name: "Alloc and Free, hot", command: "go test -run xxx -bench 'AllocFree$' ./slab", peers: peersCommand,
		figures: []Figure{atMost("a pair", "ns", 4.5), atLeast("faster than new", "×", 5.5)},
		open:    openHot},
	{name: "10,000 shuffled", command: "go test -run xxx -bench Shuffled ./slab", peers: peersCommand,
		figures: []Figure{atMost("a pair", "ns", 6)},
		open:    allocRow("shuffled", false)},
	{name: "freed on another P", command: "go test -run xxx -bench RemoteFree ./slab", peers: peersCommand,
		figures: []Figure{atMost("an object", "ns", 15)},
		open:    allocRow("remote", false)},
	{name: "churn", command: "go test -run xxx -bench Churn ./slab", peers: peersCommand,
		figures: []Figure{atMost("an object, CPU time", "ns", 8), told("the same, wall clock", "ns")},
		open:    allocRow("churn", true)},
	{name: "cold flood", command: "go test -run xxx -bench ColdFlood ./slab", peers: peersCommand, repeats: minRepeats,
		figures: []Figure{told("enqueue", "ns"), told("hand-over", "ns"), told("kfree_bulk", "ns"), told("next owner's first write", "ns"),
			atMost("reclaimed by hand-over", "ns", 8), atMost("reclaimed by kfree_bulk", "ns", 15),
			told("the list's enqueue, reclaim", "ns"), atLeast("less than the list", "×", 15)},
		open: openFlood},
	{name: "cache misses", command: "quiesce scale misses", repeats: 1,
		figures: []Figure{told("list, LL an object", "misses"), atMost("kfree_bulk, of the list's", "×", missLimit),
			atMost("hand-over, of the list's", "×", missLimit)},
		open: openMisses},
	{name: "Synchronize", command: "go test -run xxx -bench GracePeriod ./rcu", peers: peersCommand,
		figures: []Figure{atMost("without readers", "µs", 3), atMost("of a membarrier", "×", 4),
			told("with one busy reader", "µs"), atMost("of a membarrier then", "×", 4)},
		open: openSynchronize},
	{name: "Call", command: "go test -run xxx -bench GracePeriod/Call ./rcu", peers: peersCommand,
		figures: []Figure{atMost("to its callback", "ms", 0.5)},
		open:    openCall},
	{name: "memory under a flood", command: "quiesce scale check -run memory", peers: peersCommand, repeats: minRepeats,
		figures: []Figure{atMost("peak, of the limit", "×", 1), told("an object", "ns")},
		open:    openLimit},
	{name: "idle", command: "quiesce scale check -run idle",
		figures: []Figure{atMost("goroutines", "", 0), atMost("wake-ups, beyond none's", "/s", idleLimit)},
		open:    openIdle},
	{name: "garbage collector", command: "quiesce scale check -run garbage", repeats: minRepeats,
		figures: []Figure{told("a cycle, empty", "µs"), atMost("of that, with live objects", "×", gcLimit),
			told("pause, with live objects", "µs")},
		open: openGC},
}

// The targets are "flat as Ps are added", "no wake-ups" and "as with an empty
// heap": these are what clocks can tell. Untuned.
const (
	flatLimit = 1.25
	idleLimit = 2
	gcLimit   = 1.25
)

const pairs = 5_000_000 // of a measurement of a nanosecond or some: milliseconds

// perOp returns the time of a call of fn, in ns for each of n.
func perOp(n int, fn func(n int)) float64 {
	t := sys.Nanotime()
	fn(n)
	return float64(sys.Nanotime()-t) / float64(n)
}

// ownShare is the share of its time that a loop must have had a processor
// for, to count. (What the processor shares with others can't be seen.)
const ownShare = 0.9

// undisturbed is perOp of a loop that never waits, or NaN if it was kept waiting.
func undisturbed(n int, fn func(n int)) float64 {
	before, _ := perf.Usage()
	ns := perOp(n, fn)
	after, _ := perf.Usage()
	if float64(after-before) < ownShare*ns*float64(n) {
		return math.NaN()
	}
	return ns
}

// onTwoPs is the same for fn on two goroutines at once, each of which does n.
func onTwoPs(n int, fn func(n int)) float64 {
	var took [2]float64
	before, _ := perf.Usage()
	all := crew(len(took), func(i int) { took[i] = perOp(n, fn) })
	after, _ := perf.Usage()
	if float64(after-before) < ownShare*2*float64(all) {
		return math.NaN()
	}
	return kit.Mean(took[:])
}

func noEnd() error { return nil }

func barePins(n int) {
	for range n {
		sys.ProcPin()
		sys.ProcUnpin()
	}
}

func pinnedReads(n int) {
	for range n {
		p := preempt.Disable()
		p.Enable()
	}
}

func readLocks(n int) {
	for range n {
		g := rcu.ReadLock()
		g.Unlock()
	}
}

func rwMutexReads() func(n int) {
	mu := new(sync.RWMutex)
	return func(n int) {
		for range n {
			mu.RLock()
			mu.RUnlock() //lint:ignore SA2001 the empty section is what is measured
		}
	}
}

func openPinned(*checker) (func() ([]float64, error), func() error, error) {
	return func() ([]float64, error) {
		bare, pinned := undisturbed(pairs, barePins), undisturbed(pairs, pinnedReads)
		return []float64{pinned, pinned / bare}, nil
	}, noEnd, nil
}

func openReadLock(*checker) (func() ([]float64, error), func() error, error) {
	return func() ([]float64, error) {
		mutex := rwMutexReads()
		bare, read, rw := undisturbed(pairs, barePins), undisturbed(pairs, readLocks), undisturbed(pairs/4, mutex)
		read2, rw2 := onTwoPs(pairs, readLocks), onTwoPs(pairs/4, mutex)
		return []float64{read, read / bare, rw / read, rw2 / read2, read2 / read}, nil
	}, noEnd, nil
}

type object = [8]uint64 // 64 bytes

func openObjects() (*rig[object], func() error, error) {
	pages, err := page.New(page.Config{Name: "scale"})
	if err != nil {
		return nil, nil, err
	}
	g, err := newRig[object](pages)
	if err != nil {
		return nil, nil, err
	}
	return g, kit.InOrder(g.close, pages.Close), nil
}

func openHot(*checker) (func() ([]float64, error), func() error, error) {
	g, end, err := openObjects()
	if err != nil {
		return nil, nil, err
	}
	return func() ([]float64, error) {
		fresh := undisturbed(pairs/10, g.fresh)
		hot := undisturbed(pairs, g.hot)
		return []float64{hot, fresh / hot}, nil
	}, end, nil
}

// allocRow measures a case of the allocator's, by processor time or by the clock.
func allocRow(name string, cpu bool) func(*checker) (func() ([]float64, error), func() error, error) {
	return func(*checker) (func() ([]float64, error), func() error, error) {
		g, end, err := openObjects()
		if err != nil {
			return nil, nil, err
		}
		const n = 1_000_000
		return func() ([]float64, error) {
			before, _ := perf.Usage()
			wall := perOp(n, func(n int) { g.run(name, n) })
			after, _ := perf.Usage()
			if cpu {
				return []float64{float64(after-before) / n, wall}, nil
			}
			if name == "shuffled" && float64(after-before) < ownShare*wall*n {
				wall = math.NaN()
			}
			return []float64{wall}, nil
		}, end, nil
	}
}

func openMisses(c *checker) (func() ([]float64, error), func() error, error) {
	cfg := MissesConfig{Objects: 20_000, Short: true, Child: c.cfg.Child}
	r, err := CountMisses(c.ctx, cfg, c.tell)
	if err != nil {
		return nil, nil, err
	}
	if r.Skipped != "" {
		return nil, nil, errSkip{r.Skipped}
	}
	return func() ([]float64, error) {
		if r.Partial {
			return nil, c.ctx.Err()
		}
		return []float64{r.Rows[0].Reclaim.LL, r.Rows[1].OfList, r.Rows[2].OfList}, nil
	}, noEnd, nil
}

func openSynchronize(*checker) (func() ([]float64, error), func() error, error) {
	const n = 2000
	barrier := func(n int) {
		for range n {
			sys.Membarrier()
		}
	}
	synchronize := func(n int) {
		for range n {
			rcu.Synchronize()
		}
	}
	return func() ([]float64, error) {
		free, bare := perOp(n, synchronize), perOp(n, barrier)
		var stop atomic.Bool
		var reader sync.WaitGroup
		reader.Go(func() {
			for !stop.Load() {
				g := rcu.ReadLock()
				sys.Pause(15) // about 1 µs
				g.Unlock()
			}
		})
		busy, then := perOp(n, synchronize), perOp(n, barrier)
		stop.Store(true)
		reader.Wait()
		return []float64{free / 1e3, free / bare, busy / 1e3, busy / then}, nil
	}, noEnd, nil
}

func openCall(*checker) (func() ([]float64, error), func() error, error) {
	return func() ([]float64, error) {
		done := make(chan struct{})
		ns := perOp(100, func(n int) {
			for range n {
				rcu.Call(func() { done <- struct{}{} })
				<-done
			}
		})
		return []float64{ns / 1e6}, nil
	}, noEnd, nil
}

// openLimit floods an allocator with far more than its limit.
func openLimit(*checker) (func() ([]float64, error), func() error, error) {
	const limit = 16 << 20
	return func() ([]float64, error) {
		pages, err := page.New(page.Config{Name: "scale", Limit: limit})
		if err != nil {
			return nil, err
		}
		c, err := slab.NewCache[object]("scale", slab.WithAllocator(pages))
		if err != nil {
			return nil, err
		}
		lost := false
		ns := perOp(10*limit/64, func(n int) {
			for range n {
				o := c.Alloc(gfp.Kernel)
				lost = lost || o == nil
				c.FreeRCU(o)
			}
			c.Barrier()
		})
		if lost {
			return nil, errMemory
		}
		peak := float64(pages.Stats().Peak)
		if err := c.Close(); err != nil {
			return nil, err
		}
		return []float64{peak / limit, ns}, pages.Close()
	}, noEnd, nil
}

// openIdle compares a while after work with a while before it.
func openIdle(c *checker) (func() ([]float64, error), func() error, error) {
	while := c.cfg.idle
	if while == 0 {
		while = 400 * time.Millisecond
	}
	g, end, err := openObjects()
	if err != nil {
		return nil, nil, err
	}
	return func() ([]float64, error) {
		sleeps := func() float64 {
			_, before := perf.Usage()
			sys.Sleep(int64(while))
			_, after := perf.Usage()
			return float64(after-before) / while.Seconds()
		}
		pause(c.ctx, while)
		none := sleeps()
		before := runtime.NumGoroutine()
		g.churn(10_000)
		rcu.Call(func() {})
		rcu.Barrier()
		pause(c.ctx, while) // in which the workers end
		after := runtime.NumGoroutine()
		return []float64{float64(max(after-before, 0)), max(sleeps()-none, 0)}, nil
	}, end, nil
}

// openGC has a collection with no objects right before one with many.
func openGC(c *checker) (func() ([]float64, error), func() error, error) {
	pages, err := page.New(page.Config{Name: "scale"})
	if err != nil {
		return nil, nil, err
	}
	// A slice of pointers to them would be a Go heap of its own: a list instead.
	list, err := slab.NewCache[link]("scale", slab.WithAllocator(pages))
	if err != nil {
		return nil, nil, err
	}
	collect := func() (cycle, pause float64) {
		var cycles, pauses []float64
		for range 5 {
			cycles = append(cycles, perOp(1, func(int) { runtime.GC() }))
			var s debug.GCStats
			debug.ReadGCStats(&s)
			pauses = append(pauses, float64(s.Pause[0]))
		}
		return kit.Median(cycles), kit.Median(pauses)
	}
	return func() ([]float64, error) {
			empty, _ := collect()
			var first *link
			for range c.cfg.Live {
				o := list.Alloc(gfp.Kernel)
				if o == nil {
					return nil, errMemory
				}
				o.next.Store(first)
				first = o
			}
			full, pause := collect()
			for first != nil {
				next := first.next.LoadRaw()
				list.Free(first)
				first = next
			}
			return []float64{empty / 1e3, full / empty, pause / 1e3}, nil
		}, func() error {
			if err := list.Close(); err != nil {
				return err
			}
			return pages.Close()
		}, nil
}

// link is an object of 64 bytes.
type link struct {
	next slab.Pointer[link]
	_    [7]uint64
}
