package lock

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/percpu"
	"quiesce/internal/testkit"
	"quiesce/lockdep"
	"quiesce/lockdep/lockdeptest"
	"quiesce/preempt"
)

// Only the holder of a slot touches the slot's plain counter.
func TestLocalHolderHasItsSlotForItself(t *testing.T) {
	for _, way := range []string{"Lock", "TryLock"} {
		t.Run(way, func(t *testing.T) {
			const goroutines, each = 12, 1000
			var l Local
			var slots [64]struct {
				inside atomic.Int32
				n      int // owned by the holder
				_      [percpu.Line]byte
			}
			stop := churn()
			<-testkit.AsyncN(goroutines, func(int) {
				for i := range each {
					if way == "Lock" {
						l.Lock()
					} else {
						tryUntil(&l)
					}
					s := &slots[l.Slot()]
					if n := s.inside.Add(1); n != 1 {
						t.Errorf("%d goroutines hold slot %d", n, l.Slot())
					}
					s.n++
					if preempt.RT() && i%8 == 0 {
						runtime.Gosched() // the holder stays preemptible
					}
					s.inside.Add(-1)
					l.Unlock()
				}
			})
			stop()
			sum := 0
			for i := range slots {
				sum += slots[i].n
			}
			if sum != goroutines*each {
				t.Errorf("the slots count %d, want %d", sum, goroutines*each)
			}
		})
	}
}

func TestLocalGivesTheSlotOfTheHoldersP(t *testing.T) {
	var l Local
	var slot, id int
	lockdeptest.Expect(t, func() { // pinned, which is against the rules
		p := preempt.Disable() // so that the P is the same all along
		l.Lock()
		slot, id = l.Slot(), testkit.Here()
		l.Unlock()
		p.Enable()
	}, lockdep.InvalidWaitContext)
	if slot != id {
		t.Errorf("slot %d on P %d", slot, id)
	}
}

// With preempt_rt=1 the holder continues on another P and keeps its slot; with
// preempt_rt=0 it is pinned, so it can't.
func TestLocalHolderKeepsItsSlotWhenItMigrates(t *testing.T) {
	testkit.Procs(t, 4)
	var l Local
	l.Lock()
	slot := l.Slot()
	if !preempt.RT() {
		for range 1000 {
			if !preempt.Atomic() || l.Slot() != slot || testkit.Here() != slot {
				t.Fatal("the holder is not pinned to the P of its slot")
			}
		}
		l.Unlock()
		return
	}
	ping, stop := testkit.Company(3)
	for deadline := time.Now().Add(10 * time.Second); testkit.Here() == slot; {
		<-ping
		runtime.Gosched()
		if time.Now().After(deadline) {
			t.Fatal("the holder was not moved to another P in 10 s")
		}
	}
	if got := l.Slot(); got != slot {
		t.Errorf("Slot() = %d after the move, %d before", got, slot)
	}
	// No other goroutine gets the slot until then, on any P.
	done := testkit.AsyncN(50, func(int) {
		if l.TryLock() {
			if l.Slot() == slot {
				t.Errorf("slot %d is held twice", slot)
			}
			l.Unlock()
		}
	})
	stop()
	<-done
	l.Unlock()
	// Free again: every goroutine can have every slot.
	<-testkit.AsyncN(20, func(int) { pass(&l) })
}

func TestLocalTryLockOfAHeldSlotFails(t *testing.T) {
	var l Local
	lockdeptest.Expect(t, func() { // pinned, which is against the rules
		p := preempt.Disable() // the same slot every time
		defer p.Enable()
		l.Lock()
		if l.TryLock() {
			panic("the slot of this P was taken twice")
		}
		l.Unlock()
		if !l.TryLock() {
			panic("the slot is not free after Unlock")
		}
		l.Unlock()
	}, lockdep.InvalidWaitContext)
}
