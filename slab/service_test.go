//go:build !poison && !asan

// Poison builds keep an account of every object, which these tests bypass.

package slab

import (
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

// The service: one for all caches.

// threads is the number of the process's threads, 0 where that is not known.
func threads() int {
	ts, _ := os.ReadDir("/proc/self/task")
	return len(ts)
}

// use is what the service takes while n caches are each given an object to free
// every millisecond or two.
type use struct {
	goroutines, most, threads int // most: in one sample; goroutines: in nine of ten
	membarriers               uint64
	turns                     int64
}

func useOf(t *testing.T, n int) (u use) {
	t.Helper()
	a := newPages(t, 0)
	var cs []*Cache[cell]
	for i := range n {
		c, err := NewCache[cell](fmt.Sprintf("many-%d", i), WithAllocator(a))
		if err != nil {
			t.Fatal(err)
		}
		cs = append(cs, c)
	}
	var seen []int
	feed := func(d time.Duration) {
		for range testkit.During(d) {
			for _, c := range cs {
				c.FreeRCU(c.Alloc(gfp.Kernel))
			}
			seen = append(seen, serviceGoroutines())
			time.Sleep(time.Millisecond)
		}
	}
	feed(200 * time.Millisecond) // the intervals grow
	seen = nil
	membarriers, turns := sys.Membarriers(), service.turns.Load()
	feed(time.Second)
	slices.Sort(seen)
	u.goroutines, u.most = seen[len(seen)*9/10], seen[len(seen)-1]
	u.membarriers, u.turns, u.threads = sys.Membarriers()-membarriers, service.turns.Load()-turns, threads()
	for _, c := range cs {
		mustClose(t, c)
	}
	mustClose(t, a)
	return u
}

// Neither goroutines nor membarriers nor wake-ups grow with the number of
// caches. The bounds are those of a drain every drainMost, with some air.
func TestManyCachesCostWhatTwoDo(t *testing.T) {
	notSampled(t)
	eventually(t, "workers of other tests end", func() bool { return workers() == 0 })
	few, many := useOf(t, 2), useOf(t, 64)
	t.Logf("2 caches: %+v; 64: %+v", few, many)
	for _, u := range []use{few, many} {
		// The service and one that makes sheaves; for a moment a second one, and
		// a predecessor of each.
		if u.goroutines > 2 || u.most > 6 {
			t.Errorf("%d goroutines, %d for a moment, want 2 and 6 at most", u.goroutines, u.most)
		}
		if u.turns > 60 {
			t.Errorf("%d turns a second, want 60 at most", u.turns)
		}
		if u.membarriers > 400 {
			t.Errorf("%d membarriers a second, want 400 at most", u.membarriers)
		}
	}
	if many.threads > few.threads+4 {
		t.Errorf("%d threads with 2 caches, %d with 64", few.threads, many.threads)
	}
}

// inTheService frees an object and calls fn while the service reclaims it.
func inTheService(t *testing.T, fn func()) {
	t.Helper()
	var entered, leave atomic.Bool
	var year atomic.Int64
	c := newTest[cell](t, newPages(t, 0), withHook(func([]uint32) {
		year.Store(int64(time.Now().Year()))
		entered.Store(true)
		for !leave.Load() {
			sys.Sleep(100_000)
		}
	}))
	c.FreeRCU(c.Alloc(gfp.Kernel))
	c.c.drainRCU()
	for !entered.Load() {
		sys.Sleep(100_000)
	}
	fn()
	if year.Load() == 2000 {
		t.Error("the service has the clock of a caller's bubble")
	}
	leave.Store(true)
	closeAll(t, c)
}

func TestTheServiceHasNoLabels(t *testing.T) {
	testkit.Labelled(func() {
		inTheService(t, func() {
			found := testkit.Goroutines("slab.serve")
			for _, g := range found {
				if testkit.HasLabel(g) {
					t.Errorf("the service has the labels of a caller:\n%s", g)
				}
			}
			if len(found) == 0 {
				t.Error("the service is in no profile")
			}
		})
	})
}

// The bubble ends although the service, which was started in it, is at work
// outside.
func TestTheServiceIsInNoBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { inTheService(t, func() {}) })

	var entered, leave atomic.Bool
	c := newTest[cell](t, newPages(t, 0), withHook(func([]uint32) {
		entered.Store(true)
		for !leave.Load() {
			sys.Sleep(100_000)
		}
	}))
	synctest.Test(t, func(*testing.T) {
		c.FreeRCU(c.Alloc(gfp.Kernel))
		c.c.drainRCU()
		for !entered.Load() {
			sys.Sleep(100_000)
		}
	})
	if leave.Load() {
		t.Error("the bubble waited for the service")
	}
	leave.Store(true)
	closeAll(t, c)
}

// An alarm that is set inside a bubble goes off by the real clock.
func TestASheafOfABubbleIsDrainedInTime(t *testing.T) {
	eventually(t, "workers of other tests end", func() bool { return workers() == 0 })
	var back atomic.Int64
	c := newTest[cell](t, newPages(t, 0), withHook(func(offs []uint32) { back.Add(int64(len(offs))) }))
	synctest.Test(t, func(*testing.T) { c.FreeRCU(c.Alloc(gfp.Kernel)) })
	eventually(t, "reclaim of the object", func() bool { return back.Load() == 1 })
	closeAll(t, c)
}

// The last step of the service's goroutine is to look whether a turn is wanted.
// The test plays the service first, which has looked and is about to end.
func TestATurnThatIsWantedWhenTheServiceEndsIsMade(t *testing.T) {
	testkit.AtLeastProcs(t, 2)
	eventually(t, "the service ends", func() bool { return claim(&service.running) })
	startService()
	if !resume() {
		t.Fatal("the service ends although a turn is wanted")
	}
	serve()

	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	for try := range 300 {
		p := unsafe.Pointer(c.Alloc(gfp.Kernel))
		off := uint32(c.c.unitOf(p))
		turns := service.turns.Load()
		startService()
		for service.turns.Load() == turns { // it ends in a moment
		}
		sys.Pause(uint32(try % 60))
		c.c.afterChaining(off, c.c.chainObject(off))
		eventually(t, fmt.Sprintf("reclaim, try %d", try), func() bool { return r.is(&c.c, p) })
		r.at[off].Store(false)
	}
	closeAll(t, c)
}

// More slabs than one turn takes.
func TestALongChainIsFreedByTheService(t *testing.T) {
	c := newTest[[16384]byte](t, newPages(t, 0)) // two to a slab
	ps := make([]*[16384]byte, 2*(2*chainSlabs+10))
	chainAll(t, c, ps)
	eventually(t, "the whole chain is freed", func() bool { return c.Stats().FallbackFreed == uint64(len(ps)) })
	closeAll(t, c)
}

// The service has collected a sheaf, and a part of the chain, and waits for a
// reader, when more comes and Barrier is called.
func TestBarrierWaitsForWhatCameAfterTheServiceCollected(t *testing.T) {
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	early, late := unsafe.Pointer(c.Alloc(gfp.Kernel)), unsafe.Pointer(c.Alloc(gfp.Kernel))
	for range 2 { // for the two, which might take the chain
		c.c.first.empty.push(&c.c, filledSheaf(t, &c.c))
	}
	g := farReader()
	c.c.freeRCU(early)
	c.c.drainRCU()
	eventually(t, "the service collects", func() bool {
		c.c.reclaimMu.Lock()
		defer c.c.reclaimMu.Unlock()
		return c.c.collected.youngest != 0
	})
	c.c.freeRCU(late)
	done := testkit.Async(c.Barrier)
	letReclaim()
	if testkit.IsClosed(done) || r.is(&c.c, early) {
		t.Error("reclaimed while a reader was inside")
	}
	g.Unlock()
	<-done
	if !r.is(&c.c, early) || !r.is(&c.c, late) {
		t.Error("not reclaimed by Barrier")
	}
	closeAll(t, c)
}

// Another caller has announced that it asks for the cache to be drained, and did
// not get any further.
func TestADrainDoesNotRelyOnASlowCaller(t *testing.T) {
	notSampled(t)
	c := newTest[cell](t, newPages(t, 0))
	p := unsafe.Pointer(c.Alloc(gfp.Kernel))
	c.c.first.empty.push(&c.c, filledSheaf(t, &c.c)) // for p, which might take the chain
	c.c.asked.Store(true)
	c.c.draining.Store(true) // the service leaves it alone, however late drainRCU is
	c.c.freeRCU(p)
	if n := c.c.drainRCU(); n != 1 {
		t.Errorf("%d sheaves taken, want 1", n)
	}
	takers.asks.push(&c.c) // the slow caller
	c.Barrier()
	closeAll(t, c)
}

// A drain of many caches issues the membarriers of one.
func TestCachesShareTheMembarriersOfADrain(t *testing.T) {
	notSampled(t)
	var caches []*cache
	var cs []*Cache[cell]
	a := newPages(t, 0)
	for i := range 20 {
		c, _ := NewCache[cell](fmt.Sprintf("shared-%d", i), WithAllocator(a))
		cs, caches = append(cs, c), append(caches, &c.c)
		c.c.draining.Store(true)   // the service leaves it alone
		c.c.reclaiming.Store(true) // likewise
		p := unsafe.Pointer(c.Alloc(gfp.Kernel))
		c.c.first.empty.push(&c.c, filledSheaf(t, &c.c)) // for p, which might take the chain
		c.c.freeRCU(p)
	}
	eventually(t, "workers of other tests end", func() bool { return workers() == 0 })
	before := sys.Membarriers()
	drain(caches)
	if n := sys.Membarriers() - before; n > 4 {
		t.Errorf("%d membarriers for 20 caches, want 2, or 4 where an exit is no release", n)
	}
	for _, c := range caches {
		if n, objects := c.lastDrain(); n != 1 || objects != 1 {
			t.Errorf("%d sheaves with %d objects taken, want 1 and 1", n, objects)
		}
	}
	before = rcu.ReadStats().GracePeriods
	barrier(caches)
	if n := rcu.ReadStats().GracePeriods - before; n > 2 {
		t.Errorf("%d grace periods for a barrier of 20 caches, want 1 or 2", n)
	}
	for _, c := range cs {
		mustClose(t, c)
	}
	mustClose(t, a)
}

func TestNothingIsLeftOfAClosedCache(t *testing.T) {
	a := newPages(t, 0)
	for range 50 {
		c := newTest[cell](t, a)
		c.FreeRCU(c.Alloc(gfp.Kernel))
		mustClose(t, c)
		if n := c.c.workers.Load(); n != 0 {
			t.Errorf("%d references to a closed cache", n)
		}
	}
	mustClose(t, a)
	eventually(t, "workers end", func() bool { return workers() == 0 })
	if what := closedLeft(); what != "" {
		t.Errorf("a closed cache is in %s", what)
	}
}

// closedLeft returns where a closed cache is left in what belongs to the service,
// whose goroutine has ended, or "".
//
//go:norace
func closedLeft() string {
	for _, l := range []struct {
		what string
		cs   []*cache
	}{{"armed", service.armed}, {"due", service.due}, {"work", service.work}, {"batch", takers.batch}} {
		for _, c := range l.cs[:cap(l.cs)] {
			if c != nil && c.closed.Load() {
				return l.what
			}
		}
	}
	return ""
}
