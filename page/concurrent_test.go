package page

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/lockdep"
	"quiesce/lockdep/lockdeptest"
	"quiesce/preempt"
)

func TestNoLocksIsServedFromTheListOrNilUnderAHeldZoneLock(t *testing.T) {
	a := newTest(t, Config{})
	var ps []unsafe.Pointer
	refusals := uint64(0)
	for try := 0; len(ps) == 0; try++ {
		if try == 100 {
			t.Fatal("nothing came from the list")
		}
		a.Free(a.Alloc(0, gfp.Kernel), 0) // the refill stocks this P's list
		a.core.LockZone()
		pin := preempt.Disable() // now and then on another P
		for p := a.Alloc(0, quiet|gfp.NoLocks); p != nil; p = a.Alloc(0, quiet|gfp.NoLocks) {
			ps = append(ps, p)
		}
		big := a.Alloc(listOrders, gfp.Kernel|gfp.NoLocks|gfp.NoWarn)
		pin.Enable()
		a.core.UnlockZone()
		refusals += 2
		if big != nil {
			t.Error("an order without lists was served")
		}
	}
	if s := a.Stats(); s.Refusals != refusals || s.Failures != 0 {
		t.Errorf("%d refusals, %d failures, want %d, 0", s.Refusals, s.Failures, refusals)
	}
	for _, p := range ps {
		a.Free(p, 0)
	}
}

func TestFreeWorksInEveryContextWithTheZoneLockHeld(t *testing.T) {
	a := newTest(t, Config{})
	free := func(ps []unsafe.Pointer, o int) {
		for _, p := range ps {
			a.Free(p, o)
		}
	}
	for o := 0; o <= 5; o++ {
		var ps []unsafe.Pointer
		for range 250 {
			ps = append(ps, a.Alloc(o, gfp.Kernel))
		}
		a.core.LockZone()
		free(ps[:50], o)
		pin := preempt.Disable()
		free(ps[50:100], o)
		pin.Enable()
		preempt.Hardirq(func() { free(ps[100:150], o) })
		irq := preempt.DisableIRQ()
		free(ps[150:200], o)
		irq.Restore()
		preempt.Softirq(func() { free(ps[200:250], o) })
		a.core.UnlockZone()
	}
	idle(t, a)
	if s := a.Stats(); s.Frees != 6*250 {
		t.Errorf("%d frees: %+v", s.Frees, s)
	}
}

// idle waits until the allocator's goroutines have ended.
func idle(t *testing.T, a *Allocator) {
	t.Helper()
	for i := 0; ; i++ {
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "mergeLoop") && !a.merging.Load() &&
			!strings.Contains(stacks, "scavengeLoop") && !a.scavenging.Load() {
			return
		}
		if i > 20_000 { // the scavenger has some seconds
			t.Fatal("a goroutine stays:\n" + stacks)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestNoGoroutineWhenIdle(t *testing.T) {
	before := runtime.NumGoroutine()
	a := newTest(t, Config{})
	for range 3 {
		var ps []unsafe.Pointer
		for range 10 * deferBound {
			ps = append(ps, a.Alloc(0, gfp.Kernel))
		}
		for _, p := range ps {
			a.Free(p, 0)
		}
	}
	idle(t, a)
	if s := a.Stats(); s.Deferred > deferBound*Size {
		t.Errorf("%d bytes stay deferred, the bound is %d pages", s.Deferred, deferBound)
	}
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if i > 1000 {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestPinnedNoWaitTakesOnlyPopulatedBlocks(t *testing.T) {
	a := newTest(t, Config{})
	scavengedBlock := a.Alloc(7, gfp.Kernel)
	a.Free(scavengedBlock, 7)
	a.Shrink() // plenty is free, nothing populated
	// It takes the zone lock, which sleeps: against the rules.
	pinned := func() (p, q unsafe.Pointer) {
		lockdeptest.Expect(t, func() {
			p = allocPinned(a, 0, quiet)
			q = allocPinned(a, 5, gfp.Atomic|gfp.NoWarn)
		}, lockdep.InvalidWaitContext+": page.zone")
		return p, q
	}
	p, q := pinned()
	if p != nil || q != nil {
		t.Error("a pinned allocation populated a block")
	}
	a.Free(a.Alloc(7, gfp.Kernel), 7) // 128 populated pages
	p, q = pinned()
	if p == nil || q == nil {
		t.Error("a pinned allocation found no block though populated ones are free")
	} else {
		a.Free(p, 0)
		a.Free(q, 5)
	}
}

// churn runs workers that allocate, fill, check and free until stop is set,
// in and out of pinned sections.
func churn(t *testing.T, a *Allocator, workers int, stop *atomic.Bool) (done <-chan struct{}) {
	hand := make(chan held, 64) // blocks that another worker frees
	all := testkit.AsyncN(workers, func(id int) {
		r := rand.New(rand.NewPCG(uint64(id), 7))
		var mine []held
		drop := func(h held) {
			if !filled(h.p, h.order, h.b) {
				t.Errorf("worker %d: a block of order %d changed", id, h.order)
			}
			if r.IntN(2) == 0 {
				pin := preempt.Disable()
				a.Free(h.p, h.order)
				pin.Enable()
			} else {
				a.Free(h.p, h.order)
			}
		}
		for !stop.Load() {
			o := r.IntN(5)
			if r.IntN(50) == 0 {
				o = r.IntN(MaxOrder + 1)
			}
			var p unsafe.Pointer
			switch r.IntN(4) {
			case 0:
				pin := preempt.Disable()
				p = a.Alloc(o, quiet|gfp.NoLocks)
				pin.Enable()
			case 1:
				p = a.Alloc(o, gfp.Atomic|gfp.NoWarn)
			case 2:
				p = a.Alloc(o, gfp.Kernel|gfp.NoWarn)
			default:
				p = a.Alloc(o, quiet)
			}
			if p != nil {
				h := held{p, o, byte(r.Uint32())}
				fill(p, o, h.b)
				mine = append(mine, h)
			}
			if len(mine) > 40 || p == nil && len(mine) > 0 {
				i := r.IntN(len(mine))
				h := mine[i]
				mine[i] = mine[len(mine)-1]
				mine = mine[:len(mine)-1]
				select {
				case hand <- h:
				default:
					drop(h)
				}
			}
			select {
			case h := <-hand:
				drop(h)
			default:
			}
		}
		for _, h := range mine {
			drop(h)
		}
	})
	return testkit.Async(func() {
		<-all
		close(hand)
		for h := range hand {
			a.Free(h.p, h.order)
		}
	})
}

type held struct {
	p     unsafe.Pointer
	order int
	b     byte
}

func churnTime() time.Duration {
	if testing.Short() {
		return 100 * time.Millisecond
	}
	return 500 * time.Millisecond
}

func TestLimitHoldsUnderConcurrentChurn(t *testing.T) {
	for _, limit := range []int64{1 << 20, 12 << 20} {
		a := newTest(t, Config{Limit: limit, ReclaimTimeout: 2 * time.Millisecond})
		var stop atomic.Bool
		done := churn(t, a, 4, &stop)
		for end := time.Now().Add(churnTime()); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
			if s := a.Stats(); s.Resident > limit || s.Peak > limit {
				t.Errorf("resident %d, peak %d, limit %d", s.Resident, s.Peak, limit)
			}
			if r := residentNow(t, a); r > limit {
				t.Errorf("the system counts %d bytes resident, the limit is %d", r, limit)
			}
			if rand.IntN(20) == 0 {
				a.Shrink()
			}
		}
		stop.Store(true)
		<-done
		checkZone(t, a)
		if r, s := residentNow(t, a), a.Stats(); r > s.Resident {
			t.Errorf("the system counts %d bytes resident, Stats %d", r, s.Resident)
		}
	}
}

func TestGOMAXPROCSUpAndDownLosesNothing(t *testing.T) {
	testkit.KeepProcs(t)
	a := newTest(t, Config{})
	var stop atomic.Bool
	done := churn(t, a, 6, &stop)
	for end := time.Now().Add(churnTime()); time.Now().Before(end); time.Sleep(3 * time.Millisecond) {
		runtime.GOMAXPROCS(1 + rand.IntN(8))
	}
	runtime.GOMAXPROCS(1) // the others' lists must be found anyway
	stop.Store(true)
	<-done
	checkEmpty(t, a)
}

func TestShrinkAndFailedCloseDuringChurn(t *testing.T) {
	testkit.Procs(t, 4)
	a := newTest(t, Config{})
	keep := a.Alloc(0, gfp.Kernel)
	var stop atomic.Bool
	done := churn(t, a, 4, &stop)
	for range testkit.During(churnTime()) {
		a.Shrink()
		if a.Close() == nil {
			t.Fatal("Close with a page in use")
		}
	}
	stop.Store(true)
	<-done
	a.Free(keep, 0)
}

func TestConcurrentDoubleFreeHasOneWinner(t *testing.T) {
	a := newTest(t, Config{})
	for range 3000 {
		p := a.Alloc(0, gfp.Kernel)
		var panics, ready atomic.Int32
		<-testkit.AsyncN(2, func(int) {
			defer func() {
				if recover() != nil {
					panics.Add(1)
				}
			}()
			ready.Add(1)
			for i := 0; i < 10000 && ready.Load() < 2; i++ { // at the same time
			}
			a.Free(p, 0)
		})
		if panics.Load() != 1 {
			t.Fatalf("%d of two frees panicked", panics.Load())
		}
	}
}

func TestRevokingNeverSharesASlot(t *testing.T) {
	a := newTest(t, Config{})
	var stop atomic.Bool
	done := testkit.AsyncN(2, func(id int) {
		var ps [8]unsafe.Pointer
		for !stop.Load() {
			for i := range ps {
				if ps[i] = a.Alloc(0, quiet); ps[i] != nil {
					*(*uint64)(ps[i]) = uint64(id*8+i) + 1
				}
			}
			for i, p := range ps {
				if p == nil {
					continue
				}
				if *(*uint64)(p) != uint64(id*8+i)+1 {
					t.Error("a page has two owners")
					stop.Store(true)
					return
				}
				a.Free(p, 0)
			}
		}
	})
	for end := time.Now().Add(churnTime()); time.Now().Before(end) && !stop.Load(); {
		a.flushLists()
	}
	stop.Store(true)
	<-done
}

func BenchmarkAllocFree(b *testing.B) {
	a, err := New(Config{Name: b.Name()})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		a.Free(a.Alloc(0, gfp.NoWait), 0)
	}
	b.StopTimer()
	if err := a.Close(); err != nil {
		b.Error(err)
	}
}
