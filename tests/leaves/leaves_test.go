package leaves

import (
	"flag"
	"io"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"runtime/trace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/rcu"
	"quiesce/slab"
)

var length = flag.Duration("for", 3*time.Second, "how long each test of preemption runs")

// disturb does, until the end, all that stops or moves goroutines.
func disturb(end time.Time) (wait func()) {
	ps := runtime.GOMAXPROCS(0)
	var all sync.WaitGroup
	loop := func(fn func()) {
		all.Go(func() {
			for time.Now().Before(end) {
				fn()
			}
		})
	}
	loop(runtime.GC)
	loop(func() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
	})
	at := 0
	loop(func() {
		at = at%6 + 1
		runtime.GOMAXPROCS(at)
		time.Sleep(3 * time.Millisecond)
	})
	loop(func() {
		if trace.Start(io.Discard) == nil { // not within go test -trace
			time.Sleep(20 * time.Millisecond)
			trace.Stop()
		}
		time.Sleep(20 * time.Millisecond)
	})
	loop(func() {
		if pprof.StartCPUProfile(io.Discard) == nil {
			time.Sleep(50 * time.Millisecond)
			pprof.StopCPUProfile()
		}
		time.Sleep(20 * time.Millisecond)
	})
	loop(func() { debug.FreeOSMemory(); time.Sleep(10 * time.Millisecond) })
	return func() {
		all.Wait()
		runtime.GOMAXPROCS(ps)
	}
}

// object says who owns it, twice.
type object struct {
	owner, again uint64
	_            [6]uint64
}

func (o *object) is(owner uint64) bool { return o.owner == owner && o.again == owner }

func (o *object) own(owner uint64) { o.owner, o.again = owner, owner }

// worker allocates and frees; an object that changes while it owns it has two
// owners. It publishes objects too, which readers find unchanged.
type worker struct {
	cache *slab.Cache[object]
	shown *atomic.Pointer[object]
	id    uint64
	wrong *atomic.Int64
	mine  [40]*object
}

func (w *worker) step(n int) {
	stamp := w.id<<32 | uint64(n&0xffff)
	for i := range w.mine {
		if w.mine[i] = w.cache.Alloc(gfp.NoWait); w.mine[i] != nil {
			w.mine[i].own(stamp)
		}
	}
	g := rcu.ReadLock()
	if p := w.shown.Load(); p != nil {
		x := p.owner
		h := rcu.ReadLock()
		for range 20 {
			if !p.is(x) {
				w.wrong.Add(1)
			}
		}
		h.Unlock()
	}
	g.Unlock()
	for i, p := range w.mine {
		switch {
		case p == nil:
			continue
		case !p.is(stamp):
			w.wrong.Add(1)
		}
		switch i % 4 {
		case 0:
			p = w.shown.Swap(p)
			if p != nil {
				w.cache.FreeRCU(p)
			}
		case 1:
			w.cache.FreeRCU(p)
		default:
			w.cache.Free(p)
		}
	}
}

func TestLeavesKeepTheirP(t *testing.T) {
	if sys.Leaves && !sys.LeavesWork() {
		t.Fatal("the leaves do not find their P")
	}
	cache, err := slab.NewCache[object]("leaves")
	if err != nil {
		t.Fatal(err)
	}
	var (
		shown atomic.Pointer[object]
		wrong atomic.Int64
		steps atomic.Int64
		all   sync.WaitGroup
	)
	end := time.Now().Add(*length)
	settle := disturb(end)
	for id := range 8 {
		w := &worker{cache: cache, shown: &shown, id: uint64(id + 1), wrong: &wrong}
		all.Go(func() {
			if id == 0 {
				runtime.LockOSThread()
			}
			for n := 0; time.Now().Before(end); n++ {
				if id == 1 {
					fromC(func() { w.step(n) })
				} else {
					w.step(n)
				}
				steps.Add(1)
			}
		})
	}
	all.Wait()
	settle()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d objects changed while they were owned or read", n)
	}
	if p := shown.Swap(nil); p != nil {
		cache.FreeRCU(p)
	}
	rcu.Synchronize() // ends, or panics, if sections were miscounted
	if err := cache.Close(); err != nil {
		t.Errorf("objects were lost or freed twice: %v", err)
	}
	t.Logf("%d rounds of 40 objects in %v, leaves %v", steps.Load(), *length, sys.Leaves)
}

// The control: what leaves do, done in Go without a pin, loses counts under the same
// disturbance.
func TestTheControlLosesCounts(t *testing.T) {
	if race.Enabled {
		t.Skip("it is a race")
	}
	var words [64]struct {
		n int64
		_ [15]int64
	}
	var done, step atomic.Int64 // step stays 0
	var all sync.WaitGroup
	// Ends early when a count was lost for certain.
	end := time.Now().Add(time.Minute)
	lost := int64(0)
	for lost == 0 && time.Now().Before(end) {
		round := time.Now().Add(time.Second)
		settle := disturb(round)
		for range 8 {
			all.Go(func() {
				for time.Now().Before(round) {
					id := sys.ProcPin()
					sys.ProcUnpin()
					n := words[id].n
					for range 2000 { // where it can be preempted
						n += step.Load()
					}
					words[id].n = n + 1
					done.Add(1)
				}
			})
		}
		all.Wait()
		settle()
		lost = done.Load()
		for i := range words {
			lost -= words[i].n
		}
	}
	if lost == 0 {
		t.Error("no count was lost in a minute: the disturbance shows nothing")
	}
	t.Logf("%d of %d counts lost", lost, done.Load())
}
