package slab

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/preempt"
)

// stockOf opens a Sheaf of n objects.
func stockOf[T any](t testing.TB, c *Cache[T], n int) *Sheaf[T] {
	t.Helper()
	s, err := c.Sheaf(n, gfp.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// exhaust takes all the memory there is and returns what frees it.
func exhaust[T any](c *Cache[T]) (free func()) {
	var ps []*T
	for p := c.Alloc(gfp.NoWait | gfp.NoWarn); p != nil; p = c.Alloc(gfp.NoWait | gfp.NoWarn) {
		ps = append(ps, p)
	}
	return func() { c.FreeBulk(ps) }
}

// holdMu holds the cache's lock on another goroutine; see holdZone.
func holdMu(c *cache) (release func()) {
	if !preempt.RT() {
		return func() {}
	}
	held, done := make(chan struct{}), make(chan struct{})
	released := testkit.Async(func() {
		c.mu.LockIRQ()
		close(held)
		<-done
		c.mu.UnlockIRQ()
	})
	<-held
	return func() { close(done); <-released }
}

// The guarantee: n allocations, wherever the owner is, whoever has the locks, and
// with no memory left.
func TestSheafHasItsObjectsInEveryContext(t *testing.T) {
	for _, n := range []int{1, 100, 1000} {
		for _, ctx := range contexts {
			a := newPages(t, 1<<20)
			c := newTest[cell](t, a)
			s := stockOf(t, c, n)
			giveBack := exhaust(c)
			releaseZone := holdZone(a)
			releaseMu := holdMu(&c.c)
			ps := make([]*cell, 0, s.Len())
			got := 0
			ctx.in(func() {
				for range n {
					p := s.Alloc(gfp.NoLocks | gfp.NoWarn)
					if p != nil {
						got++
					}
					ps = append(ps, p)
				}
			})
			releaseMu()
			releaseZone()
			if got != n {
				t.Errorf("%s: %d of %d allocations", ctx.name, got, n)
			}
			giveBack()
			c.FreeBulk(ps)
			s.Close()
			mustClose(t, c, a)
		}
	}
}

// What a refill had is as good as what the Sheaf began with.
func TestSheafRefilledHasItsObjectsAgain(t *testing.T) {
	a := newPages(t, 2<<20)
	c := newTest[cell](t, a)
	s := stockOf(t, c, 0)
	for _, n := range []int{10, 3000, 1, 200} {
		if !s.Refill(n, gfp.Kernel) || s.Len() < n {
			t.Fatalf("Refill(%d): %d in stock", n, s.Len())
		}
		giveBack := exhaust(c)
		var ps []*cell
		for range n {
			ps = append(ps, s.Alloc(gfp.NoLocks|gfp.NoWarn))
		}
		for i, p := range ps {
			if p == nil {
				t.Fatalf("allocation %d of %d failed", i, n)
			}
		}
		for _, p := range ps {
			s.Free(p)
		}
		giveBack()
	}
	s.Close()
	mustClose(t, c, a)
}

func TestSheafThatCannotBeFilledIsAnError(t *testing.T) {
	a := hastyPages(t, 1<<20)
	c := newTest[cell](t, a)
	for _, n := range []int{-1, 1 << 20, 1 << 40} {
		if _, err := c.Sheaf(n, gfp.Kernel|gfp.NoWarn); !errors.Is(err, ErrNoMemory) {
			t.Errorf("Sheaf(%d): %v", n, err)
		}
	}
	s := stockOf(t, c, 10)
	if s.Refill(1<<20, gfp.NoWait|gfp.NoWarn) {
		t.Error("a Refill of more than the limit succeeded")
	}
	if s.Len() < 10 {
		t.Errorf("%d in stock after the failure", s.Len())
	}
	s.Close()
	if st := c.Stats(); st.Sheaves != 0 || st.Held != 0 {
		t.Errorf("after Close: %+v", st)
	}
	mustClose(t, c, a)
}

func TestSheafAllocatesAsTheCacheDoesBeyondItsStock(t *testing.T) {
	a := newPages(t, 1<<20)
	c := newTest[cell](t, a)
	s := stockOf(t, c, 5)
	var ps []*cell
	for p := s.Alloc(gfp.NoWait | gfp.NoWarn); p != nil; p = s.Alloc(gfp.NoWait | gfp.NoWarn) {
		p.id = uint64(len(ps))
		ps = append(ps, p)
	}
	if most := 1 << 20 / int(c.c.size); len(ps) < most/3 && !poisonOn {
		t.Errorf("%d objects of about %d", len(ps), most)
	}
	for i, p := range ps {
		if p.id != uint64(i) {
			t.Fatal("two owners have one object")
		}
	}
	byTurns(ps, s.Free, s.FreeRCU)
	s.Close()
	if n := c.Validate(); n != 0 {
		t.Errorf("%d errors", n)
	}
	mustClose(t, c, a)
}

func TestSheafZeroesWhatItIsAskedTo(t *testing.T) {
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	s := stockOf(t, c, 3)
	for range 10 {
		p := s.Alloc(gfp.Kernel | gfp.Zero)
		if *p != (cell{}) {
			t.Fatal("not zero")
		}
		p.id, p.body[5] = 1, 2
		s.Free(p)
	}
	s.Close()
	mustClose(t, c, a)
}

// Frees keep the stock at n, and a bounded number more.
func TestSheafGivesWhatItDoesNotNeedToTheCache(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0), WithSheaf(100))
	const n = 250
	s := stockOf(t, c, n)
	var own []*cell
	for range n {
		own = append(own, s.Alloc(gfp.Kernel))
	}
	for _, p := range own {
		s.Free(p)
	}
	if s.Len() < n && !poisonOn { // some are in quarantine
		t.Errorf("%d in stock after as many frees as allocations, want %d", s.Len(), n)
	}
	s.Refill(n, gfp.Kernel)
	ps := make([]*cell, 5000)
	if c.AllocBulk(gfp.Kernel, ps) != len(ps) {
		t.Fatal("no memory")
	}
	for _, p := range ps {
		s.Free(p)
		if s.Len() < n || s.Len() > n+200 {
			t.Fatalf("%d in stock, want %d to %d", s.Len(), n, n+200)
		}
	}
	if st := c.Stats(); st.Sheaves != 1 || st.Held != s.Len() {
		t.Errorf("Len is %d, Stats %+v", s.Len(), st)
	}
	s.Close()
	mustClose(t, c, c.c.pages)
}

// With no array for them, freed objects are not lost.
func TestSheafLosesNothingWithoutArrays(t *testing.T) {
	for _, ctx := range contexts {
		a := newPages(t, 1<<20)
		c := newTest[cell](t, a, WithSheaf(7))
		s := stockOf(t, c, 3)
		var ps []*cell
		for p := s.Alloc(gfp.NoWait | gfp.NoWarn); p != nil; p = s.Alloc(gfp.NoWait | gfp.NoWarn) {
			ps = append(ps, p)
		}
		for a.Alloc(0, gfp.NoWait|gfp.NoWarn) != nil { // the allocator is not closed
		}
		for c.c.popEmpty() != 0 {
		}
		ctx.in(func() {
			for i, p := range ps {
				if i < len(ps)/2 {
					s.FreeRCU(p)
				} else {
					s.Free(p)
				}
			}
		})
		s.Close()
		c.Barrier()
		if n := c.Validate(); n != 0 {
			t.Errorf("%s: %d errors", ctx.name, n)
		}
		if err := c.Close(); err != nil {
			t.Errorf("%s: %v", ctx.name, err)
		}
	}
}

// Owners, caches' own users, handovers between goroutines, and GOMAXPROCS: each
// object has one owner at a time, and all come back.
func TestSheavesLoseNothing(t *testing.T) {
	a := newPages(t, 0)
	c := newTest[cell](t, a, WithSheaf(50))
	owners, rounds := 4, 400
	if poisonOn || raceEnabled {
		rounds /= 10
	}
	stop := testkit.ChurnProcs(time.Millisecond, 1, 4, 2, 8)
	baton := make(chan *Sheaf[cell], owners)
	for range owners {
		baton <- stockOf(t, c, 30)
	}
	var live [64]Pointer[cell]
	var bad atomic.Int64
	<-testkit.AsyncN(owners, func(me int) {
		rnd := rand.New(rand.NewPCG(5, uint64(me)))
		for range rounds {
			s := <-baton
			var mine []*cell
			for range rnd.IntN(200) {
				p := s.Alloc(gfp.Kernel)
				p.id = uint64(me + 1)
				mine = append(mine, p)
			}
			for i, p := range mine {
				if p.id != uint64(me+1) {
					bad.Add(1)
				}
				switch i % 4 {
				case 0:
					s.Free(p)
				case 1:
					s.FreeRCU(p)
				case 2:
					c.FreeRCU(p)
				default:
					old := live[rnd.IntN(len(live))].Swap(p)
					s.FreeRCU(old)
				}
			}
			if rnd.IntN(20) == 0 {
				s.Close()
				s, _ = c.Sheaf(rnd.IntN(120), gfp.Kernel)
			}
			baton <- s
		}
	})
	stop()
	if bad.Load() != 0 {
		t.Errorf("%d objects had two owners", bad.Load())
	}
	for i := range live {
		c.FreeRCU(live[i].Swap(nil))
	}
	for range owners {
		(<-baton).Close()
	}
	c.Barrier()
	if n := c.Validate(); n != 0 {
		t.Errorf("%d errors", n)
	}
	mustClose(t, c, a)
}

func TestClosedSheafIsOfNoUse(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0))
	s := stockOf(t, c, 10)
	p := s.Alloc(gfp.Kernel)
	s.Close()
	s.Close() // harmless
	const says = "quiesce/slab: use of a closed Sheaf of cache "
	testkit.Panics(t, func() { s.Alloc(gfp.Kernel) }, says, c.c.name)
	testkit.Panics(t, func() { s.Refill(3, gfp.Kernel) }, says)
	if !poisonOn { // their account of p has changed by then
		testkit.Panics(t, func() { s.Free(p) }, says)
		testkit.Panics(t, func() { s.FreeRCU(p) }, says)
		c.Free(p)
	}
	if s.Len() != 0 {
		t.Errorf("%d in stock after Close", s.Len())
	}
	if !poisonOn {
		mustClose(t, c, c.c.pages)
	}
}

func TestForeignPointerInASheafPanics(t *testing.T) {
	quiet(t)
	c := newTest[cell](t, newPages(t, 0))
	s := stockOf(t, c, 1)
	for _, free := range []func(*cell){s.Free, s.FreeRCU} {
		testkit.Panics(t, func() { free(new(cell)) }, "foreign pointer", c.c.name)
		free(nil)
	}
	s.Close()
	mustClose(t, c, c.c.pages)
}
