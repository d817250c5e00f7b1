package lockdep_test

import (
	"strings"
	"testing"

	"quiesce/lock"
	"quiesce/lockdep"
	"quiesce/preempt"
	"quiesce/rcu"
)

func TestMightSleepIsReportedWhereNothingMay(t *testing.T) {
	raw, spin, mu, rw := name(new(lock.Raw), "raw"), name(new(lock.Spin), "spin"), name(new(lock.Mutex), "mu"), name(new(lock.RW), "rw")
	under := func(l interface {
		Lock()
		Unlock()
	}) func(func()) {
		return func(fn func()) { l.Lock(); fn(); l.Unlock() }
	}
	for _, c := range []struct {
		name string
		in   func(func())
		bad  bool
	}{
		{"task", func(fn func()) { fn() }, false},
		{"under a Mutex", under(mu), false},
		{"under a Spin", under(spin), true},
		{"under an RW", under(rw), true},
		{"under a Raw", under(raw), true},
		{"pinned", func(fn func()) { p := preempt.Disable(); fn(); p.Enable() }, true},
		{"interrupts off", func(fn func()) { s := preempt.DisableIRQ(); fn(); s.Restore() }, true},
		{"hard interrupt handler", preempt.Hardirq, true},
		{"threaded handler", preempt.Threaded, true},
		{"softirq handler", preempt.Softirq, true},
		{"in ReadLock", func(fn func()) { g := rcu.ReadLock(); fn(); g.Unlock() }, lockdep.Tagged},
		{"in ReadLockBH", func(fn func()) { g := rcu.ReadLockBH(); fn(); g.Unlock() }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := collect(t)
			c.in(lockdep.MightSleep)
			if !c.bad {
				r.want(t, "MightSleep")
				return
			}
			got := r.want(t, "MightSleep", lockdep.Sleeping)
			if len(got) == 1 && !strings.Contains(got[0].Text, "\nBUG: sleeping function called from invalid context at ") {
				t.Errorf("the report:\n%s", got[0].Text)
			}
		})
	}
}

func TestTheReportOfASleeperHasTheKernelsFigures(t *testing.T) {
	r := collect(t)
	s := preempt.DisableIRQ()
	lockdep.MightSleep()
	s.Restore()
	got := r.want(t, "MightSleep with interrupts off", lockdep.Sleeping)
	if len(got) == 1 && !strings.Contains(got[0].Text, "in_atomic(): 1, irqs_disabled(): 1, goroutine ") {
		t.Errorf("the report:\n%s", got[0].Text)
	}
}

func TestTheLibrarysOwnWaitsMightSleep(t *testing.T) {
	spin := name(new(lock.Spin), "spin")
	for what, fn := range map[string]func(){
		"Synchronize":          rcu.Synchronize,
		"SynchronizeExpedited": rcu.SynchronizeExpedited,
		"CondSynchronize":      func() { rcu.CondSynchronize(rcu.GetState()) },
		"Barrier":              rcu.Barrier,
	} {
		r := collect(t)
		if !preempt.RT() {
			t.Skip("with preempt_rt=0 the holder of a Spin is pinned and the wait for a grace period ends the process")
		}
		spin.Lock()
		fn()
		spin.Unlock()
		r.want(t, what+" under a Spin", lockdep.Sleeping)
		fn()
		r.want(t, what+" in a task")
	}
}

func TestAGoroutineThatEndsWithALock(t *testing.T) {
	r := collect(t)
	m := name(new(lock.Mutex), "m")
	apart(func() {
		defer lockdep.CheckNoLocksHeld()
		m.Lock()
	})
	got := r.want(t, "CheckNoLocksHeld", lockdep.StillHeld)
	if len(got) == 1 && (len(got[0].Classes) != 1 || got[0].Classes[0] != "m") {
		t.Errorf("it is about %q, want m", got[0].Classes)
	}
	lockdep.CheckExited()
	r.want(t, "CheckExited: known already")

	n := name(new(lock.Mutex), "n")
	apart(n.Lock)
	stay, done := make(chan struct{}), make(chan struct{})
	o := name(new(lock.Mutex), "o")
	go func() {
		o.Lock()
		stay <- struct{}{}
		<-stay
		o.Unlock()
		close(done)
	}()
	<-stay
	lockdep.CheckExited()
	got = r.want(t, "CheckExited", lockdep.StillHeld)
	if len(got) == 1 && (len(got[0].Classes) != 1 || got[0].Classes[0] != "n") {
		t.Errorf("it is about %q, want n: o's holder lives", got[0].Classes)
	}
	close(stay)
	<-done
}
