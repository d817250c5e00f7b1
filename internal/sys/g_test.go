package sys_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"quiesce/internal/sys"
	"quiesce/internal/testkit"
)

func TestProcPinNests(t *testing.T) {
	id := sys.ProcPin()
	for range 3 {
		if inner := sys.ProcPin(); inner != id {
			t.Errorf("P changed from %d to %d in a pinned section", id, inner)
		}
	}
	for range 4 {
		sys.ProcUnpin()
	}
	if id < 0 || id >= runtime.GOMAXPROCS(0) {
		t.Errorf("P number %d is not below GOMAXPROCS", id)
	}
}

func TestGIsStableAcrossMigration(t *testing.T) {
	testkit.AtLeastProcs(t, 4)
	ping, stop := testkit.Company(3)
	defer stop()

	g := sys.G()
	seen := map[int]bool{}
	for deadline := time.Now().Add(10 * time.Second); len(seen) < 2; {
		<-ping
		runtime.Gosched()
		seen[testkit.Here()] = true
		if now := sys.G(); now != g {
			t.Fatalf("G() changed from %#x to %#x", g, now)
		}
		if time.Now().After(deadline) {
			t.Fatal("the goroutine was never moved to another P in 10 s")
		}
	}
}

func TestGIsStableAcrossStackGrowth(t *testing.T) {
	g := sys.G()
	var grow func(int) uintptr
	grow = func(n int) uintptr {
		var pad [1024]byte
		pad[n%len(pad)] = byte(n)
		if n == 0 {
			return sys.G()
		}
		return grow(n-1) + uintptr(pad[0])*0
	}
	if got := grow(1000); got != g {
		t.Errorf("G() = %#x deep in the stack, %#x before", got, g)
	}
}

func TestGDiffersBetweenLiveGoroutines(t *testing.T) {
	const n = 1000
	ids := make(chan uintptr, n)
	stay := make(chan struct{})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			ids <- sys.G()
			<-stay
		})
	}
	seen := map[uintptr]bool{0: true, sys.G(): true}
	for range n {
		id := <-ids
		if seen[id] {
			t.Errorf("G() = %#x is zero or belongs to two live goroutines", id)
		}
		seen[id] = true
	}
	close(stay)
	wg.Wait()
}
