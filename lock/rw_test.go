package lock

import (
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/lockdep"
	"quiesce/lockdep/lockdeptest"
	"quiesce/preempt"
)

// calm keeps the world running: with preempt_rt=0 a test holds the lock,
// pinned, until another goroutine is seen to wait for it, and nobody gets
// anywhere if the collector wants to stop the world in between.
func calm(t *testing.T) {
	testkit.AtLeastProcs(t, 4)
	runtime.GC() // what is under way ends here
	old := debug.SetGCPercent(-1)
	t.Cleanup(func() { debug.SetGCPercent(old) })
}

// until spins, pinned or not.
func until(cond func() bool) {
	for !cond() {
		if preempt.Atomic() {
			sys.Yield()
		} else {
			runtime.Gosched()
		}
	}
}

func headWaits(l *RW) bool { return l.state.Load()&rwHead != 0 }

// waiting starts how in another goroutine, and returns when it is the head of
// the queue. What follows comes after it. The channel closes at its end.
func waiting(l *RW, how func(), then func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		how()
		then()
		close(done)
	}()
	until(func() bool { return headWaits(l) })
	return done
}

// What each way in does in each state, without waiting. The state is made and
// left by enter and leave; a writer that waits is another goroutine.
func TestRWLetsInReadersOrOneWriter(t *testing.T) {
	calm(t)
	nothing := func(*RW) {}
	type state struct {
		name         string
		enter, leave func(*RW)
		waiter       bool
	}
	states := []state{
		{"free", nothing, nothing, false},
		{"read", (*RW).RLock, (*RW).RUnlock, false},
		{"read by RLockRecursive", (*RW).RLockRecursive, (*RW).RUnlock, false},
		{"read twice", func(l *RW) { l.RLock(); l.RLockRecursive() }, func(l *RW) { l.RUnlock(); l.RUnlock() }, false},
		{"read, a writer waits", (*RW).RLock, (*RW).RUnlock, true},
		{"written", (*RW).Lock, (*RW).Unlock, false},
		{"written by TryLock", func(l *RW) { l.TryLock() }, (*RW).Unlock, false},
		{"written, a writer waits", (*RW).Lock, (*RW).Unlock, true},
	}
	recursive := func(l *RW) bool {
		if l.state.Load()&rwWriter != 0 {
			return false // it would wait
		}
		l.RLockRecursive()
		return true
	}
	actions := []struct {
		name  string
		enter func(*RW) bool
		leave func(*RW)
		ok    string // by state
	}{
		{"TryLock", (*RW).TryLock, (*RW).Unlock, "yes no no no no no no no"},
		{"TryRLock", (*RW).TryRLock, (*RW).RUnlock, "yes yes yes yes no no no no"},
		{"RLockRecursive", recursive, (*RW).RUnlock, "yes yes yes yes yes no no no"},
	}
	for _, a := range actions {
		for i, want := range strings.Fields(a.ok) {
			s := states[i]
			l := new(RW)
			s.enter(l)
			var writer <-chan struct{}
			if s.waiter {
				writer = waiting(l, l.Lock, l.Unlock)
			}
			got := "no"
			if a.enter(l) {
				got = "yes"
				a.leave(l)
			}
			s.leave(l)
			if s.waiter {
				<-writer
			}
			if got != want {
				t.Errorf("%s: %s gets in: %s, want %s", s.name, a.name, got, want)
			}
			if preempt.Atomic() {
				t.Fatalf("%s, %s: left pinned", s.name, a.name)
			}
			if l.state.Load() != 0 || l.parked.Load() != nil {
				t.Errorf("%s, %s: left with state %#x", s.name, a.name, l.state.Load())
			}
		}
	}
}

// The order of events while A reads: W asks to write, B to read. Small letters
// end a section.
func TestRWWaitersHaveTheirTurn(t *testing.T) {
	calm(t)
	for _, c := range []struct {
		name  string
		rlock func(*RW)
		want  string
	}{
		{"a reader waits after the writer that waits", (*RW).RLock, "A a W w B b"},
		{"a recursive reader does not", (*RW).RLockRecursive, "A B b a W w"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The reader that waits can't be seen to do so. If it didn't, it
			// would get in before A's end in some of the rounds.
			for range 50 {
				var l RW
				var mu Raw // not a sync.Mutex: with preempt_rt=0 the events are pinned
				said := make([]string, 0, 8)
				say := func(s string) { mu.Lock(); said = append(said, s); mu.Unlock() }
				var asks, in atomic.Bool

				l.RLock()
				say("A")
				w := waiting(&l, l.Lock, func() { say("W"); say("w"); l.Unlock() })
				b := make(chan struct{})
				go func() {
					asks.Store(true)
					c.rlock(&l)
					in.Store(true)
					say("B")
					say("b")
					l.RUnlock()
					close(b)
				}()
				until(asks.Load)
				if strings.HasPrefix(c.want, "A B") {
					until(func() bool { mu.Lock(); defer mu.Unlock(); return len(said) == 3 })
				} else {
					for n := 0; n < 200 && !in.Load(); n++ {
						sys.Yield()
					}
				}
				say("a")
				l.RUnlock()
				<-w
				<-b
				if got := strings.Join(said, " "); got != c.want {
					t.Fatalf("order of events: %s\nwant:            %s", got, c.want)
				}
			}
		})
	}
}

// Nested in its own goroutine with a writer waiting: RLock would wait for ever.
func TestRWRecursiveReaderNestsWithAWriterWaiting(t *testing.T) {
	calm(t)
	var l RW
	l.RLock()
	w := waiting(&l, l.Lock, l.Unlock)
	l.RLockRecursive()
	l.RLockRecursive()
	l.RUnlock()
	l.RUnlock()
	if !headWaits(&l) {
		panic("the writer came in while a reader had the lock")
	}
	l.RUnlock()
	<-w
}

// Every reader stays until all are inside.
func TestRWReadersShare(t *testing.T) {
	calm(t)
	for name, lock := range map[string]func(*RW){
		"RLock": (*RW).RLock, "RLockRecursive": (*RW).RLockRecursive, "TryRLock": func(l *RW) { until(l.TryRLock) },
	} {
		t.Run(name, func(t *testing.T) {
			const readers = 3 // fewer than Ps
			var l RW
			var inside atomic.Int32
			<-testkit.AsyncN(readers, func(int) {
				lock(&l)
				inside.Add(1)
				until(func() bool { return inside.Load() == readers })
				l.RUnlock()
			})
		})
	}
}

// Two plain words that a writer changes one after the other: readers see them
// equal. The race detector looks as well.
func TestRWExcludesUnderGOMAXPROCSChanges(t *testing.T) {
	ways := []struct {
		name           string
		enter, leave   func(*RW)
		renter, leave2 func(*RW)
	}{
		{"Lock and RLock", (*RW).Lock, (*RW).Unlock, (*RW).RLock, (*RW).RUnlock},
		{"Lock and RLockRecursive", (*RW).Lock, (*RW).Unlock, (*RW).RLockRecursive, (*RW).RUnlock},
		{"LockIRQ and RLockIRQ", (*RW).LockIRQ, (*RW).UnlockIRQ, (*RW).RLockIRQ, (*RW).RUnlockIRQ},
		{"TryLock and TryRLock", func(l *RW) { tryUntil(l) }, (*RW).Unlock, func(l *RW) { until(l.TryRLock) }, (*RW).RUnlock},
		{"all readers at once", (*RW).Lock, (*RW).Unlock, func(l *RW) {
			l.RLock()
			l.RLockRecursive()
			if l.TryRLock() {
				l.RUnlock()
			}
		}, func(l *RW) { l.RUnlock(); l.RUnlock() }},
	}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			const writers, readers, each = 3, 5, 1000
			var l RW
			var a, b int
			stop := churn()
			var torn atomic.Int32
			written := testkit.AsyncN(writers, func(int) {
				for i := range each {
					w.enter(&l)
					a++
					if i%8 == 0 {
						sys.Yield() // let another goroutine check in between
					}
					b++
					w.leave(&l)
				}
			})
			read := testkit.AsyncN(readers, func(int) {
				for range each {
					w.renter(&l)
					if a != b {
						torn.Add(1)
					}
					w.leave2(&l)
				}
			})
			<-written
			<-read
			stop()
			if a != writers*each || b != a {
				t.Errorf("the counters are %d and %d, want %d", a, b, writers*each)
			}
			if torn.Load() != 0 {
				t.Errorf("%d readers saw a writer's work half done", torn.Load())
			}
			if s := l.state.Load(); s != 0 || l.parked.Load() != nil || l.owner.Load() != 0 {
				t.Errorf("the lock is left with state %#x", s)
			}
		})
	}
}

// Either side gets in while the other never lets up.
func TestRWStarvesNobody(t *testing.T) {
	for _, c := range []struct {
		name                       string
		many, leave, one, leaveOne func(*RW)
	}{
		{"a reader among writers", (*RW).Lock, (*RW).Unlock, (*RW).RLock, (*RW).RUnlock},
		{"a recursive reader among writers", (*RW).Lock, (*RW).Unlock, (*RW).RLockRecursive, (*RW).RUnlock},
		{"a writer among readers", (*RW).RLock, (*RW).RUnlock, (*RW).Lock, (*RW).Unlock},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l RW
			var stop atomic.Bool
			crowd := testkit.AsyncN(3, func(int) {
				for !stop.Load() {
					c.many(&l)
					sys.Pause(100)
					c.leave(&l)
					if !preempt.RT() {
						runtime.Gosched() // pinned nearly all the time, it could hardly be preempted
					}
				}
			})
			done := make(chan struct{})
			go func() {
				for range 20 {
					c.one(&l)
					c.leaveOne(&l)
					runtime.Gosched()
				}
				close(done)
			}()
			select {
			case <-done:
			case <-time.After(time.Minute):
				t.Error("20 turns were not had in a minute")
			}
			stop.Store(true)
			<-crowd
		})
	}
}

func TestRWReaderIsPinnedAsTheModeSays(t *testing.T) {
	var l RW
	for _, c := range []struct {
		name         string
		enter, leave func(*RW)
		irqOff       bool
	}{
		{"RLock", (*RW).RLock, (*RW).RUnlock, false},
		{"RLockRecursive", (*RW).RLockRecursive, (*RW).RUnlock, false},
		{"TryRLock", func(l *RW) { l.TryRLock() }, (*RW).RUnlock, false},
		{"RLockIRQ", (*RW).RLockIRQ, (*RW).RUnlockIRQ, true},
		{"LockIRQ", (*RW).LockIRQ, (*RW).UnlockIRQ, true},
	} {
		c.enter(&l)
		pinned, off := preempt.Atomic(), preempt.IRQDisabled()
		c.leave(&l)
		if pinned != !preempt.RT() || off != (c.irqOff && !preempt.RT()) {
			t.Errorf("%s: pinned %v, interrupts off %v with RT() = %v", c.name, pinned, off, preempt.RT())
		}
		if preempt.Atomic() || preempt.IRQDisabled() {
			t.Fatalf("%s is not left", c.name)
		}
	}
}

func TestRWRLockIRQHoldsHardirqBackUntilTheLockIsFree(t *testing.T) {
	var l RW
	var ran, free, inside bool
	l.RLockIRQ()
	lockdeptest.Expect(t, func() {
		// By a reader already, against the rule: with a writer between the two it
		// would wait for ever.
		l.RLockIRQ()
		preempt.Hardirq(func() {
			ran = true
			if free = l.TryLock(); free {
				l.Unlock()
			}
		})
		l.RUnlockIRQ()
		inside = ran
		l.RUnlockIRQ() // for whose end the report may wait
	}, lockdep.Recursion)
	if inside != preempt.RT() || !ran || free == preempt.RT() {
		t.Errorf("handler ran inside %v, at all %v, found the lock free %v with RT() = %v", inside, ran, free, preempt.RT())
	}
}
