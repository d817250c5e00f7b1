//go:build !poison && !asan && !race

// Race and poison builds don't help.

package slab

import (
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/preempt"
	"quiesce/rcu"
)

// stockEmpty puts n empty sheaves into the depot, for objects that might take the
// chain otherwise.
func stockEmpty(t *testing.T, c *cache, n int) {
	for range n {
		c.first.empty.push(c, filledSheaf(t, c))
	}
}

// makeRipe frees n objects and has their sheaves collected and made ripe, as
// helpers would. The service is held.
func makeRipe(t *testing.T, c *cache, n int) (ps []unsafe.Pointer) {
	t.Helper()
	stockEmpty(t, c, n+1)
	for range n {
		p := c.alloc(nil, gfp.Kernel, lookFurther)
		ps = append(ps, p)
		c.freeRCU(p)
	}
	drain([]*cache{c})
	if any, _ := c.tryRipen(); any {
		t.Fatal("sheaves were ripe as soon as they were collected")
	}
	rcu.Synchronize()
	if any, _ := c.tryRipen(); !any {
		t.Fatal("no sheaf became ripe after a grace period")
	}
	return ps
}

// The one goroutine that reclaims is held up, for whatever reason; producers free
// all the while, and grace periods pass. What is pending is bounded by what they
// free in a grace period.
func TestPendingFreesAreBoundedWhileTheServiceIsHeldUp(t *testing.T) {
	type object [1024]byte
	const flood, every = 64 * helpOwn, helpOwn / 16
	c := newTest[object](t, newPages(t, 0))
	holdService(&c.c)
	most := int64(0)
	for i := range flood / len(object{}) {
		c.FreeRCU(c.Alloc(gfp.Kernel))
		if i%(every/len(object{})) == 0 {
			rcu.Synchronize()
		}
		most = max(most, c.c.pendingObjects.Load()*int64(c.c.size))
	}
	s := c.Stats()
	t.Logf("%d MiB pending at most; helped with %d of %d objects", most>>20, s.Helped, s.RCUArrays)
	if most > helpOwn+2*every {
		t.Errorf("%d MiB were pending, want %d MiB at most", most>>20, (helpOwn+2*every)>>20)
	}
	if s.Helped == 0 {
		t.Error("no call of FreeRCU helped")
	}
	c.Barrier()
	if s := c.Stats(); s.RCUArrays != s.Reused+s.Bulk || s.Helped > s.Reused {
		t.Errorf("the routes do not add up: %+v", s)
	}
	closeAll(t, c)
}

// The same with several producers that help each other, a grace period after each
// round.
func TestPendingFreesAreBoundedWithManyProducers(t *testing.T) {
	type object [1024]byte
	const producers, round = 4, helpOwn / 4
	testkit.AtLeastProcs(t, producers)
	c := newTest[object](t, newPages(t, 0))
	holdService(&c.c)
	for range 64 {
		<-testkit.AsyncN(producers, func(int) {
			for range round / producers / len(object{}) {
				c.FreeRCU(c.Alloc(gfp.Kernel))
			}
		})
		rcu.Synchronize()
		// In a round now and then one helper holds the mutex, and is not running.
		if n := c.c.pendingObjects.Load() * int64(c.c.size); n > helpOwn+8*round {
			t.Fatalf("%d MiB are pending, want %d MiB at most", n>>20, (helpOwn+8*round)>>20)
		}
	}
	closeAll(t, c)
}

// One P is busy with floods, and nobody waits for a grace period. The goroutine
// that drives it runs when helpers yield; otherwise it would run when a flood is
// preempted, after many times helpOwn.
func TestAFloodLetsItsGracePeriodsRun(t *testing.T) {
	testkit.Procs(t, 1)
	type object [64 << 10]byte
	c := newTest[object](t, newPages(t, 0))
	holdService(&c.c)
	most := int64(0)
	for range 256 * helpOwn / len(object{}) {
		c.FreeRCU(c.Alloc(gfp.Kernel))
		most = max(most, c.c.pendingObjects.Load()*int64(c.c.size))
	}
	if most > 8*helpOwn {
		t.Errorf("%d MiB were pending, want %d MiB at most", most>>20, 8*helpOwn>>20)
	}
	closeAll(t, c)
}

// One cache has much pending. Who frees a little to another one does not help, and
// so does not yield, until all together have very much.
func TestWhoFreesLittleIsLeftAlone(t *testing.T) {
	type object [1024]byte
	busy, calm := newTest[object](t, newPages(t, 0)), newTest[object](t, newPages(t, 0))
	holdService(&busy.c)
	holdService(&calm.c)
	free := func(c *Cache[object], bytes int) uint64 {
		objects := make([]*object, bytes/len(object{}))
		if n := c.AllocBulk(gfp.Kernel, objects); n != len(objects) {
			t.Fatalf("%d of %d objects", n, len(objects))
		}
		before := c.c.sum(helpsOf)
		g := rcu.ReadLock()
		defer g.Unlock()
		for _, p := range objects {
			c.FreeRCU(p)
		}
		return c.c.sum(helpsOf) - before
	}
	if n := free(busy, 2*helpOwn); n == 0 {
		t.Error("nobody helped a cache that has much pending")
	}
	if n := free(calm, helpOwn/2); n != 0 {
		t.Errorf("%d calls helped a cache that has little pending", n)
	}
	stop := pretendPending()
	if n := free(calm, helpOwn/2); n == 0 {
		t.Error("nobody helped when all caches together had very much pending")
	}
	stop()
	closeAll(t, busy)
	closeAll(t, calm)
}

// In a section of its own a flood yields in vain, and so seldom.
func TestAFloodInASectionYieldsSeldom(t *testing.T) {
	for _, c := range []struct {
		what          string
		pending, vain int64
		yields        bool
	}{
		{"no yield was in vain", helpBytes, 0, true},
		{"one was just now", helpBytes, helpBytes, false},
		{"almost a quarter more is pending", helpBytes*5/4 - 1, helpBytes, false},
		{"a quarter more is pending", helpBytes * 5 / 4, helpBytes, true},
		{"what was pending then is gone", helpBytes, 4 * helpBytes, true},
	} {
		pending := service.pending.Swap(c.pending)
		service.vain.Store(c.vain)
		g := rcu.ReadLock()
		over := yieldUntil(rcu.StartPoll())
		vain := service.vain.Swap(0)
		g.Unlock()
		service.pending.Store(pending)
		want := c.vain
		if c.yields {
			want = c.pending
		}
		if over || vain != want {
			t.Errorf("%s: the grace period is over: %v; the last yield in vain was with %d bytes, want %d", c.what, over, vain, want)
		}
	}
}

// A reader holds the grace period up, and FreeRCU is called inside its section.
// It returns: helpers wait for nothing but a moment. Nothing that the reader may see is
// reclaimed; and who comes after the first one sees that it would be in vain.
func TestAHelperWaitsForNothingAndReclaimsNothingEarly(t *testing.T) {
	defer pretendPending()()
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook(), WithSheaf(4))
	holdService(&c.c)
	var ps []*cell
	for range 400 {
		ps = append(ps, c.Alloc(gfp.Kernel))
	}
	stockEmpty(t, &c.c, len(ps)/4)
	g := rcu.ReadLock()
	for _, p := range ps {
		c.FreeRCU(p)
	}
	for _, p := range ps {
		if r.is(&c.c, unsafe.Pointer(p)) {
			t.Fatal("reclaimed while a reader from before was inside")
		}
	}
	s, helps := c.Stats(), c.c.sum(helpsOf)
	if any, _ := c.c.tryRipen(); any {
		t.Error("made ripe while a reader from before was inside")
	}
	if s.Helped != 0 || helps != 1 {
		t.Errorf("%d objects handed over by %d helpers, want 0 by 1; %d sheaves closed", s.Helped, helps, s.RCUArrays/4)
	}
	g.Unlock()
	c.Barrier()
	allReclaimed(t, &r, c, ps)
	closeAll(t, c)
}

// A reader may hold up the grace period of what was collected last: what is ripe is still
// handed over.
func TestWhatIsRipeIsHandedOverWhileOthersWait(t *testing.T) {
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	holdService(&c.c)
	ripe := makeRipe(t, &c.c, 1)[0]
	p := c.c.alloc(nil, gfp.Kernel, lookFurther)
	c.c.freeRCU(p)
	drain([]*cache{&c.c})
	g := rcu.ReadLock()
	if any, until := c.c.tryRipen(); any || until == 0 {
		t.Fatalf("not collected: %v, %d", any, until)
	}
	if any, _ := c.c.handOverSome(); !any || !r.is(&c.c, ripe) {
		t.Error("what is ripe was not handed over")
	}
	if any, until := c.c.handOverSome(); any || until == 0 || r.is(&c.c, p) {
		t.Errorf("with nothing ripe: %v, and %d to wait for", any, until)
	}
	g.Unlock()
	rcu.Synchronize()
	if any, _ := c.c.handOverSome(); !any || !r.is(&c.c, p) {
		t.Error("what became ripe was not handed over")
	}
	closeAll(t, c)
}

// A helper has a sheaf in hand, which is in none of the places where Barrier looks.
// Barrier waits for it, and no other helper begins until then.
func TestBarrierWaitsForAHelper(t *testing.T) {
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	holdService(&c.c)
	p := makeRipe(t, &c.c, 1)[0]
	c.c.helping.Add(1)
	n := c.c.first.ripe.pop(&c.c)
	done := testkit.Async(c.Barrier)
	eventually(t, "Barrier waits for the helper", func() bool { return c.c.helping.Load() < 0 })
	helps := c.c.sum(helpsOf)
	c.c.help()
	if c.c.sum(helpsOf) != helps {
		t.Error("a helper began while Barrier waited for helpers to end")
	}
	if testkit.IsClosed(done) || r.is(&c.c, p) {
		t.Error("Barrier returned while a helper had a sheaf in hand")
	}
	c.c.handOver(&c.c.first, n)
	c.c.helping.Add(-1)
	<-done
	if !r.is(&c.c, p) {
		t.Error("not reclaimed by Barrier")
	}
	if n := c.c.helping.Load(); n != 0 {
		t.Errorf("%d helpers are counted, and none helps", n)
	}
	closeAll(t, c)
}

// What helpers collected, or made ripe, is on none of the queues. The service does
// not let go of the cache.
func TestTheServiceFindsWhatHelpersLeft(t *testing.T) {
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	for name, leave := range map[string]func(p unsafe.Pointer){
		"collected": func(p unsafe.Pointer) {
			c.c.freeRCU(p)
			drain([]*cache{&c.c})
			c.c.tryRipen()
		},
		"ripe": func(p unsafe.Pointer) {
			c.c.freeRCU(p)
			drain([]*cache{&c.c})
			c.c.tryRipen()
			rcu.Synchronize()
			c.c.tryRipen()
		},
	} {
		holdService(&c.c)
		c.c.hold() // as if the service had it
		p := unsafe.Pointer(c.Alloc(gfp.Kernel))
		stockEmpty(t, &c.c, 1)
		leave(p)
		if r.is(&c.c, p) {
			t.Fatalf("%s: reclaimed while the service was held", name)
		}
		if c.c.letGoOfReclaim() {
			t.Errorf("%s: the service lets go of the cache", name)
		} else {
			c.c.reclaiming.Store(false)
			c.c.release()
		}
		c.c.draining.Store(false)
		c.c.startReclaim()
		eventually(t, name+": the service reclaims it", func() bool { return r.is(&c.c, p) })
		eventually(t, name+": the service is done", func() bool { return !c.c.reclaiming.Load() && !c.c.hasWork() })
		r.at[c.c.unitOf(p)].Store(false)
	}
	closeAll(t, c)
}

// FreeRCU helps wherever it may be preempted.
func TestFreeRCUHelpsOutsideRawAtomicContextsOnly(t *testing.T) {
	notSampled(t)
	testkit.Procs(t, 1) // one RCU sheaf for all
	c := newTest[cell](t, newPages(t, 0), WithSheaf(1))
	holdService(&c.c)
	for _, ctx := range contexts {
		makeRipe(t, &c.c, 3)
		stockEmpty(t, &c.c, 3)
		ps := [3]*cell{c.Alloc(gfp.Kernel), c.Alloc(gfp.Kernel), c.Alloc(gfp.Kernel)}
		before, atomically := c.Stats().Helped, false
		stop := pretendPending()
		ctx.in(func() {
			atomically = preempt.Atomic()
			for _, p := range ps { // of three at least one closes a sheaf
				c.FreeRCU(p)
			}
		})
		stop()
		if helped := c.Stats().Helped - before; (helped > 0) == atomically {
			t.Errorf("%s: raw atomic: %v; %d objects were handed over", ctx.name, atomically, helped)
		}
		c.Barrier()
	}
	closeAll(t, c)
}
