package page

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/preempt"
)

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
		if s := a.Stats(); s.Reserve != 64<<10 || s.Resident-s.FreePopulated > s.Limit-s.Reserve {
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
		t.Errorf("only %d bytes available of a limit of 16 MiB: %+v", s.InUse, s)
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
	freed := testkit.Async(func() {
		time.Sleep(20 * time.Millisecond)
		a.Free(ps[0], 0)
	})
	p := a.Alloc(0, gfp.Kernel)
	<-freed
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
		off := preempt.DisableIRQ() // like every other taker of the lock
		locked := a.zone.lock.TryLock()
		if locked {
			a.zone.lock.Unlock()
		}
		off.Restore()
		if pinned || need != 2*Size || !locked {
			t.Errorf("pinned %v, need %d, zone lock available %v", pinned, need, locked)
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
	if n := len(slices.Collect(a.registered())); n != 0 {
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

func TestFailureWarningNamesTheAllocatorOnce(t *testing.T) {
	var out testkit.Buffer
	old := slog.Default()
	defer slog.SetDefault(old)
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	a := newTest(t, Config{Limit: 1 << 20, Name: "warner"})
	ps := exhaust(a)
	time.Sleep(5 * time.Millisecond)
	if s := out.String(); s != "" {
		t.Errorf("NoWarn warned: %s", s)
	}
	for range 3 {
		pin := preempt.Disable()
		a.Alloc(0, gfp.NoWait|gfp.NoLocks)
		pin.Enable()
	}
	testkit.Eventually(t, time.Second, "a warning", func() bool { return out.String() != "" })
	if s := out.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "warner") || !strings.Contains(s, "NoWait|NoLocks") || !strings.Contains(s, "limit=1048576") {
		t.Errorf("%q", s)
	}
	for _, p := range ps {
		a.Free(p, 0)
	}
}

// Pages of any order are served in raw atomic contexts though nobody ever
// allocates elsewhere.
func TestARefusedRawPageAllocationIsServedLater(t *testing.T) {
	a := newTest(t, Config{Limit: 64 << 20})
	for order := range MaxOrder + 1 {
		var p unsafe.Pointer
		for range 3 {
			testkit.Eventually(t, 5*time.Second, "a block after a refusal", func() bool {
				pin := preempt.Disable()
				p = a.Alloc(order, quiet|gfp.NoLocks)
				pin.Enable()
				return p != nil
			})
			defer a.Free(p, order)
		}
	}
}
