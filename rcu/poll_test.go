package rcu

import (
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"quiesce/internal/option"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
)

// The mode is read before main, where the go command's test cache does not see
// it; here it does.
func TestModeIsWhatTheEnvironmentSays(t *testing.T) {
	if !option.Bool("membarrier") && sys.HasMembarrier() {
		t.Errorf("HasMembarrier() with QUIESCE=%q", os.Getenv("QUIESCE"))
	}
}

func TestCookieIsNotDoneEarlyAndIsDoneAfter(t *testing.T) {
	for _, c := range []struct {
		name   string
		get    func() Cookie
		finish func(Cookie)
	}{
		{"GetState, CondSynchronize", GetState, CondSynchronize},
		{"GetState, CondSynchronizeExpedited", GetState, CondSynchronizeExpedited},
		{"GetState, Synchronize", GetState, func(Cookie) { Synchronize() }},
		{"StartPoll, CondSynchronize", StartPoll, CondSynchronize},
		{"StartPoll, by itself", StartPoll, func(c Cookie) {
			for end := time.Now().Add(20 * time.Second); !Poll(c) && time.Now().Before(end); {
				time.Sleep(100 * time.Microsecond)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := ReadLock()
			cookie := c.get()
			if Poll(cookie) {
				t.Error("done when it was taken, with a reader inside")
			}
			waiting := testkit.Async(Synchronize) // a driver
			time.Sleep(3 * time.Millisecond)
			if Poll(cookie) || testkit.IsClosed(waiting) {
				t.Error("done while a reader from before is inside")
			}
			g.Unlock()
			testkit.Within(t, "the end", testkit.Async(func() { c.finish(cookie) }))
			if !Poll(cookie) {
				t.Error("not done after the grace period")
			}
			testkit.Within(t, "Synchronize", waiting)
			before := ReadStats().GracePeriods
			CondSynchronize(cookie)
			if n := ReadStats().GracePeriods - before; n != 0 {
				t.Errorf("CondSynchronize of a cookie that is done drove %d grace periods", n)
			}
		})
	}
}

// Nobody drives GetState's grace period.
func TestGetStatePromisesNothing(t *testing.T) {
	idle(t)
	c, before := GetState(), ReadStats().GracePeriods
	time.Sleep(3 * time.Millisecond)
	if Poll(c) || ReadStats().GracePeriods != before {
		t.Error("a grace period ran although no caller wanted one")
	}
}

// A grace period that runs already may have begun before the unlinking.
func TestCookieTakenDuringAGracePeriodBelongsToTheNext(t *testing.T) {
	for name, get := range map[string]func() Cookie{"GetState": GetState, "StartPoll": StartPoll} {
		old := index.Load()
		first := ReadLock()
		running := testkit.Async(Synchronize)
		testkit.Eventually(t, 30*time.Second, "the grace period begins", func() bool { return index.Load() != old })
		second := ReadLock() // not waited for by the running one
		c := get()
		first.Unlock()
		testkit.Within(t, "the running grace period", running)
		time.Sleep(3 * time.Millisecond)
		if Poll(c) {
			t.Errorf("%s: done by the grace period that ran when it was taken", name)
		}
		second.Unlock()
		testkit.Within(t, "the next grace period", testkit.Async(func() { CondSynchronize(c) }))
	}
}

// In every context; the grace period then ends by itself.
func TestStartPollFromEveryContextEndsByItself(t *testing.T) {
	for _, f := range flavours {
		var c Cookie
		var early bool
		f.section(func() {
			c = StartPoll()
			testkit.SpinFor(100 * time.Microsecond)
			early = Poll(c)
		})
		if early {
			t.Errorf("%s: done inside of the section that took it", f.name)
		}
		testkit.Eventually(t, 30*time.Second, f.name+": the grace period", func() bool { return Poll(c) })
	}
}

func TestStartPollFromManyGoroutinesEndsEveryCookie(t *testing.T) {
	<-testkit.AsyncN(8, func(int) {
		for range 50 {
			c := StartPoll()
			for end := time.Now().Add(20 * time.Second); !Poll(c); time.Sleep(50 * time.Microsecond) {
				if time.Now().After(end) {
					t.Error("a cookie was forgotten")
					return
				}
			}
		}
	})
}

func TestConcurrentCallersShareGracePeriods(t *testing.T) {
	for _, u := range updaters[:3] {
		t.Run(u.name, func(t *testing.T) {
			const callers = 200
			g := ReadLock()
			before := ReadStats().GracePeriods
			var asked atomic.Int32
			done := testkit.AsyncN(callers, func(int) {
				asked.Add(1)
				u.wait()
			})
			testkit.Eventually(t, 30*time.Second, "everybody has asked", func() bool { return asked.Load() == callers })
			time.Sleep(20 * time.Millisecond)
			g.Unlock()
			testkit.Within(t, "all callers", done)
			if n := ReadStats().GracePeriods - before; n > callers/5 {
				t.Errorf("%d grace periods for %d callers", n, callers)
			}
		})
	}
}

func TestReadStatsCounts(t *testing.T) {
	Barrier()
	before := ReadStats()
	Synchronize()
	SynchronizeExpedited()
	CondSynchronizeExpedited(GetState())
	after := ReadStats()
	if n := after.GracePeriods - before.GracePeriods; n < 3 {
		t.Errorf("GracePeriods rose by %d, want 3 or more", n)
	}
	if n := after.Expedited - before.Expedited; n != 2 {
		t.Errorf("Expedited rose by %d, want 2", n)
	}
}

// "Callbacks: registered by Call": what Barrier puts in the queues for itself
// is not among them.
func TestReadStatsCountsTheCallbacksOfCallOnly(t *testing.T) {
	Barrier()
	idle(t)
	before := ReadStats()
	for range 10 {
		Call(func() {})
	}
	Barrier()
	idle(t)
	after := ReadStats()
	if n := after.Callbacks - before.Callbacks; n != 10 {
		t.Errorf("Callbacks rose by %d after 10 Calls and a Barrier", n)
	}
	if n := after.Invoked - before.Invoked; n != 10 {
		t.Errorf("Invoked rose by %d after 10 Calls and a Barrier", n)
	}
}

// Waiting for grace periods works inside a bubble of testing/synctest: real
// time passes there, no fake timer is needed, and no goroutine remains.
func TestSynctestBubbleSeesGracePeriodsEnd(t *testing.T) {
	for _, u := range updaters {
		idle(t) // a worker that was started outside would run the callbacks there
		t.Run(u.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var ended atomic.Bool
				go func() {
					g := ReadLock()
					testkit.SpinFor(3 * time.Millisecond)
					ended.Store(true)
					g.Unlock()
				}()
				synctest.Wait() // the reader has come and gone
				u.wait()
				if !ended.Load() {
					t.Error("synctest.Wait returned before the reader ended")
				}
				if d := time.Since(begin); d != 0 {
					t.Errorf("fake time advanced by %v", d)
				}
			})
		})
	}
	idle(t)
}

// A Barrier inside a bubble, while the callback worker was started outside of
// it. Fatal when it fails, so in a child.
func TestSynctestBarrierWaitsForAWorkerOutsideOfTheBubble(t *testing.T) {
	if out, err := child("barrier in a bubble"); err != nil {
		t.Errorf("%v\n%.1200s", err, out)
	}
}
