//go:build !poison && !asan

// Poison builds keep an account of every object; these tests move objects
// behind its back.

package slab

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
)

// Tests that step through a protocol, or hold a window open which is some
// nanoseconds wide otherwise.

// reclaimed collects what a cache reclaims.
type reclaimed struct{ at [1 << 16]atomic.Bool } // by offset, from the first MiB

func (r *reclaimed) hook() Option {
	return withHook(func(offs []uint32) {
		for _, off := range offs {
			r.at[off].Store(true)
		}
	})
}

func (r *reclaimed) is(c *cache, p unsafe.Pointer) bool { return r.at[c.unitOf(p)].Load() }

// slotOfNobody is the slot of a P that doesn't exist: the test is its owner.
func slotOfNobody(c *cache, id int) *slot {
	c.slots.Register(id)
	return c.slots.At(id)
}

func busy(s *slot, is uint32) { atomic.StoreUint32(&s.busy, is) }

// filledSheaf is a sheaf with objects, in nobody's hands but the caller's.
func filledSheaf(t *testing.T, c *cache, ps ...unsafe.Pointer) num {
	t.Helper()
	n := c.newSheaf(c.pages.Alloc(0, gfp.Kernel))
	if n == 0 {
		t.Fatal("no page for a sheaf")
	}
	for i, p := range ps {
		c.sheaf(n).obj[i] = uint32(c.unitOf(p))
		c.sheaf(n).n++
	}
	return n
}

func closeAll[T any](t *testing.T, c *Cache[T]) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	mustClose(t, c.c.pages)
}

// settle is the time in which the worker would have reclaimed what may be.
const settle = 30 * time.Millisecond

func TestNothingIsReclaimedBeforeItsReadersLeft(t *testing.T) {
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	for range 5 {
		p := unsafe.Pointer(c.Alloc(gfp.Kernel))
		g := farReader()
		c.c.freeRCU(p)
		c.c.drainRCU()
		time.Sleep(settle)
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
// one was unlinked under a reader's eyes.
func TestTheCookieBelongsToTheLastObjectOfASheaf(t *testing.T) {
	testkit.Procs(t, 1) // one RCU sheaf for both
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	first, last := unsafe.Pointer(c.Alloc(gfp.Kernel)), unsafe.Pointer(c.Alloc(gfp.Kernel))
	c.c.takeMu.Lock() // nobody takes the sheaf between the two
	c.c.freeRCU(first)
	rcu.Synchronize()
	rcu.Synchronize()
	g := farReader()
	c.c.freeRCU(last)
	c.c.takeMu.Unlock()
	c.c.drainRCU()
	time.Sleep(settle)
	if r.is(&c.c, last) {
		t.Error("the last object of a sheaf was reclaimed by the grace period of the first")
	}
	g.Unlock()
	c.Barrier()
	if !r.is(&c.c, first) || !r.is(&c.c, last) {
		t.Error("not reclaimed by Barrier")
	}
	closeAll(t, c)
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
	time.Sleep(settle)
	if r.is(&c.c, young) {
		t.Error("the younger sheaf was reclaimed when the older one's grace period had ended")
	}
	g.Unlock()
	c.Barrier()
	if !r.is(&c.c, old) || !r.is(&c.c, young) {
		t.Error("not reclaimed by Barrier")
	}
	closeAll(t, c)
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
	time.Sleep(settle)
	testkit.Elsewhere(func() { // no holder of a spin lock may wait
		rcu.Synchronize()
		rcu.Synchronize()
	})
	g := farReader()
	c.c.afterChaining(youngOff, c.c.chainObject(youngOff))
	c.c.mu.UnlockIRQ()
	time.Sleep(settle)
	if r.is(&c.c, young) {
		t.Error("reclaimed while a reader from before was inside")
	}
	g.Unlock()
	c.Barrier()
	if !r.is(&c.c, old) || !r.is(&c.c, young) {
		t.Error("not reclaimed by Barrier")
	}
	closeAll(t, c)
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
	s := slotOfNobody(&c.c, 100)
	busy(s, 1)
	var done atomic.Bool
	go func() {
		c.c.drainRCU()
		done.Store(true)
	}()
	time.Sleep(settle)
	if done.Load() {
		t.Error("the taker went on while the owner was busy")
	}
	busy(s, 0)
	eventually(t, "the taker goes on", done.Load)
	closeAll(t, c)
}

// The owner has swapped its RCU sheaf out, to close it or not, and puts one in
// before its operation ends. The taker came in between.
func TestATakerFindsTheSheafThatAnOperationHadInHand(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0))
	n := filledSheaf(t, &c.c, unsafe.Pointer(c.Alloc(gfp.Kernel)))
	s := slotOfNobody(&c.c, 100)
	busy(s, 1)
	before := sys.Membarriers()
	taken := make(chan int)
	go func() { taken <- c.c.drainRCU() }()
	eventually(t, "the taker has looked", func() bool { return sys.Membarriers() > before })
	time.Sleep(settle)
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
	c := newTest[cell](t, newPages(t, 0))
	gone := runtime.GOMAXPROCS(0) + 20
	n := filledSheaf(t, &c.c, unsafe.Pointer(c.Alloc(gfp.Kernel)))
	atomic.StoreUint32(&slotOfNobody(&c.c, gone).rcu, n)
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
		if try == 200 {
			t.Skipf("the window was hit %d times in %d tries", hits, try)
		}
		const many = 4000
		for range many {
			c.c.empty.push(&c.c, filledSheaf(t, &c.c))
		}
		for _, p := range []unsafe.Pointer{p, q} {
			r.at[c.c.unitOf(p)].Store(false)
		}
		first, second := filledSheaf(t, &c.c, p), filledSheaf(t, &c.c, q)
		c.c.closeSheaf(first)
		c.c.startReclaim()
		for c.c.empty.n.Load() > many-100 {
			sys.Pause(1)
		}
		c.c.closeSheaf(second)
		if c.c.empty.n.Load() > emptyKeep { // the worker is at it still
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

// The drain has looked at every slot for the last time, and waits for the
// owner of one; meanwhile an RCU sheaf is installed elsewhere.
func TestASheafThatIsBegunWhenTheDrainEndsIsDrained(t *testing.T) {
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	p := unsafe.Pointer(c.Alloc(gfp.Kernel))
	a, b := slotOfNobody(&c.c, 100), slotOfNobody(&c.c, 101)
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
		time.Sleep(settle)
		busy(a, 1)
		busy(b, 0)
		for i := 0; i < 200 && !at(2)(); i++ {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(settle)
		if at(2)() && c.c.draining.Load() {
			break
		}
		busy(a, 0) // it was late at the first gate
		if try == 20 {
			t.Fatal("the drain does no second round")
		}
	}
	c.c.empty.push(&c.c, filledSheaf(t, &c.c)) // for p, which would take the chain
	c.c.freeRCU(p)
	busy(a, 0)
	eventually(t, "reclaim of the object", func() bool { return r.is(&c.c, p) })
	closeAll(t, c)
}

// The worker took the object's bit, and freed the object, before the slab was
// pushed: an empty slab is on the chain.
func TestAnEmptySlabOnTheChainStaysASlab(t *testing.T) {
	for _, way := range []string{"the last free", "Shrink"} {
		t.Run(way, func(t *testing.T) {
			c := newTest[cell](t, newPages(t, 0))
			p := unsafe.Pointer(c.Alloc(gfp.Kernel))
			off := uint32(c.c.unitOf(p))
			head := c.c.head(off)
			c.c.shrink() // p is the slab's only object
			if way == "the last free" {
				c.c.keepEmpty = 0
			}
			c.c.reclaimMu.Lock()
			atomic.StoreUint32(&c.c.core.Meta(head).Chained, chainEnd)
			c.c.chain.Store(head)
			c.c.flushObjects([]uint32{off}, &c.c.stats.flushed)
			if way == "Shrink" {
				c.c.shrink()
			}
			if c.c.core.Meta(head).Owner != c.c.id || c.Stats().Slabs != 1 {
				t.Error("the slab's pages were given back while it was on the chain")
				return // the cache is corrupt
			}
			c.c.reclaimMu.Unlock()
			c.Barrier()
			c.Shrink()
			if n := c.Stats().Slabs; n != 0 {
				t.Errorf("%d slabs left", n)
			}
			closeAll(t, c)
		})
	}
}

// More slabs than one pass takes, and the same ones again.
func TestALongChainIsFreedByOneBarrier(t *testing.T) {
	c := newTest[[16384]byte](t, newPages(t, 0)) // two to a slab
	ps := make([]*[16384]byte, 2*(2*chainBatch+10))
	for round := range uint64(2) {
		if n := c.AllocBulk(gfp.Kernel, ps); n != len(ps) {
			t.Fatalf("%d objects of %d", n, len(ps))
		}
		c.c.reclaimMu.Lock()
		for _, p := range ps {
			off := uint32(c.c.unitOf(unsafe.Pointer(p)))
			c.c.afterChaining(off, c.c.chainObject(off))
		}
		c.c.reclaimMu.Unlock()
		c.Barrier()
		want := (round + 1) * uint64(len(ps))
		if s := c.Stats(); s.Fallback != want || s.FallbackFreed != want {
			t.Fatalf("round %d: %d objects on the chain, %d off it, want %d", round, s.Fallback, s.FallbackFreed, want)
		}
	}
	closeAll(t, c)
}

// Sheaves that go from FreeRCU to the next allocation whole never meet the
// bitmap, but for a sample.
func TestADoubleFreeIsSeenAtASampledHandOver(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0)) // left behind: it is corrupt
	p := c.Alloc(gfp.Kernel)
	c.c.reclaiming.Store(true) // no worker: Barrier hands over
	c.c.handedOver = checkEvery - 1
	c.FreeRCU(p)
	c.FreeRCU(p)
	testkit.Panics(t, c.Barrier, "double free of 0x", c.c.name)
}

func TestZeroClearsUsedObjects(t *testing.T) {
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	h := NewHeap(a)
	dirty := cell{id: 1, body: [6]uint64{1, 2, 3, 4, 5, 6}}
	for _, way := range []struct {
		name  string
		alloc func(gfp.Flags) *cell
		free  func(*cell)
	}{
		{"Cache", c.Alloc, c.Free},
		{"Cache, bulk", func(f gfp.Flags) *cell {
			var one [1]*cell
			c.AllocBulk(f, one[:])
			return one[0]
		}, c.Free},
		{"Heap", func(f gfp.Flags) *cell { return (*cell)(h.Kmalloc(int(unsafe.Sizeof(dirty)), f)) },
			func(p *cell) { h.Kfree(unsafe.Pointer(p)) }},
	} {
		used, again := map[*cell]bool{}, 0
		for range 100 {
			p := way.alloc(gfp.Kernel)
			*p = dirty
			used[p] = true
			way.free(p)
			q := way.alloc(gfp.Kernel | gfp.Zero)
			if used[q] {
				again++
			}
			if *q != (cell{}) {
				t.Fatalf("%s: a used object is not zero: %v", way.name, *q)
			}
			way.free(q)
		}
		if again == 0 {
			t.Errorf("%s: no object was used twice", way.name)
		}
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	closeAll(t, c)
}

// A goroutine of the cache may have said that it ends and still look at the
// slots once, which Close gives away.
func TestCloseWaitsForTheCachesGoroutines(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0))
	var end, closed atomic.Bool
	c.c.spawn(func() {
		for !end.Load() {
			time.Sleep(time.Millisecond)
		}
	})
	go func() {
		closeAll(t, c)
		closed.Store(true)
	}()
	time.Sleep(settle)
	if closed.Load() {
		t.Error("Close returned while a goroutine of the cache ran")
	}
	end.Store(true)
	eventually(t, "Close", closed.Load)
}

// While the worker takes a slab's bits another one comes. Nothing follows it:
// it is on the chain, or among the bits taken.
func TestChainedWhileItsSlabIsTakenIsFound(t *testing.T) {
	testkit.AtLeastProcs(t, 2)
	c := newTest[cell](t, newPages(t, 0))
	c.c.reclaiming.Store(true) // Barrier alone reclaims
	var ps [2]*cell
	for i, begin := uint32(0), time.Now(); time.Since(begin) < sharing; i++ {
		c.AllocBulk(gfp.Kernel, ps[:])
		a, b := uint32(c.c.unitOf(unsafe.Pointer(ps[0]))), uint32(c.c.unitOf(unsafe.Pointer(ps[1])))
		c.c.afterChaining(a, c.c.chainObject(a))
		done := make(chan struct{})
		go func() {
			c.Barrier()
			close(done)
		}()
		sys.Pause(i * 37 % 1000)
		c.c.afterChaining(b, c.c.chainObject(b))
		<-done
		c.Barrier()
		if s := c.Stats(); s.Fallback != s.FallbackFreed {
			t.Fatalf("try %d: %d objects went on the chain, %d came off it", i, s.Fallback, s.FallbackFreed)
		}
	}
	closeAll(t, c)
}

// From the object's bit to the claim of its slab a grace period waits for the
// push; later ones find the slab on the chain. The delay between the two
// is made long, so this takes the build tag delay.
func TestAPushOnTheChainIsAReadSideSection(t *testing.T) {
	if !fault.Delays {
		t.Skip("needs -tags delay")
	}
	testkit.AtLeastProcs(t, 4)
	defer fault.SetDelays(5, 50*time.Microsecond)
	c := newTest[cell](t, newPages(t, 0))
	c.c.reclaimMu.Lock() // the chain stays as it is
	tries := 0
	for range 20 {
		fault.SetDelays(0, 0)
		off := uint32(c.c.unitOf(unsafe.Pointer(c.Alloc(gfp.Kernel))))
		m := c.c.core.Meta(c.c.head(off))
		fault.SetDelays(1000, 50*time.Millisecond)
		pushed := make(chan struct{})
		go func() {
			c.c.afterChaining(off, c.c.chainObject(off))
			close(pushed)
		}()
		for atomic.LoadUint64(word(c.c.pendBits, off))&(1<<(off&63)) == 0 {
			runtime.Gosched()
		}
		sys.Pause(1000)
		fault.SetDelays(0, 0) // of the others, from now on
		if atomic.LoadUint32(&m.Chained) == 0 {
			tries++
			rcu.Synchronize()
			if atomic.LoadUint32(&m.Chained) == 0 {
				t.Error("a grace period ended between an object's bit and the claim of its slab")
			}
		}
		<-pushed
		// The next one is the first of its slab again.
		c.c.reclaimMu.Unlock()
		c.Barrier()
		c.c.reclaimMu.Lock()
	}
	c.c.reclaimMu.Unlock()
	if tries == 0 {
		t.Error("no push was met on its way")
	}
	closeAll(t, c)
}

// With the cache's own lock held elsewhere and nothing cached, NoLocks gets nil.
// It is fatal when it fails, so in a child.
func TestNoLocksTakesNoLockOfTheCache(t *testing.T) {
	if !isChild() {
		if out, err := child(t, "preempt_rt=1"); err != nil {
			t.Errorf("child ended with %v and said:\n%s", err, tail(out))
		}
		return
	}
	c := newTest[cell](t, newPages(t, 0))
	c.c.mu.LockIRQ()
	p := preempt.Disable()
	got := c.Alloc(gfp.NoLocks | gfp.NoWarn)
	p.Enable()
	c.c.mu.UnlockIRQ()
	if got != nil {
		t.Error("an object out of nothing")
	}
	closeAll(t, c)
}

// taking calls take over and over until the returned func is called, which
// returns what it panicked with.
func taking(take func()) (stop func() any) {
	var end atomic.Bool
	panicked := make(chan any)
	go func() {
		defer func() { panicked <- recover() }()
		for !end.Load() {
			take()
		}
	}()
	return func() any {
		end.Store(true)
		return <-panicked
	}
}

const sharing = 300 * time.Millisecond

// Every object that FreeRCU counts into a sheaf is counted out of it.
func TestATakerAndFreeRCUNeverShareASheaf(t *testing.T) {
	testkit.AtLeastProcs(t, 2)
	for _, late := range []bool{false, true} { // stores that become visible late
		c := newTest[cell](t, newPages(t, 0))
		b := testkit.NewBacklog()
		stop := taking(func() { c.c.drainRCU() })
		ps := make([]*cell, 1000)
		given := uint64(0)
		for begin := time.Now(); time.Since(begin) < sharing && !t.Failed(); {
			n := c.AllocBulk(gfp.Kernel, ps)
			for i, p := range ps[:n] {
				if late && i%4 == 0 {
					b.Store()
				}
				c.FreeRCU(p)
			}
			given += uint64(n)
			c.Barrier()
			if s := c.Stats(); s.RCUArrays != s.Reused+s.Bulk || s.RCUArrays+s.Fallback != given {
				t.Errorf("of %d objects %d went into sheaves, %d and %d came out of them", given, s.RCUArrays, s.Reused, s.Bulk)
			}
		}
		if p := stop(); p != nil {
			t.Error(p)
		}
		if t.Failed() {
			return // the cache is corrupt
		}
		closeAll(t, c)
	}
}

// An object that is allocated is not allocated again, though its sheaf is
// flushed to the slabs all the time.
func TestATakerAndAllocNeverShareASheaf(t *testing.T) {
	testkit.AtLeastProcs(t, 2)
	for _, late := range []bool{false, true} {
		a, err := page.New(page.Config{Reserve: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		c := newTest[cell](t, a)
		b := testkit.NewBacklog()
		live := make([]bool, 64<<20/unit) // by offset
		stop := taking(c.c.shrink)
		var mine [200]*cell
		for begin := time.Now(); time.Since(begin) < sharing && !t.Failed(); {
			for i := range mine {
				if late && i%8 == 0 {
					b.Store()
				}
				p := c.Alloc(gfp.Kernel)
				off := c.c.unitOf(unsafe.Pointer(p))
				if live[off] {
					t.Errorf("object %p was allocated twice", p)
				}
				live[off] = true
				mine[i] = p
			}
			for _, p := range mine {
				live[c.c.unitOf(unsafe.Pointer(p))] = false
			}
			c.FreeBulk(mine[:])
		}
		if p := stop(); p != nil {
			t.Error(p)
		}
		if t.Failed() {
			return // the cache is corrupt
		}
		closeAll(t, c)
	}
}
