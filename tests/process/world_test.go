//go:build linux

package process

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
	"quiesce/slab"
)

func TestMain(m *testing.M) { testkit.Main(m, scenarios, 0) }

var scenarios = map[string]func(){"world": func() { newWorld().serve() }}

// record is an object. Gen is its number, which no other object ever has, and
// Check is made from it. Both are written at an allocation and before a free by
// hand: a reader that sees them change had its object freed too early.
type record struct {
	Gen, Check uint64
	_          [6]uint64
}

const secret = 0x5ca1ab1e0ddba11

func (r *record) stamp(gen uint64) {
	atomic.StoreUint64(&r.Gen, gen)
	atomic.StoreUint64(&r.Check, gen^secret)
}

func (r *record) is(gen uint64) bool {
	return atomic.LoadUint64(&r.Gen) == gen && atomic.LoadUint64(&r.Check) == gen^secret
}

// world is the child at work.
type world struct {
	pages *page.Allocator
	cache *slab.Cache[record]
	links [128]slab.Pointer[record]

	stop     atomic.Bool
	wg       sync.WaitGroup
	gen      atomic.Uint64
	writes   atomic.Int64 // objects replaced
	sections atomic.Int64
	early    atomic.Int64 // objects freed too early
	nils     atomic.Int64 // allocations that returned nil
	across   [2]atomic.Int64
	held     chan struct{} // ends the section that "hold" began
}

const (
	limit = 8 << 20
	dead  = 1 << 63
)

func newWorld() *world {
	if d, err := time.ParseDuration(os.Getenv("STALL")); err == nil {
		rcu.StallTimeout = d
	}
	w := &world{}
	var err error
	if w.pages, err = page.New(page.Config{Limit: limit, ReclaimTimeout: 200 * time.Millisecond, Name: "world"}); err != nil {
		fatal(err)
	}
	if w.cache, err = slab.NewCache[record]("records", slab.WithAllocator(w.pages)); err != nil {
		fatal(err)
	}
	return w
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func (w *world) start() {
	for range 2 {
		w.wg.Go(func() {
			w.read(0, func(look func()) { g := rcu.ReadLock(); look(); g.Unlock() }, func() { time.Sleep(3 * time.Millisecond) })
		})
		w.wg.Go(func() { w.read(0, func(look func()) { g := rcu.ReadLock(); look(); g.Unlock() }, func() {}) })
	}
	spin := func() { sys.Pause(500) }
	w.wg.Go(func() { w.read(1, func(look func()) { p := preempt.Disable(); look(); p.Enable() }, spin) })
	w.wg.Go(func() { w.read(1, func(look func()) { s := preempt.DisableIRQ(); look(); s.Restore() }, spin) })
	w.wg.Go(func() { w.read(1, preempt.Hardirq, spin) })
	var l lock.Raw
	w.wg.Go(func() { w.read(1, func(look func()) { l.Lock(); look(); l.Unlock() }, spin) })

	w.wg.Go(func() { w.write(w.cache.FreeRCU) })
	w.wg.Go(func() { // raw atomic
		w.write(func(old *record) {
			p := preempt.Disable()
			w.cache.FreeRCU(old)
			p.Enable()
		})
	})
	byHand := func(old *record) {
		old.stamp(dead)
		w.cache.Free(old)
	}
	w.wg.Go(func() { w.write(func(old *record) { rcu.Call(func() { byHand(old) }) }) })
	w.wg.Go(func() { w.write(func(old *record) { rcu.Synchronize(); byHand(old) }) })
	w.wg.Go(func() {
		w.write(func(old *record) {
			for c := rcu.StartPoll(); !rcu.Poll(c); {
				runtime.Gosched()
			}
			byHand(old)
		})
	})
	w.wg.Go(func() {
		for !w.stop.Load() {
			w.cache.Barrier()
			rcu.Barrier()
			time.Sleep(time.Millisecond)
		}
	})
}

// read reads in sections of one flavour. A section that lasts for more than
// half a second included a stop.
func (w *world) read(pinned int, section func(func()), dawdle func()) {
	for i := pinned; !w.stop.Load(); i++ {
		section(func() {
			begin := sys.Nanotime()
			if p := w.links[i%len(w.links)].Load(); p != nil {
				gen := atomic.LoadUint64(&p.Gen)
				ok := gen != dead && p.is(gen)
				dawdle()
				if !ok || !p.is(gen) {
					w.early.Add(1)
				}
			}
			if sys.Nanotime()-begin > 5e8 {
				w.across[pinned].Add(1)
			}
		})
		w.sections.Add(1)
		if i&7 == 0 {
			runtime.Gosched()
		}
	}
}

func (w *world) write(free func(*record)) {
	for i := w.gen.Add(1); !w.stop.Load(); i += 7 {
		p := w.cache.Alloc(gfp.Kernel | gfp.NoWarn)
		if p == nil {
			w.nils.Add(1)
			continue
		}
		p.stamp(w.gen.Add(1))
		if old := w.links[i%uint64(len(w.links))].Swap(p); old != nil {
			free(old)
			w.writes.Add(1)
		}
	}
}

// serve takes commands, one to a line, and answers each by a line.
func (w *world) serve() {
	w.start()
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case "progress":
			fmt.Println("progress", w.writes.Load(), w.sections.Load())
		case "hold":
			w.hold()
		case "release":
			close(w.held)
		case "end":
			w.end()
			return
		default:
			fmt.Println("what?")
		}
	}
	os.Exit(3) // the parent is gone
}

// hold begins a section that ends with "release", and checks every object that it
// found at the end.
func (w *world) hold() {
	w.held = make(chan struct{})
	entered := make(chan struct{})
	go func() {
		g := rcu.ReadLock()
		found := map[*record]uint64{}
		for i := range w.links {
			if p := w.links[i].Load(); p != nil {
				found[p] = atomic.LoadUint64(&p.Gen)
			}
		}
		close(entered)
		<-w.held
		same := 0
		for p, gen := range found {
			if p.is(gen) {
				same++
			}
		}
		g.Unlock()
		fmt.Println("released with", len(found), "objects,", len(found)-same, "changed")
	}()
	<-entered
	fmt.Println("held")
}

// end stops all readers and writers, and accounts for everything.
func (w *world) end() {
	w.stop.Store(true)
	w.wg.Wait()
	for i := range w.links {
		if old := w.links[i].Swap(nil); old != nil {
			w.cache.FreeRCU(old)
		}
	}
	rcu.Barrier()
	w.cache.Barrier()
	s, r := w.cache.Stats(), rcu.ReadStats()
	// Barrier's own last callback is subtracted from Invoked before it is added,
	// and the addition may come a moment after Barrier returned.
	for i := 0; r.Callbacks != r.Invoked && i < 1000; i++ {
		time.Sleep(time.Millisecond)
		r = rcu.ReadStats()
	}
	peak := w.pages.Stats().Peak
	var bad []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Sprintf(format, args...))
		}
	}
	check(w.early.Load() == 0, "%d objects freed too early", w.early.Load())
	check(s.RCUArrays == s.Reused+s.Bulk, "%d in arrays, %d+%d came back", s.RCUArrays, s.Reused, s.Bulk)
	check(s.Fallback == s.FallbackFreed, "%d chained, %d came back", s.Fallback, s.FallbackFreed)
	check(r.Callbacks == r.Invoked, "%d callbacks, %d invoked", r.Callbacks, r.Invoked)
	check(peak <= limit, "peak %d over the limit %d", peak, limit)
	check(w.sections.Load() > 0 && w.writes.Load() > 0, "nothing happened")
	err := w.cache.Close()
	check(err == nil, "%v", err)
	err = w.pages.Close()
	check(err == nil, "%v", err)
	fmt.Printf("figures: %d sections, %d writes, %d nils, %d grace periods, %d stalls, sections across a stop: %d preemptible, %d pinned\n",
		w.sections.Load(), w.writes.Load(), w.nils.Load(), r.GracePeriods, r.Stalls, w.across[0].Load(), w.across[1].Load())
	if len(bad) > 0 {
		fmt.Printf("bad: %q\n", bad)
		os.Exit(1)
	}
	fmt.Println("accounted")
	os.Exit(0)
}
