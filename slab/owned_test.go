//go:build !poison && !asan

// Poison builds keep an account of every object, which these tests bypass.

package slab

import (
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

// The first object of the sheaf saw its grace period end long ago; the last one was
// unlinked while a reader held it.
func TestOwnedCookieBelongsToTheLastObject(t *testing.T) {
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook())
	holdService(&c.c) // both objects are in one array
	s := stockOf(t, c, 10)
	first, last := s.Alloc(gfp.Kernel), s.Alloc(gfp.Kernel)
	s.FreeRCU(first)
	rcu.Synchronize()
	rcu.Synchronize()
	g := farReader()
	s.FreeRCU(last)
	array := s.own.rcuNum
	s.own.handOver()
	s.own.leave()
	if m := c.c.sheaf(array); m.n != 2 || rcu.Poll(m.cookie) {
		t.Errorf("an array of %d whose grace period has ended: %v", m.n, rcu.Poll(m.cookie))
	}
	letGo(&c.c)
	c.c.startReclaim()
	letReclaim()
	if r.is(&c.c, unsafe.Pointer(last)) {
		t.Error("the last object was reclaimed by the grace period of the first")
	}
	g.Unlock()
	c.Barrier()
	for _, p := range []*cell{first, last} {
		if !r.is(&c.c, unsafe.Pointer(p)) {
			t.Error("not reclaimed by Barrier after it was handed over")
		}
	}
	s.Close()
	closeAll(t, c)
}

// An array that is full is handed over as it is, and waits for the readers that may
// use its objects.
func TestOwnedFullArrayWaitsForItsReaders(t *testing.T) {
	var r reclaimed
	c := newTest[cell](t, newPages(t, 0), r.hook(), WithSheaf(8))
	s := stockOf(t, c, 100)
	g := farReader()
	var ps []*cell
	for range 20 {
		p := s.Alloc(gfp.Kernel)
		s.FreeRCU(p)
		ps = append(ps, p)
	}
	if n := c.c.first.pending.n.Load(); n < 2 {
		t.Errorf("%d arrays of 8 are pending after 20 objects", n)
	}
	letReclaim()
	for _, p := range ps {
		if r.is(&c.c, unsafe.Pointer(p)) {
			t.Fatal("reclaimed while a reader from before was inside")
		}
	}
	g.Unlock()
	s.Close()
	c.Barrier()
	allReclaimed(t, &r, c, ps)
	closeAll(t, c)
}

// The service asks for an array that does not fill, once, and any method hands it
// over. Until then nothing runs, and Barrier doesn't wait.
func TestOwnedArrayThatDoesNotFillIsHandedOverByTheNextCall(t *testing.T) {
	for name, call := range map[string]func(s *Sheaf[cell]){
		"Alloc, Free": func(s *Sheaf[cell]) { s.Free(s.Alloc(gfp.NoLocks)) },
		"Free":        func(s *Sheaf[cell]) { s.Free(s.own.c.takeOne()) },
		"Len":         func(s *Sheaf[cell]) { s.Len() },
		"Refill":      func(s *Sheaf[cell]) { s.Refill(1, gfp.Kernel) },
		"FreeRCU":     func(s *Sheaf[cell]) { s.FreeRCU(s.own.c.takeOne()) },
		"Close":       func(s *Sheaf[cell]) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			var r reclaimed
			c := newTest[cell](t, newPages(t, 0), r.hook())
			s := stockOf(t, c, 10)
			p := s.Alloc(gfp.Kernel)
			s.FreeRCU(p)
			eventually(t, "the service asks for it", func() bool { return s.own.state.Load() == ownNudged })
			eventually(t, "nothing runs any more", func() bool { return workers() == 0 })
			c.Barrier()
			if r.is(&c.c, unsafe.Pointer(p)) {
				t.Error("somebody else took the owner's array")
			}
			if st := c.Stats(); st.Held != 10 {
				t.Errorf("%d objects held, want 10", st.Held)
			}
			call(s)
			eventually(t, "reclaim", func() bool { return r.is(&c.c, unsafe.Pointer(p)) })
			s.Close()
			closeAll(t, c)
		})
	}
}

// heldStock returns a Sheaf of ten objects whose cache's service is held.
func heldStock(t *testing.T) (*Cache[cell], *Sheaf[cell]) {
	t.Helper()
	c := newTest[cell](t, newPages(t, 0))
	holdService(&c.c)
	return c, stockOf(t, c, 10)
}

// The service asks while the owner is in a slow path, after that has looked.
func TestOwnedNudgeDuringASlowPathIsSeen(t *testing.T) {
	c, s := heldStock(t)
	s.FreeRCU(s.Alloc(gfp.Kernel))
	s.own.enter()
	if n, objects := c.c.nudgeSheaves(); n != 1 || objects != 1 {
		t.Errorf("%d Sheaves with %d objects pending", n, objects)
	}
	s.own.leave()
	if s.own.rcuNum != 0 || c.c.first.pending.n.Load() != 1 {
		t.Error("the array was not handed over")
	}
	// And before it has: a gate that is closed late costs nothing but time.
	s.own.shut()
	if p := s.Alloc(gfp.NoLocks); p == nil {
		t.Error("nothing in stock behind a closed gate")
	} else {
		s.own.shut()
		s.Free(p)
	}
	letGo(&c.c)
	s.Close()
	closeAll(t, c)
}

// A Sheaf that is armed while the service takes the list is on the next one, or was
// on this.
func TestOwnedArmedSheafIsNotForgotten(t *testing.T) {
	c, s := heldStock(t)
	for i := range 5 {
		s.FreeRCU(s.Alloc(gfp.Kernel))
		if !c.c.anyRCU() {
			t.Errorf("round %d: nobody would look at the Sheaf", i)
		}
		if n, _ := c.c.nudgeSheaves(); n != 1 {
			t.Errorf("round %d: %d Sheaves asked", i, n)
		}
		if c.c.anyRCU() {
			t.Errorf("round %d: armed after it was asked", i)
		}
		s.Len()
	}
	letGo(&c.c)
	s.Close()
	closeAll(t, c)
}

// letGo ends holdService.
func letGo(c *cache) {
	c.draining.Store(false)
	c.reclaiming.Store(false)
}

// takeOne allocates an object past the Sheaf.
func (c *cache) takeOne() *cell { return (*cell)(c.allocOne(gfp.Kernel)) }

// The arrays of an owner belong to no P.
func TestOwnedSheavesAreNotRevoked(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0))
	s := stockOf(t, c, 500)
	for _, procs := range []int{1, 4, 2} {
		testkit.Procs(t, procs)
		c.Shrink()
		c.Barrier()
		if s.Len() < 500 {
			t.Fatalf("%d in stock", s.Len())
		}
	}
	s.Close()
	c.Shrink()
	if st := c.Stats(); st.Slabs != 0 || st.Out != 0 {
		t.Errorf("after Close and Shrink: %+v", st)
	}
	closeAll(t, c)
}

// Stats counts every Sheaf that is open all the while, in bounded holds, and may be
// asked for in a read-side section.
func TestStatsCountsOpenSheavesWhileOthersComeAndGo(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0))
	open := func() *Sheaf[cell] {
		s, err := c.Sheaf(1, gfp.Kernel)
		if err != nil {
			t.Error(err)
		}
		return s
	}
	const stay = 2*sheavesPerLook + 1
	var kept []*Sheaf[cell]
	for i := range stay {
		kept = append(kept, open())
		if i%10 == 0 {
			open().Close()
		}
	}
	const others = 2
	stop := make(chan struct{})
	done := testkit.AsyncN(others, func(int) {
		for {
			select {
			case <-stop:
				return
			default:
				s := open()
				c.Stats()
				s.Close()
			}
		}
	})
	for range 200 {
		g := rcu.ReadLock()
		n := c.Stats().Sheaves
		g.Unlock()
		if n < stay || n > stay+others {
			t.Errorf("%d Sheaves are open, %d to %d were", n, stay, stay+others)
			break
		}
	}
	close(stop)
	<-done
	if n := c.Stats().Sheaves; n != stay {
		t.Errorf("%d Sheaves are open, want %d", n, stay)
	}
	for _, s := range kept {
		s.Close()
	}
	if c.c.open != nil {
		t.Error("something is left on the list of open Sheaves")
	}
	mustClose(t, c)
}
