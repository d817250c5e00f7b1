package preempt

import (
	"quiesce/internal/testkit"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Each case tells the order of events: what the task does in small words, the
// handlers by capital letters.
func TestHardirqWaitsWhileInterruptsAreOffAndRunsInOrder(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(say func(string))
		want string
	}{
		{"on: runs at once", func(say func(string)) {
			say("before")
			Hardirq(func() { say("A") })
			say("after")
		}, "before A after"},

		{"pinned with interrupts on: runs at once", func(say func(string)) {
			p := Disable()
			Hardirq(func() { say("A") })
			say("after")
			p.Enable()
		}, "A after"},

		{"off: queued, run by Restore in the order asked for", func(say func(string)) {
			s := DisableIRQ()
			Hardirq(func() { say("A") })
			Hardirq(func() { say("B") })
			Hardirq(func() { say("C") })
			say("queued")
			s.Restore()
			say("restored")
		}, "queued A B C restored"},

		{"nested: only the outermost Restore runs them", func(say func(string)) {
			s1 := DisableIRQ()
			s2 := DisableIRQ()
			Hardirq(func() { say("A") })
			s2.Restore()
			say("inner")
			Hardirq(func() { say("B") })
			s1.Restore()
			say("outer")
		}, "inner A B outer"},

		{"out of order: the last Restore runs them", func(say func(string)) {
			s1 := DisableIRQ()
			s2 := DisableIRQ()
			Hardirq(func() { say("A") })
			s1.Restore()
			say("first")
			s2.Restore()
			say("last")
		}, "first A last"},

		{"a handler asks for another: after its own end", func(say func(string)) {
			Hardirq(func() {
				say("A")
				Hardirq(func() { say("B") })
				say("A-ends")
			})
			say("after")
		}, "A A-ends B after"},

		{"queued handlers queue handlers: behind those that wait", func(say func(string)) {
			s := DisableIRQ()
			Hardirq(func() {
				say("A")
				Hardirq(func() {
					say("C")
					Hardirq(func() { say("D") })
				})
			})
			Hardirq(func() { say("B") })
			s.Restore()
			say("restored")
		}, "A B C D restored"},

		{"interrupts off and on again in a handler: nothing runs inside it", func(say func(string)) {
			Hardirq(func() {
				s := DisableIRQ()
				Hardirq(func() { say("B") })
				s.Restore()
				say("A-ends")
			})
		}, "A-ends B"},

		{"a section that ends pinned still runs them", func(say func(string)) {
			p := Disable()
			s := DisableIRQ()
			Hardirq(func() { say("A") })
			s.Restore()
			say("restored")
			p.Enable()
		}, "A restored"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var said []string
			c.run(func(s string) { said = append(said, s) })
			if got := strings.Join(said, " "); got != c.want {
				t.Errorf("order of events: %s\nwant:            %s", got, c.want)
			}
			if Atomic() || InHardirq() {
				t.Error("the context is not left")
			}
		})
	}
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
