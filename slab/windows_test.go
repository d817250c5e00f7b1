//go:build !poison && !asan

// Poison builds keep an account of every object, which these tests bypass.

package slab

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/preempt"
	"quiesce/rcu"
)

// Tests that step through a protocol, or hold a window open that is otherwise
// some nanoseconds wide.

func TestNothingIsReclaimedBeforeItsReadersLeft(t *testing.T) {
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	for range 5 {
		p := unsafe.Pointer(c.Alloc(gfp.Kernel))
		g := farReader()
		c.c.freeRCU(p)
		c.c.drainRCU()
		letReclaim()
		if r.is(&c.c, p) {
			t.Error("reclaimed while a reader from before was inside")
		}
		g.Unlock()
		c.Barrier()
		if !r.is(&c.c, p) {
			t.Error("not reclaimed by Barrier")
		}
		r.at[c.c.unitOf(p)].Store(false)
	}
	closeAll(t, c)
}

// The first object of the sheaf saw its grace period end long ago; the last
// one was unlinked while a reader held it.
func TestTheCookieBelongsToTheLastObjectOfASheaf(t *testing.T) {
	testkit.Procs(t, 1) // one RCU sheaf for both
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	first, last := unsafe.Pointer(c.Alloc(gfp.Kernel)), unsafe.Pointer(c.Alloc(gfp.Kernel))
	takers.mu.Lock() // no drain between the two
	c.c.freeRCU(first)
	rcu.Synchronize()
	rcu.Synchronize()
	g := farReader()
	c.c.freeRCU(last)
	takers.mu.Unlock()
	c.c.drainRCU()
	r.checkWaits(t, c, g, last, "the last object of a sheaf was reclaimed by the grace period of the first", first)
}

func TestAPassWaitsForTheYoungestOfItsSheaves(t *testing.T) {
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	old, young := unsafe.Pointer(c.Alloc(gfp.Kernel)), unsafe.Pointer(c.Alloc(gfp.Kernel))
	c.c.reclaimMu.Lock() // both wait for the same pass
	c.c.freeRCU(old)
	c.c.drainRCU()
	rcu.Synchronize()
	rcu.Synchronize()
	g := farReader()
	c.c.freeRCU(young)
	c.c.drainRCU()
	c.c.reclaimMu.Unlock()
	r.checkWaits(t, c, g, young, "the younger sheaf was reclaimed when the older one's grace period had ended", old)
}

// The worker has the chain in hand and waits for the cache's lock. What is put
// on it now goes with it, and has to be waited for.
func TestChainedWhileTheChainIsTakenWaitsForItsOwnGracePeriod(t *testing.T) {
	if !preempt.RT() {
		t.Skip("the lock's holder is pinned: no grace period would end")
	}
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	old, young := unsafe.Pointer(c.Alloc(gfp.Kernel)), unsafe.Pointer(c.Alloc(gfp.Kernel))
	oldOff, youngOff := uint32(c.c.unitOf(old)), uint32(c.c.unitOf(young))
	if c.c.head(oldOff) != c.c.head(youngOff) {
		t.Fatal("the objects are of two slabs")
	}
	c.c.mu.LockIRQ()
	c.c.afterChaining(oldOff, c.c.chainObject(oldOff))
	eventually(t, "the worker takes the chain", func() bool { return c.c.chain.Load() == 0 })
	letReclaim()
	testkit.Elsewhere(func() { // no holder of a spin lock may wait
		rcu.Synchronize()
		rcu.Synchronize()
	})
	g := farReader()
	c.c.afterChaining(youngOff, c.c.chainObject(youngOff))
	c.c.mu.UnlockIRQ()
	r.checkWaits(t, c, g, young, "reclaimed while a reader from before was inside", old)
}

// A pop has read head and link; others pop two sheaves and push the first one
// again. The second one is theirs: the pop must not make it the head.
func TestAPopWhoseSheafLeftAndCameBackFails(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0))
	for _, takes := range []string{"pop", "takeAll"} {
		var st stack
		second, first := filledSheaf(t, &c.c), filledSheaf(t, &c.c)
		st.push(&c.c, second)
		st.push(&c.c, first)
		head := st.head.Load()
		if takes == "pop" {
			st.pop(&c.c)
			st.pop(&c.c)
		} else {
			st.takeAll()
		}
		st.push(&c.c, first)
		if st.head.Load() == head {
			t.Errorf("by %s: the head is as it was, its link is not", takes)
		}
		c.c.dropSheaf(first)
		c.c.dropSheaf(second)
	}
	closeAll(t, c)
}

func TestATakerWaitsForTheOperationUnderWay(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0))
	s := slotOfAbsentP(&c.c, 100)
	busy(s, 1)
	var done atomic.Bool
	go func() {
		c.c.drainRCU()
		done.Store(true)
	}()
	letReclaim()
	if done.Load() {
		t.Error("the taker went on while the owner was busy")
	}
	busy(s, 0)
	eventually(t, "the taker continues", done.Load)
	closeAll(t, c)
}

// The owner has swapped its RCU sheaf out, to close it or not, and puts one in
// before its operation ends. The taker came in between.
func TestATakerFindsTheSheafThatAnOperationHadInHand(t *testing.T) {
	notSampled(t)
	c := newTest[cell](t, newPages(t, 0))
	n := filledSheaf(t, &c.c, unsafe.Pointer(c.Alloc(gfp.Kernel)))
	s := slotOfAbsentP(&c.c, 100)
	busy(s, 1)
	before := sys.Membarriers()
	taken := make(chan int)
	go func() { taken <- c.c.drainRCU() }()
	eventually(t, "the taker has looked", func() bool { return sys.Membarriers() > before })
	letReclaim()
	atomic.StoreUint32(&s.rcu, n)
	busy(s, 0)
	if got := <-taken; got != 1 {
		t.Errorf("%d sheaves taken, want the one in hand", got)
		c.c.drainRCU()
	}
	c.Barrier()
	closeAll(t, c)
}

func TestATakerFindsTheSheafOfAPThatIsGone(t *testing.T) {
	notSampled(t)
	c := newTest[cell](t, newPages(t, 0))
	gone := runtime.GOMAXPROCS(0) + 20
	n := filledSheaf(t, &c.c, unsafe.Pointer(c.Alloc(gfp.Kernel)))
	atomic.StoreUint32(&slotOfAbsentP(&c.c, gone).rcu, n)
	if got := c.c.drainRCU(); got != 1 {
		t.Fatalf("%d sheaves taken, want the one of P %d", got, gone)
	}
	c.Barrier()
	closeAll(t, c)
}

// The worker found nothing more and is about to end: it gives empty sheaves
// back, so many here that there is time to give it another full one.
func TestASheafThatComesWhenTheReclaimWorkerEndsIsReclaimed(t *testing.T) {
	testkit.AtLeastProcs(t, 2)
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	p, q := unsafe.Pointer(c.Alloc(gfp.Kernel)), unsafe.Pointer(c.Alloc(gfp.Kernel))
	for try, hits := 0, 0; hits < 3; try++ {
		if try == 2000 {
			t.Skipf("the window was hit %d times in %d tries", hits, try)
		}
		const many = 4000
		for range many {
			c.c.first.empty.push(&c.c, filledSheaf(t, &c.c))
		}
		for _, p := range []unsafe.Pointer{p, q} {
			r.at[c.c.unitOf(p)].Store(false)
		}
		first, second := filledSheaf(t, &c.c, p), filledSheaf(t, &c.c, q)
		c.c.closeSheaf(&c.c.first, first, rcu.GetState())
		c.c.startReclaim()
		for c.c.first.empty.n.Load() > many-100 {
			sys.Pause(1)
		}
		c.c.closeSheaf(&c.c.first, second, rcu.GetState())
		if c.c.first.empty.n.Load() > emptyKeep { // the worker is at it still
			hits++
		}
		c.c.startReclaim()
		eventually(t, fmt.Sprintf("reclaim of the sheaf that came late, try %d", try), func() bool {
			return r.is(&c.c, p) && r.is(&c.c, q)
		})
		c.c.shrink() // the objects, which are the test's again, lie in the depot
		p, q = unsafe.Pointer(c.Alloc(gfp.Kernel)), unsafe.Pointer(c.Alloc(gfp.Kernel))
	}
	c.c.free(p)
	c.c.free(q)
	closeAll(t, c)
}

// The drain has checked every slot for the last time, and waits for the owner of
// one, when an RCU sheaf is installed in another slot.
func TestASheafThatIsBegunWhenTheDrainEndsIsDrained(t *testing.T) {
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	p := unsafe.Pointer(c.Alloc(gfp.Kernel))
	a, b := slotOfAbsentP(&c.c, 100), slotOfAbsentP(&c.c, 101)
	for try := 0; ; try++ {
		eventually(t, "workers end", func() bool { return workers() == 0 })
		busy(a, 1)
		before := sys.Membarriers()
		at := func(n uint64) func() bool { return func() bool { return sys.Membarriers() >= before+n } }
		c.c.startDrain()
		eventually(t, "the first round", at(1))
		// To the second round it passes one of two gates at a time.
		busy(b, 1)
		busy(a, 0)
		letReclaim()
		busy(a, 1)
		busy(b, 0)
		soon(at(2))
		letReclaim()
		if at(2)() && c.c.draining.Load() {
			break
		}
		busy(a, 0) // it was late at the first gate
		if try == 20 {
			t.Fatal("the drain does no second round")
		}
	}
	c.c.first.empty.push(&c.c, filledSheaf(t, &c.c)) // for p, which would take the chain
	c.c.freeRCU(p)
	busy(a, 0)
	eventually(t, "reclaim of the object", func() bool { return r.is(&c.c, p) })
	closeAll(t, c)
}
