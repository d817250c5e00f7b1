package preempt

import (
	"runtime"
	"slices"
	"testing"

	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
)

// state is what a section leaves in its P's words.
type state struct{ nest, qs, off uint64 }

//go:norace
func look(c *percpu.CPU) state { return state{c.Nest, c.QS, uint64(c.IRQOff)} }

// A script begins and ends sections: letters name tokens, a capital letter
// begins (A, B, C with preemption disabled; X, Y, Z with interrupts too), the
// small letter ends. After every step: the depth, the quiescent states, the
// depth of disabled interrupts.
func TestSectionsNestAndEndInAnyOrder(t *testing.T) {
	for _, c := range []struct {
		script string
		want   []state
	}{
		{"Aa", []state{{1, 0, 0}, {0, 1, 0}}},
		{"ABba", []state{{1, 0, 0}, {2, 0, 0}, {1, 0, 0}, {0, 1, 0}}},
		{"ABab", []state{{1, 0, 0}, {2, 0, 0}, {1, 0, 0}, {0, 1, 0}}}, // ended in the order they began
		{"ABaCbc", []state{{1, 0, 0}, {2, 0, 0}, {1, 0, 0}, {2, 0, 0}, {1, 0, 0}, {0, 1, 0}}},
		{"AaBb", []state{{1, 0, 0}, {0, 1, 0}, {1, 1, 0}, {0, 2, 0}}},
		{"Xx", []state{{1, 0, 1}, {0, 1, 0}}},
		{"XYxy", []state{{1, 0, 1}, {2, 0, 2}, {1, 0, 1}, {0, 1, 0}}},
		{"AXax", []state{{1, 0, 0}, {2, 0, 1}, {1, 0, 1}, {0, 1, 0}}},
		{"XAxa", []state{{1, 0, 1}, {2, 0, 1}, {1, 0, 0}, {0, 1, 0}}},
	} {
		t.Run(c.script, func(t *testing.T) {
			// One pin under all keeps the test on its P; it is not a section.
			cpu := percpu.Pin()
			base := look(cpu)
			var got []state
			pins := map[rune]Pinned{}
			irqs := map[rune]IRQState{}
			for _, op := range c.script {
				switch {
				case op >= 'A' && op <= 'C':
					pins[op+32] = Disable()
				case op >= 'X' && op <= 'Z':
					irqs[op+32] = DisableIRQ()
				case op >= 'a' && op <= 'c':
					pins[op].Enable()
				default:
					irqs[op].Restore()
				}
				s := look(cpu)
				got = append(got, state{s.nest - base.nest, s.qs - base.qs, s.off - base.off})
			}
			sys.ProcUnpin()
			if !slices.Equal(got, c.want) {
				t.Errorf("{nest qs irqoff} = %v, want %v", got, c.want)
			}
		})
	}
}

func TestPinnedGoroutineStaysOnItsP(t *testing.T) {
	testkit.AtLeastProcs(t, 4)
	<-testkit.AsyncN(8, func(int) {
		for range 200 {
			p := Disable()
			for range 20 {
				q := Disable()
				if q.cpu != p.cpu {
					panic("a pinned goroutine changed its P")
				}
				q.Enable()
			}
			p.Enable()
			runtime.Gosched()
		}
	})
}

// No section survives a change of GOMAXPROCS, so that every P's words are at
// rest when no goroutine is inside.
func TestNoPLeavesASectionOpenAfterGOMAXPROCSChanges(t *testing.T) {
	testkit.KeepProcs(t)
	stop := make(chan struct{})
	done := testkit.AsyncN(8, func(int) {
		for {
			select {
			case <-stop:
				return
			default:
			}
			a, s := Disable(), DisableIRQ()
			a.Enable()
			Hardirq(func() {})
			s.Restore()
			Hardirq(func() {})
			runtime.Gosched()
		}
	})
	for i := range 100 {
		runtime.GOMAXPROCS([]int{16, 1, 5, 2}[i%4])
		runtime.Gosched()
	}
	close(stop)
	<-done
	for id := range 16 {
		c := percpu.Of(id)
		if s := look(c); s.nest != 0 || s.off != 0 || c.Hardirq != 0 || c.IRQPending != 0 {
			t.Errorf("P %d is left with nest %d, IRQs off %d, in hardirq %d, pending %d",
				id, s.nest, s.off, c.Hardirq, c.IRQPending)
		}
	}
}
