package preempt

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"quiesce/internal/testkit"
)

func TestHardirqWaitsWhileInterruptsAreOffAndRunsInOrder(t *testing.T) {
	deferral{
		handle:  Hardirq,
		disable: func() func() { return DisableIRQ().Restore },
		left:    func() bool { return !Atomic() && !InHardirq() },
		more: []orderCase{
			{"pinned with interrupts on: runs at once", func(say func(string)) {
				p := Disable()
				Hardirq(func() { say("A") })
				say("after")
				p.Enable()
			}, "A after"},

			{"a section that ends pinned still runs them", func(say func(string)) {
				p := Disable()
				s := DisableIRQ()
				Hardirq(func() { say("A") })
				s.Restore()
				say("restored")
				p.Enable()
			}, "A restored"},
		},
	}.check(t)
}

// Interrupts are off on one P only, and a queued handler runs on the P, and
// on the goroutine, that asked for it.
func TestHardirqQueuesBelongToTheirP(t *testing.T) {
	testkit.KeepProcs(t)
	var wg sync.WaitGroup
	var ran, direct atomic.Int64
	const goroutines, rounds = 12, 300
	for g := range goroutines {
		wg.Go(func() {
			for i := range rounds {
				if i%10 == 0 && g == 0 {
					runtime.GOMAXPROCS([]int{4, 1, 9, 2}[i/10%4])
				}
				mine := 0
				s := DisableIRQ()
				for range 3 {
					Hardirq(func() { mine++; ran.Add(1) })
				}
				if mine != 0 {
					direct.Add(1)
				}
				s.Restore()
				if mine != 3 {
					t.Errorf("%d of 3 handlers ran before Restore returned", mine)
				}
			}
		})
	}
	wg.Wait()
	if got := ran.Load(); got != goroutines*rounds*3 {
		t.Errorf("%d handlers ran, want %d", got, goroutines*rounds*3)
	}
	if direct.Load() != 0 {
		t.Errorf("%d times a handler ran while interrupts were off", direct.Load())
	}
}
