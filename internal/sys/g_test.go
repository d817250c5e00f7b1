package sys

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

func here() int {
	id := ProcPin()
	ProcUnpin()
	return id
}

// withProcs runs the test with at least n Ps.
func withProcs(t *testing.T, n int) {
	old := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(max(n, old))
	t.Cleanup(func() { runtime.GOMAXPROCS(old) })
}

func TestProcPinNests(t *testing.T) {
	id := ProcPin()
	for range 3 {
		if inner := ProcPin(); inner != id {
			t.Errorf("P changed from %d to %d in a pinned section", id, inner)
		}
	}
	for range 4 {
		ProcUnpin()
	}
	if id < 0 || id >= runtime.GOMAXPROCS(0) {
		t.Errorf("P number %d is not below GOMAXPROCS", id)
	}
}

func TestGIsStableAcrossMigration(t *testing.T) {
	withProcs(t, 4)
	// Company that keeps the other Ps busy, so that waking moves us about.
	stop := make(chan struct{})
	var wg sync.WaitGroup
	ping := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case ping <- struct{}{}:
				}
			}
		})
	}
	defer wg.Wait()
	defer close(stop)

	g := G()
	seen := map[int]bool{}
	for deadline := time.Now().Add(10 * time.Second); len(seen) < 2; {
		<-ping
		runtime.Gosched()
		seen[here()] = true
		if now := G(); now != g {
			t.Fatalf("G() changed from %#x to %#x", g, now)
		}
		if time.Now().After(deadline) {
			t.Fatal("the goroutine was never moved to another P in 10 s")
		}
	}
}

func TestGIsStableAcrossStackGrowth(t *testing.T) {
	g := G()
	var grow func(int) uintptr
	grow = func(n int) uintptr {
		var pad [1024]byte
		pad[n%len(pad)] = byte(n)
		if n == 0 {
			return G()
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
			ids <- G()
			<-stay
		})
	}
	seen := map[uintptr]bool{0: true, G(): true}
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
