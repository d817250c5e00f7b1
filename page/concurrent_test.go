package page

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
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
		if !strings.Contains(stacks, "drainLoop") && !a.draining.Load() {
			return
		}
		if i > 1000 {
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
			pin := preempt.Disable()
			p = a.Alloc(0, quiet)
			q = a.Alloc(5, gfp.Atomic|gfp.NoWarn)
			pin.Enable()
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

func TestAtomicMayUseTheReserve(t *testing.T) {
	a := newTest(t, Config{Limit: 4 << 20})
	take := func(f gfp.Flags) (ps []unsafe.Pointer) {
		for p := a.Alloc(4, f); p != nil; p = a.Alloc(4, f) { // 64 KiB: as much as the reserve, not on lists
			ps = append(ps, p)
		}
		return ps
	}
	for round := range 2 { // in the second, all memory is populated and free
		normal := take(quiet)
		if s := a.Stats(); s.Mark != 64<<10 || s.Resident-s.FreePopulated > s.Limit-s.Mark {
			t.Errorf("round %d: NoWait went into the reserve: %+v", round, s)
		}
		if p := a.Alloc(4, gfp.NoWait|gfp.NoWarn); p != nil {
			t.Error("NoWait")
		}
		atomics := take(gfp.Atomic | gfp.NoWarn)
		if len(atomics) == 0 {
			t.Errorf("round %d: Atomic got nothing of the reserve: %+v", round, a.Stats())
		}
		for _, p := range append(normal, atomics...) {
			a.Free(p, 4)
		}
	}
}

func TestLimitIsReachableAndPopulatedMemoryMovesBetweenOrders(t *testing.T) {
	a := newTest(t, Config{Limit: 16 << 20, ReclaimTimeout: 50 * time.Millisecond})
	var ps []unsafe.Pointer
	for p := a.Alloc(0, quiet); p != nil; p = a.Alloc(0, quiet) {
		ps = append(ps, p)
	}
	if s := a.Stats(); s.InUse+s.OnLists < 15<<20 {
		t.Errorf("only %d bytes to be had of a limit of 16 MiB: %+v", s.InUse, s)
	}
	// Every second page free: no order 1, but their memory serves it elsewhere.
	for i := 0; i < len(ps); i += 2 {
		a.Free(ps[i], 0)
	}
	n := 0
	var big []unsafe.Pointer
	for p := a.Alloc(4, gfp.Kernel|gfp.NoWarn); p != nil && n < 1000; p = a.Alloc(4, gfp.Kernel|gfp.NoWarn) {
		big = append(big, p)
		n++
	}
	if n < 100 {
		t.Errorf("%d blocks of order 4 from 7.5 MiB of scattered pages: %+v", n, a.Stats())
	}
	if s := a.Stats(); s.Scavenged == 0 || s.Peak > s.Limit {
		t.Errorf("%+v", s)
	}
	checkZone(t, a)
	for i := 1; i < len(ps); i += 2 {
		a.Free(ps[i], 0)
	}
	for _, p := range big {
		a.Free(p, 4)
	}
}

func TestKernelWaitsForMemoryThatAnotherGoroutineFrees(t *testing.T) {
	a := newTest(t, Config{Limit: 2 << 20, ReclaimTimeout: 20 * time.Second})
	ps := exhaust(a)
	go func() {
		time.Sleep(20 * time.Millisecond)
		a.Free(ps[0], 0)
	}()
	p := a.Alloc(0, gfp.Kernel)
	if p == nil {
		t.Fatal("nil")
	}
	a.Free(p, 0)
	for _, p := range ps[1:] {
		a.Free(p, 0)
	}
}

// exhaust takes pages until there are none, those on other Ps' lists
// included.
func exhaust(a *Allocator) (ps []unsafe.Pointer) {
	for {
		for p := a.Alloc(0, quiet); p != nil; p = a.Alloc(0, quiet) {
			ps = append(ps, p)
		}
		if a.flushLists(); a.Stats().Deferred == 0 {
			return ps
		}
	}
}

func TestKernelGivesUpAfterTheReclaimTimeout(t *testing.T) {
	a := newTest(t, Config{Limit: 2 << 20, ReclaimTimeout: 60 * time.Millisecond})
	ps := exhaust(a)
	start := time.Now()
	if p := a.Alloc(0, gfp.Kernel|gfp.NoWarn); p != nil {
		t.Fatal("memory out of nothing")
	}
	if d := time.Since(start); d < 60*time.Millisecond || d > 5*time.Second {
		t.Errorf("gave up after %v, ReclaimTimeout is 60 ms", d)
	}
	start = time.Now()
	if p := a.Alloc(9, gfp.Kernel|gfp.NoWarn); p != nil {
		t.Fatal("2 MiB of data and metadata in a limit of 2 MiB")
	}
	if p := a.Alloc(0, quiet); p != nil {
		t.Error("NoWait")
	}
	if d := time.Since(start); d > 50*time.Millisecond {
		t.Errorf("waited %v for what can never be", d)
	}
	for _, p := range ps {
		a.Free(p, 0)
	}
}

type reclaimFunc struct{ fn func(int64) }

func (r *reclaimFunc) Reclaim(need int64) { r.fn(need) }

func TestReclaimersAreAskedUnpinnedAndTheirMemoryIsUsed(t *testing.T) {
	a := newTest(t, Config{Limit: 2 << 20, ReclaimTimeout: 20 * time.Second})
	ps := exhaust(a)
	calls := 0
	r := &reclaimFunc{func(need int64) {
		calls++
		pinned := preempt.Atomic()
		off := preempt.DisableIRQ() // as all who take the lock
		locked := a.zone.lock.TryLock()
		if locked {
			a.zone.lock.Unlock()
		}
		off.Restore()
		if pinned || need != 2*Size || !locked {
			t.Errorf("pinned %v, need %d, zone lock to be had %v", pinned, need, locked)
			return
		}
		for range 64 {
			a.Free(ps[len(ps)-1], 0)
			ps = ps[:len(ps)-1]
		}
	}}
	a.AddReclaimer(r)
	p := a.Alloc(1, gfp.Kernel)
	if p == nil || calls == 0 {
		t.Fatalf("%p after %d calls", p, calls)
	}
	a.RemoveReclaimer(r)
	if n := len(a.reclaimersNow()); n != 0 {
		t.Errorf("%d reclaimers", n)
	}
	a.Free(p, 1)
	for _, p := range ps {
		a.Free(p, 0)
	}
}

func TestOtherPsListsServeKernelAllocationsAtTheLimit(t *testing.T) {
	testkit.Procs(t, 4)
	a := newTest(t, Config{Limit: 8 << 20, ReclaimTimeout: 20 * time.Second})
	ps := exhaust(a)
	var wg sync.WaitGroup
	for i := range 4 { // some of this ends on other Ps' lists
		wg.Go(func() {
			for _, p := range ps[i*len(ps)/4 : (i+1)*len(ps)/4] {
				a.Free(p, 0)
			}
		})
	}
	wg.Wait()
	n := len(ps)
	ps = ps[:0]
	for range n {
		p := a.Alloc(0, gfp.Kernel|gfp.NoWarn)
		if p == nil {
			t.Fatalf("%d of %d pages found again: %+v", len(ps), n, a.Stats())
		}
		ps = append(ps, p)
	}
	for _, p := range ps {
		a.Free(p, 0)
	}
}

// churn runs workers that allocate, fill, check and free until stop is set,
// in and out of pinned sections.
func churn(t *testing.T, a *Allocator, workers int, stop *atomic.Bool) *sync.WaitGroup {
	var wg sync.WaitGroup
	hand := make(chan held, 64) // blocks that another worker frees
	for id := range workers {
		wg.Go(func() {
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
	}
	var all sync.WaitGroup
	all.Go(func() {
		wg.Wait()
		close(hand)
		for h := range hand {
			a.Free(h.p, h.order)
		}
	})
	return &all
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
		wg := churn(t, a, 4, &stop)
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
		wg.Wait()
		checkZone(t, a)
		if r, s := residentNow(t, a), a.Stats(); r > s.Resident {
			t.Errorf("the system counts %d bytes resident, Stats %d", r, s.Resident)
		}
	}
}

func TestGOMAXPROCSUpAndDownLosesNothing(t *testing.T) {
	procs := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(procs)
	a := newTest(t, Config{})
	var stop atomic.Bool
	wg := churn(t, a, 6, &stop)
	for end := time.Now().Add(churnTime()); time.Now().Before(end); time.Sleep(3 * time.Millisecond) {
		runtime.GOMAXPROCS(1 + rand.IntN(8))
	}
	runtime.GOMAXPROCS(1) // the others' lists must be found all the same
	stop.Store(true)
	wg.Wait()
	checkEmpty(t, a)
}

func TestShrinkAndFailedCloseDuringChurn(t *testing.T) {
	testkit.Procs(t, 4)
	a := newTest(t, Config{})
	keep := a.Alloc(0, gfp.Kernel)
	var stop atomic.Bool
	wg := churn(t, a, 4, &stop)
	for end := time.Now().Add(churnTime()); time.Now().Before(end); {
		a.Shrink()
		if a.Close() == nil {
			t.Fatal("Close with a page in use")
		}
	}
	stop.Store(true)
	wg.Wait()
	a.Free(keep, 0)
}

func TestFailureWarningNamesTheAllocatorOnce(t *testing.T) {
	var mu sync.Mutex
	var out bytes.Buffer
	old := slog.Default()
	defer slog.SetDefault(old)
	slog.SetDefault(slog.New(slog.NewTextHandler(writer(func(b []byte) {
		mu.Lock()
		defer mu.Unlock()
		out.Write(b)
	}), nil)))
	a := newTest(t, Config{Limit: 1 << 20, Name: "warner"})
	ps := exhaust(a)
	time.Sleep(5 * time.Millisecond)
	mu.Lock()
	if out.Len() != 0 {
		t.Errorf("NoWarn warned: %s", out.String())
	}
	mu.Unlock()
	for range 3 {
		pin := preempt.Disable()
		a.Alloc(0, gfp.NoWait|gfp.NoLocks)
		pin.Enable()
	}
	got := func() string { mu.Lock(); defer mu.Unlock(); return out.String() }
	for i := 0; i < 1000 && got() == ""; i++ {
		time.Sleep(time.Millisecond)
	}
	if s := got(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "warner") || !strings.Contains(s, "NoWait|NoLocks") || !strings.Contains(s, "limit=1048576") {
		t.Errorf("%q", s)
	}
	for _, p := range ps {
		a.Free(p, 0)
	}
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

func TestConcurrentDoubleFreeHasOneWinner(t *testing.T) {
	a := newTest(t, Config{})
	for range 3000 {
		p := a.Alloc(0, gfp.Kernel)
		var panics, ready atomic.Int32
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
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
		}
		wg.Wait()
		if panics.Load() != 1 {
			t.Fatalf("%d of two frees panicked", panics.Load())
		}
	}
}

func TestRevokingNeverSharesASlot(t *testing.T) {
	a := newTest(t, Config{})
	var stop atomic.Bool
	var wg sync.WaitGroup
	for id := range 2 {
		wg.Go(func() {
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
	}
	for end := time.Now().Add(churnTime()); time.Now().Before(end) && !stop.Load(); {
		a.flushLists()
	}
	stop.Store(true)
	wg.Wait()
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
