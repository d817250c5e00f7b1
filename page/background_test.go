package page

import (
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
)

// backgroundRests waits until no round runs or is wanted.
func backgroundRests(t *testing.T, a *Allocator) {
	testkit.Eventually(t, 20*time.Second, "background reclaim ends", func() bool {
		return !a.background.running.Load() && !a.background.wanted.Load()
	})
}

// evictor frees the pages that were allocated first.
type evictor struct {
	a    *Allocator
	kept []unsafe.Pointer // the test's goroutine allocates, and so reclaims
}

func (e *evictor) Reclaim(need int64) {
	for ; need > 0 && len(e.kept) > 0; need -= Size {
		e.a.Free(e.kept[0], 0)
		e.kept = e.kept[1:]
	}
}

// fillToLow takes pages until there is little room, and none on lists.
func fillToLow(t *testing.T, a *Allocator) (ps []unsafe.Pointer) {
	low, _ := a.marks()
	for a.room() >= low {
		p := a.Alloc(0, quiet)
		if p == nil {
			t.Fatal("no memory, though there is room")
		}
		if ps = append(ps, p); a.room() < low {
			a.flushLists()
			backgroundRests(t, a)
		}
	}
	return ps
}

func freeAll(a *Allocator, ps []unsafe.Pointer) {
	for _, p := range ps {
		a.Free(p, 0)
	}
}

// Background reclaim makes no round while there are waiters. If those asked for no more
// than they need, they would share what is freed, and all go on waiting.
func TestAWaiterPaysAPartOfWhatIsDue(t *testing.T) {
	a := newTest(t, Config{Limit: 8 << 20, ReclaimTimeout: 20 * time.Second})
	a.background.running.Store(true) // it gets no turn
	defer func() { a.background.running.Store(false); a.background.wanted.Store(false) }()
	ps := exhaust(a)
	var first int64
	a.AddReclaimer(&reclaimFunc{func(need int64) {
		if first == 0 {
			first = need
		}
		for ; need > 0; need -= Size {
			a.Free(ps[len(ps)-1], 0)
			ps = ps[:len(ps)-1]
		}
	}})
	p := a.Alloc(0, gfp.Kernel)
	if p == nil || first != dueNeeds*Size {
		t.Errorf("%p; a waiter for %d bytes asked for %d first, want %d", p, Size, first, dueNeeds*Size)
	}
	freeAll(a, append(ps, p))
}

// Where background reclaim gets its turn, no allocation waits at the limit, and no
// more is evicted than has to be.
func TestAllocationsAtTheLimitDoNotWait(t *testing.T) {
	a := newTest(t, Config{Limit: 8 << 20, ReclaimTimeout: 20 * time.Second})
	e := &evictor{a: a}
	a.AddReclaimer(e)
	least := int64(1 << 62)
	for i := range 3 * a.limit / Size {
		p := a.Alloc(0, gfp.Kernel)
		if p == nil {
			t.Fatal("refused")
		}
		e.kept = append(e.kept, p)
		backgroundRests(t, a)
		if i > 2*a.limit/Size {
			least = min(least, int64(len(e.kept))*Size)
		}
	}
	s := a.Stats()
	if s.Waits > 0 || s.Ahead == 0 {
		t.Errorf("%d allocations waited, %d rounds were made ahead of need", s.Waits, s.Ahead)
	}
	if want := a.limit / 20 * 19; least+s.OnLists+s.Metadata < want {
		t.Errorf("%d bytes kept of a limit of %d", least, a.limit)
	}
	a.RemoveReclaimer(e)
	freeAll(a, e.kept)
	backgroundRests(t, a)
}

func TestAWakeUpAtTheEndOfBackgroundReclaimIsNotLost(t *testing.T) {
	a := newTest(t, Config{Limit: 8 << 20})
	b := &a.background
	// The test is the goroutine, which has looked at wanted for the last time.
	b.running.Store(true)
	a.wakeBackground() // leaves it to that goroutine
	if !b.resume() {
		t.Error("it ends, and nobody makes the round that was wanted")
	}
	// It has cleared running, and not looked yet.
	b.wanted.Store(false)
	b.running.Store(false)
	b.wanted.Store(true)
	if !b.running.CompareAndSwap(false, true) {
		t.Fatal("somebody else runs")
	}
	if b.resume(); !b.running.Load() {
		t.Error("it ends, though a round is wanted")
	}
	b.wanted.Store(false)
	if b.resume() || b.running.Load() {
		t.Error("it does not end, though no round is wanted")
	}
	a.wakeBackground() // starts one
	backgroundRests(t, a)
}

// Where nothing can be reclaimed, rounds become rare.
func TestBackgroundReclaimRestsWhenItGainsNothing(t *testing.T) {
	a := newTest(t, Config{Limit: 8 << 20})
	ps := fillToLow(t, a)
	b := &a.background
	b.rest = 0
	for want := int64(restFirst); want < 2*restMost; want *= 2 {
		before := sys.Nanotime()
		a.backgroundRound()
		if b.rest != min(want, restMost) || b.restsTo.Load() < before+b.rest {
			t.Fatalf("rests for %d ns, want %d", b.rest, want)
		}
	}
	b.restsTo.Store(1 << 62)
	rounds := a.Stats().Ahead
	for range 10 {
		a.ranLow(Size, true)
	}
	if b.running.Load() || b.wanted.Load() || a.Stats().Ahead != rounds {
		t.Error("a round was made while it rests")
	}
	freeAll(a, ps)
}

// heldSource is a Source whose Hurry takes until it is let go.
type heldSource struct{ came, letGo chan bool }

func (s *heldSource) Reclaim(int64) {}
func (s *heldSource) Hurry() bool {
	s.came <- true
	<-s.letGo
	return false
}
func (s *heldSource) Release(pages.Stage, int64) int64 { return 0 }
func (s *heldSource) Stock() pages.Stock               { return pages.Stock{} }

// A background round and a waiter's are never made at the same time, and the waiter
// is not forgotten.
func TestBackgroundReclaimAndWaitersTakeTurns(t *testing.T) {
	a := newTest(t, Config{Limit: 8 << 20, ReclaimTimeout: 20 * time.Second})
	ps := fillToLow(t, a)
	a.background.restsTo.Store(1 << 62) // only the test makes rounds

	w := new(waiter)
	a.enter(w)
	before := a.Stats().Ahead
	if a.backgroundRound(); a.Stats().Ahead != before {
		t.Error("a round was made while a request waits")
	}
	a.leave(w, false)

	s := &heldSource{make(chan bool), make(chan bool)}
	a.AddReclaimer(s)
	round := testkit.Async(a.backgroundRound)
	<-s.came
	served := make(chan bool)
	tries := 0
	go func() {
		served <- a.wait(nil, 0, Size, func() bool { tries++; return tries > 1 })
	}()
	testkit.Eventually(t, 20*time.Second, "the waiter parks", func() bool {
		p := a.queue.lock()
		parked := a.queue.first != nil && a.queue.first.parked
		a.queue.unlock(p)
		return parked
	})
	a.RemoveReclaimer(s) // the waiter's own rounds don't need it
	s.letGo <- true
	<-round
	if !<-served {
		t.Error("the waiter was refused")
	}
	freeAll(a, ps)
}

// A goroutine that fills stock, or reclaims, clears running before it looks for the last
// time whether a round is wanted. Close in between has to wait for that round, in which
// it has pages in hand.
func TestCloseWaitsForARoundThatIsAboutToBegin(t *testing.T) {
	for what, round := range map[string]func(a *Allocator) (end func()){
		"stocking": func(a *Allocator) func() {
			a.stocking.wanted.Store(1)
			return func() { a.stocking.wanted.Store(0) }
		},
		"background": func(a *Allocator) func() {
			a.background.wanted.Store(true)
			return func() { a.background.wanted.Store(false) }
		},
	} {
		a, err := New(Config{Name: what, Limit: 8 << 20, Reserve: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		end := round(a)
		closed := testkit.Async(func() {
			if err := a.Close(); err != nil {
				t.Error(what, err)
			}
		})
		select {
		case <-closed:
			t.Errorf("%s: Close did not wait", what)
		case <-time.After(20 * time.Millisecond):
		}
		end()
		testkit.Within(t, "Close", closed)
	}
}
