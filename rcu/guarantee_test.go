package rcu

import (
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/preempt"
)

var updaters = []struct {
	name string
	wait func()
}{
	{"Synchronize", Synchronize},
	{"SynchronizeExpedited", SynchronizeExpedited},
	{"CondSynchronize", func() { CondSynchronize(GetState()) }},
	{"CondSynchronizeExpedited", func() { CondSynchronizeExpedited(GetState()) }},
	{"StartPoll", func() {
		for c := StartPoll(); !Poll(c); {
			runtime.Gosched()
		}
	}},
	{"Call", func() {
		c := make(chan struct{})
		Call(func() { close(c) })
		<-c
	}},
	{"Batch", func() {
		c := make(chan struct{})
		NewBatch("updater", func([]*int) { close(c) }).Add(new(int))
		<-c
	}},
	{"Barrier", func() {
		var ran atomic.Bool
		Call(func() { ran.Store(true) })
		Barrier()
		if !ran.Load() {
			panic("Barrier returned before the callback ran")
		}
	}},
}

// The reader says that it has ended just before it does. Whether the section
// really lasted beyond the request is counted, so that the test can't pass
// without any overlap.
func overlap(t *testing.T, section func(func()), wait func()) {
	var overlapped int
	for try := 0; overlapped < 3; try++ {
		if try == 300 {
			t.Fatal("no section lasted until the grace period was asked for in 300 tries")
		}
		var began, ended atomic.Bool
		reader := testkit.Async(func() {
			section(func() {
				began.Store(true)
				testkit.SpinFor(time.Millisecond)
				ended.Store(true)
			})
		})
		for !began.Load() {
			runtime.Gosched()
		}
		// A reader of that moment, if ended is false here.
		if !ended.Load() {
			overlapped++
		}
		wait()
		if !ended.Load() {
			t.Fatal("the grace period ended inside of a section that began before it")
		}
		<-reader
	}
}

func TestRA_SectionHasEndedWhenSynchronizeReturns(t *testing.T) {
	testkit.AtLeastProcs(t, 4)
	for _, f := range flavours {
		for _, u := range updaters {
			t.Run(f.name+"/"+u.name, func(t *testing.T) { overlap(t, f.section, u.wait) })
		}
	}
}

// Blocking in a preemptible section is tolerated.
func TestRA_SectionThatBlocksHasEndedWhenSynchronizeReturns(t *testing.T) {
	for _, u := range updaters {
		var ended atomic.Bool
		inside := make(chan struct{})
		go func() {
			g := ReadLock()
			close(inside)
			time.Sleep(5 * time.Millisecond)
			ended.Store(true)
			g.Unlock()
		}()
		<-inside
		u.wait()
		if !ended.Load() {
			t.Errorf("%s returned while a preemptible reader slept", u.name)
		}
	}
}

// The reader's P is gone when the grace period begins; its section is not.
func TestRA_SectionEnteredOnAPThatWentAwayIsWaitedFor(t *testing.T) {
	testkit.Procs(t, 8)
	var g Guard
	onP(t, func(id int) bool { return id >= 4 }, func() { g = ReadLock() })
	runtime.GOMAXPROCS(2)
	done := testkit.Async(Synchronize)
	time.Sleep(10 * time.Millisecond)
	if testkit.IsClosed(done) {
		t.Error("the grace period ended before the section did")
	}
	g.Unlock()
	testkit.Within(t, "the grace period after the section's end", done)
}

// (R-B) by its observable side: a section that is not waited for sees what the
// updater did before. Seen from one section: having read the old x, it can't
// read the y that was written after the grace period, however late.
func TestRB_SectionThatReadTheOldNeverSeesWhatFollowsTheGracePeriod(t *testing.T) {
	var x, y word
	stress(t, func(k uint64) {
		store(&x.v, k)
		Synchronize()
		store(&y.v, k)
	}, func() bool {
		old := load(&x.v)
		dawdle()
		return load(&y.v) <= old
	})
}

// (R-C), the litmus test RCU+sync+read: reader { x=1; y=1 }, updater { r0=x;
// sync; r1=y }; r0==1 && r1==0 is forbidden. One reader, whose stores count.
func TestRC_WhatASectionDidIsVisibleAfterTheGracePeriod_RCUsyncread(t *testing.T) {
	for _, f := range flavours {
		t.Run(f.name, func(t *testing.T) {
			var x, y word
			var stop atomic.Bool
			reader := testkit.Async(func() {
				for k := uint64(1); !stop.Load(); k++ {
					f.section(func() {
						store(&x.v, k)
						dawdle()
						store(&y.v, k)
					})
				}
			})
			seen := uint64(0)
			for begin := time.Now(); lasts(begin, seen > 0); {
				r0 := load(&x.v)
				Synchronize()
				if r1 := load(&y.v); r1 < r0 {
					t.Errorf("r0 = %d, r1 = %d: a section was seen half after its grace period", r0, r1)
					break
				}
				seen = r0
			}
			stop.Store(true)
			<-reader
			if seen == 0 {
				t.Error("the updater never saw the reader")
			}
		})
	}
}

// (R-D): a reader that came later stays; the grace period ends anyway.
func TestRD_GracePeriodIsNotHeldUpByALaterPreemptibleReader(t *testing.T) {
	for range 20 {
		old := index.Load()
		first := ReadLock()
		done := testkit.Async(Synchronize)
		// From the moment when the index changed over readers are late.
		testkit.Eventually(t, 30*time.Second, "the grace period begins", func() bool { return index.Load() != old })
		later := ReadLock()
		first.Unlock()
		testkit.Within(t, "the grace period with a later reader inside", done)
		later.Unlock()
	}
}

// One goroutine is in a section at every moment: it enters the next before it
// leaves the last.
func TestRD_OverlappingPreemptibleReadersDoNotHoldUpGracePeriods(t *testing.T) {
	var stop atomic.Bool
	done := testkit.AsyncN(3, func(int) {
		g := ReadLock()
		for !stop.Load() {
			h := ReadLock()
			g.Unlock()
			g = h
			runtime.Gosched()
		}
		g.Unlock()
	})
	testkit.Within(t, "50 grace periods", testkit.Async(func() {
		for range 50 {
			Synchronize()
		}
	}))
	stop.Store(true)
	<-done
}

// The P of the reader is in some section at practically every moment; only the
// change of QS lets the driver pass. Counted in sections of the reader, so that
// the speed of the machine doesn't matter: waiting for a moment outside of all
// sections takes hundreds, until the scheduler preempts the reader.
func TestRD_PThatIsAlwaysInSomeSectionPasses(t *testing.T) {
	testkit.Procs(t, 4)
	rounds, limit := 25, int64(60)
	if !sys.HasMembarrier() {
		// The driver stops the world, and the runtime's wish to do so may
		// have to be repeated for many sections until one heeds it.
		rounds, limit = 1, 1<<62
	}
	for _, f := range flavours {
		if !f.pinned {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			var stop atomic.Bool
			var sections atomic.Int64
			reader := testkit.Async(func() {
				for !stop.Load() {
					f.section(func() { testkit.SpinFor(50 * time.Microsecond) })
					sections.Add(1)
				}
			})
			testkit.Eventually(t, 30*time.Second, "the reader runs", func() bool { return sections.Load() > 0 })
			var took []int64
			testkit.Within(t, "grace periods", testkit.Async(func() {
				for range rounds {
					begin := sections.Load()
					Synchronize()
					took = append(took, sections.Load()-begin)
				}
			}))
			stop.Store(true)
			<-reader
			slices.Sort(took)
			if median := took[len(took)/2]; median > limit {
				t.Errorf("a grace period took %d sections of the reader, in the median of %v", median, took)
			}
		})
	}
}

// A reader may be delayed between its load of the index and its count, and
// then counts by an index that the driver does not use any more.
func TestRA_ReaderThatCountsByAStaleIndexIsWaitedFor(t *testing.T) {
	stale := index.Load() ^ 1
	p := preempt.Disable()
	id := testkit.Here()
	percpu.RegisterReader(id)
	c := percpu.Of(id)
	store(&c.Lock[stale], load(&c.Lock[stale])+1)
	p.Enable()
	for range 2 { // whatever the index is then
		done := testkit.Async(Synchronize)
		time.Sleep(5 * time.Millisecond)
		if testkit.IsClosed(done) {
			t.Error("the grace period ended before the section did")
		}
		defer testkit.Within(t, "the grace period", done)
	}
	g := Guard{idx: stale | guardLive}
	g.Unlock()
}

// A transient P: readers only left there, so that it is above the mark that
// entries raise, and the exit is not counted until FindReaders looks.
func TestRD_ExitOnAPWhereNobodyEnteredIsFound(t *testing.T) {
	testkit.Procs(t, 4)
	g := ReadLock()
	mark := percpu.Readers()
	runtime.GOMAXPROCS(mark + 8)
	onP(t, func(id int) bool { return id >= mark }, func() {
		g.Unlock()
		if testkit.Here() < percpu.Readers() {
			panic("the exit's P was registered: the test has lost its point")
		}
	})
	runtime.GOMAXPROCS(4)
	if percpu.Readers() > mark {
		t.Fatal("a reader entered on a P above the mark: the test has lost its point")
	}
	testkit.Within(t, "the grace period", testkit.Async(Synchronize))
	if percpu.Readers() <= mark {
		t.Error("the P is still above the mark after the grace period that had to find it")
	}
	testkit.Within(t, "the next grace period", testkit.Async(Synchronize))
}

// The same with a driver that sleeps already when the reader leaves: the end
// must not come later the longer the reader lasted. The shortest of some tries
// counts, because a busy machine can only add to it.
func TestRD_LateExitOnAPWhereNobodyEnteredIsFoundSoon(t *testing.T) {
	for _, c := range []struct {
		age, limit time.Duration
		tries      int
	}{
		{2 * time.Millisecond, 15 * time.Millisecond, 5},
		{700 * time.Millisecond, 200 * time.Millisecond, 1},
	} {
		t.Run(c.age.String(), func(t *testing.T) {
			testkit.Procs(t, 4)
			best := time.Hour
			for range c.tries {
				runtime.GOMAXPROCS(4)
				g := ReadLock()
				mark := percpu.Readers()
				done := testkit.Async(Synchronize)
				time.Sleep(c.age)
				runtime.GOMAXPROCS(mark + 8)
				onP(t, func(id int) bool { return id >= mark }, func() { g.Unlock() })
				left := time.Now()
				testkit.Within(t, "the grace period", done)
				best = min(best, time.Since(left))
			}
			if best > c.limit {
				t.Errorf("the grace period went on for %v after its last reader had left, who lasted %v", best, c.age)
			}
		})
	}
}

// A grace period looks at all the Ps that there are, also those that came while it
// waits: a reader may leave on one where nobody entered.
func TestRD_AGracePeriodLooksAtPsThatCameSinceItBegan(t *testing.T) {
	testkit.Procs(t, 4)
	g := ReadLock()
	done := testkit.Async(Synchronize)
	ps := percpu.Readers() + 8
	runtime.GOMAXPROCS(ps)
	testkit.Eventually(t, 10*time.Second, "a look at the new Ps", func() bool { return percpu.Readers() >= ps })
	g.Unlock()
	testkit.Within(t, "the grace period", done)
}

// Nested sections end with the outermost, in whichever order.
func TestRA_GracePeriodWaitsForTheLastOfNestedSections(t *testing.T) {
	a, b := ReadLock(), ReadLock()
	done := testkit.Async(Synchronize)
	a.Unlock()
	time.Sleep(5 * time.Millisecond)
	if testkit.IsClosed(done) {
		t.Error("the grace period ended with the first of two nested sections")
	}
	p := preempt.Disable() // an exit counts pinned as well
	b.Unlock()
	p.Enable()
	testkit.Within(t, "the grace period", done)
}

// A reader left on a P that is gone and on which no reader entered: its exit is
// above the mark, until the driver looks for such Ps.
func TestRD_ExitOnAPThatIsGoneIsFound(t *testing.T) {
	g := ReadLock()
	gone := max(percpu.Readers(), runtime.GOMAXPROCS(0)) + 20
	exits := &percpu.Of(gone).Unlock[g.idx&guardIndex]
	store(exits, load(exits)+1) // g.Unlock, as if on that P
	testkit.Within(t, "the grace period", testkit.Async(Synchronize))
}

// The QS of a P changes with the outermost exit only.
func TestRA_APinnedSectionLastsBeyondInnerOnes(t *testing.T) {
	testkit.AtLeastProcs(t, 4)
	overlapped := 0 // rounds in which the section went on when the grace period was asked for
	for try := 0; overlapped < 20 && try < 1000; try++ {
		var ended atomic.Bool
		began := make(chan struct{})
		reader := testkit.Async(func() {
			p := preempt.Disable()
			close(began)
			// For a bounded time: until then the world can't be stopped.
			for end := sys.Nanotime() + int64(2*time.Millisecond); sys.Nanotime() < end; {
				q := preempt.Disable()
				q.Enable()
			}
			ended.Store(true)
			p.Enable()
		})
		<-began
		if !ended.Load() {
			overlapped++
		}
		Synchronize()
		if !ended.Load() {
			t.Fatal("the grace period ended with an inner section")
		}
		<-reader
	}
	if overlapped == 0 {
		t.Error("no section lasted until the grace period was asked for")
	}
}
