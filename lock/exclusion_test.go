package lock

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/option"
	"quiesce/internal/testkit"
	"quiesce/lockdep"
	"quiesce/lockdep/lockdeptest"
	"quiesce/preempt"
)

type locker interface {
	Lock()
	TryLock() bool
	Unlock()
}

type irqLocker interface {
	locker
	LockIRQ()
	UnlockIRQ()
}

var (
	_ irqLocker = (*Raw)(nil)
	_ irqLocker = (*Spin)(nil)
	_ irqLocker = (*RW)(nil)
	_ locker    = (*Mutex)(nil)
	_ locker    = (*Local)(nil)
)

// The kinds of which one lock excludes all others (Local excludes only
// from a slot). pins says that the holder is pinned.
var kinds = []struct {
	name string
	make func() locker
	pins bool
}{
	{"Raw", func() locker { return new(Raw) }, true},
	{"Spin", func() locker { return new(Spin) }, !preempt.RT()},
	{"RW", func() locker { return new(RW) }, !preempt.RT()},
	{"Mutex", func() locker { return new(Mutex) }, false},
}

// churn changes GOMAXPROCS until stop is called.
func churn() (stop func()) { return testkit.ChurnProcs(time.Millisecond, 8, 1, 4, 2) }

// The mode is read before main, where the go command's test cache does not see
// it; here it does.
func TestModeIsWhatTheEnvironmentSays(t *testing.T) {
	if preempt.RT() != option.Bool("preempt_rt") {
		t.Errorf("RT() = %v with QUIESCE=%q", preempt.RT(), os.Getenv("QUIESCE"))
	}
}

// The counter is plain: lost updates, and the race detector, tell.
func TestOneHolderAtATimeUnderGOMAXPROCSChanges(t *testing.T) {
	for _, k := range kinds {
		ways := map[string]struct{ lock, unlock func(locker) }{
			"Lock":    {locker.Lock, locker.Unlock},
			"TryLock": {func(l locker) { tryUntil(l) }, locker.Unlock},
		}
		if _, ok := k.make().(irqLocker); ok {
			ways["LockIRQ"] = struct{ lock, unlock func(locker) }{
				func(l locker) { l.(irqLocker).LockIRQ() },
				func(l locker) { l.(irqLocker).UnlockIRQ() },
			}
		}
		for name, way := range ways {
			t.Run(k.name+"/"+name, func(t *testing.T) {
				const goroutines, each = 8, 1500
				l, n := k.make(), 0
				stop := churn()
				<-testkit.AsyncN(goroutines, func(int) {
					for range each {
						way.lock(l)
						n++
						way.unlock(l)
					}
				})
				stop()
				if n != goroutines*each {
					t.Errorf("the counter is %d, want %d: two held the lock at once", n, goroutines*each)
				}
				if !l.TryLock() {
					t.Error("the lock is left locked")
				} else {
					l.Unlock()
				}
			})
		}
	}
}

func tryUntil(l locker) {
	for !l.TryLock() {
		runtime.Gosched()
	}
}

func TestHolderIsPinnedAsTheKindSays(t *testing.T) {
	for _, k := range append(kinds, struct {
		name string
		make func() locker
		pins bool
	}{"Local", func() locker { return new(Local) }, !preempt.RT()}) {
		l := k.make()
		for _, how := range []string{"Lock", "TryLock", "LockIRQ"} {
			il, irq := l.(irqLocker)
			switch {
			case how == "Lock":
				l.Lock()
			case how == "TryLock" && !l.TryLock():
				t.Errorf("%s: TryLock of a free lock failed", k.name)
				continue
			case how == "LockIRQ" && irq:
				il.LockIRQ()
			case how == "LockIRQ":
				continue
			}
			if got := preempt.Atomic(); got != k.pins {
				t.Errorf("%s.%s: holder pinned = %v, want %v", k.name, how, got, k.pins)
			}
			if how == "LockIRQ" {
				il.UnlockIRQ()
			} else {
				l.Unlock()
			}
			if preempt.Atomic() {
				t.Fatalf("%s.%s: pinned after the unlock", k.name, how)
			}
		}
	}
}

func TestTryLockOfAHeldLockFailsAndLeavesNoTrace(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			l := k.make()
			if !l.TryLock() {
				t.Fatal("TryLock of a free lock failed")
			}
			if l.TryLock() {
				t.Fatal("TryLock of a lock that this goroutine holds succeeded")
			}
			l.Unlock()
			if preempt.Atomic() {
				t.Fatal("a TryLock that failed left the goroutine pinned")
			}
			// Any context: also pinned, with the lock held elsewhere.
			var held, release atomic.Bool
			done := testkit.Async(func() {
				l.Lock()
				held.Store(true)
				for end := time.Now().Add(20 * time.Millisecond); !release.Load() && time.Now().Before(end); {
					if !k.pins {
						runtime.Gosched()
					}
				}
				held.Store(false)
				l.Unlock()
			})
			for range 100 {
				p := preempt.Disable()
				before := held.Load()
				got := l.TryLock()
				after := held.Load()
				if got {
					l.Unlock()
				}
				p.Enable()
				if before && after && got {
					t.Error("TryLock succeeded while another goroutine held the lock")
				}
				runtime.Gosched()
			}
			release.Store(true)
			<-done
		})
	}
}

// raw_spin_lock_irqsave: handlers wait for UnlockIRQ and find the lock free.
// With preempt_rt=1 a Spin does not disable interrupts, as in the kernel.
func TestLockIRQHoldsHardirqBackUntilTheLockIsFree(t *testing.T) {
	for _, c := range []struct {
		name  string
		lock  irqLocker
		waits bool
	}{
		{"Raw", new(Raw), true},
		{"Spin", new(Spin), !preempt.RT()},
		{"RW", new(RW), !preempt.RT()},
	} {
		t.Run(c.name, func(t *testing.T) {
			ran, free := false, false
			c.lock.LockIRQ()
			preempt.Hardirq(func() {
				ran = true
				if free = c.lock.TryLock(); free {
					c.lock.Unlock()
				}
			})
			if ran == c.waits {
				t.Errorf("handler ran under LockIRQ = %v, want %v", ran, !c.waits)
			}
			c.lock.UnlockIRQ()
			if !ran {
				t.Fatal("the handler has not run after UnlockIRQ")
			}
			if free != c.waits {
				t.Errorf("the handler found the lock free = %v, want %v", free, c.waits)
			}
		})
	}
}

// Hand-over-hand: sections of two raw locks overlap and don't nest.
func TestRawLocksMayBeReleasedInAnyOrder(t *testing.T) {
	var a, b, c Raw
	a.Lock()
	b.Lock()
	a.Unlock()
	c.LockIRQ()
	b.Unlock()
	var oneHeld bool
	lockdeptest.Expect(t, func() {
		a.LockIRQ() // an order that closes a circle, for the sake of the pins
		c.UnlockIRQ()
		oneHeld = preempt.Atomic()
		a.UnlockIRQ() // for whose end the report may wait
	}, lockdep.Circular)
	if noneHeld := preempt.Atomic(); !oneHeld || noneHeld {
		t.Errorf("pinned with one lock held: %v, with none: %v", oneHeld, noneHeld)
	}
}
