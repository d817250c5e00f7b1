//quiescevet:ignore lockdep is to report what these tests do

package lockdep_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"quiesce/internal/depcheck"
	"quiesce/lock"
	"quiesce/lockdep"
	"quiesce/preempt"
)

// cmd/quiesce/internal/locktest has the whole matrix and every family of orders;
// here is what a lock's user is promised, one rule a test.

type named interface{ Init(string) }

func name[L named](l L, name string) L {
	l.Init(name)
	return l
}

func TestAnOrderIsKnownFromOneRunOfEach(t *testing.T) {
	r := collect(t)
	a, b := name(new(lock.Mutex), "A"), name(new(lock.Mutex), "B")
	apart(func() { a.Lock(); b.Lock(); b.Unlock(); a.Unlock() })
	r.want(t, "A before B")
	apart(func() { b.Lock(); a.Lock(); a.Unlock(); b.Unlock() })
	got := r.want(t, "B before A", lockdep.Circular)
	if len(got) == 1 && !slices.Equal(got[0].Classes, []string{"A", "B"}) {
		t.Errorf("the circle is %q, want A, B", got[0].Classes)
	}
	if got := lockdep.Orders(); !slices.Equal(got, []lockdep.Order{{From: "A", To: "B"}}) {
		t.Errorf("orders %v, want A before B: a fault is not learned", got)
	}
}

func TestOneReportForEachDistinctFault(t *testing.T) {
	r := collect(t)
	raw, a, b := name(new(lock.Raw), "raw"), name(new(lock.Spin), "A"), name(new(lock.Spin), "B")
	under := func(l *lock.Spin) {
		raw.Lock()
		l.Lock()
		l.Unlock()
		raw.Unlock()
	}
	for range 10 {
		under(a)
	}
	r.want(t, "the same fault ten times", lockdep.InvalidWaitContext)
	under(b)
	r.want(t, "another lock at the same place", lockdep.InvalidWaitContext)
	apart(func() { under(a); under(b) })
	r.want(t, "both again, on another goroutine")
	lockdep.Reset()
	under(a)
	r.want(t, "after Reset", lockdep.InvalidWaitContext)
	if s := lockdep.ReadStats(); s.Suppressed < 10 {
		t.Errorf("%d faults were counted as known, want 10 and more", s.Suppressed)
	}
}

func TestLocksOfOneNameAreOneClass(t *testing.T) {
	r := collect(t)
	a1, a2, b := name(new(lock.Mutex), "A"), name(new(lock.Mutex), "A"), name(new(lock.Mutex), "B")
	nest(a1, b)
	nest(b, a2)
	r.want(t, "B before another A", lockdep.Circular)
	nest(a1, a2)
	r.want(t, "two of a class", lockdep.Recursion)
}

func TestTheSameNameOfAnotherKindIsAnotherClass(t *testing.T) {
	r := collect(t)
	m, s := name(new(lock.Mutex), "A"), name(new(lock.Spin), "A")
	nest(m, s)
	r.want(t, "a Spin A under a Mutex A")
}

func TestALockWithoutANameHasTheClassOfItsFirstPlace(t *testing.T) {
	r := collect(t)
	take := func(l *lock.Mutex) { l.Lock() } // one place for all
	var a, b lock.Mutex
	take(&a)
	take(&b)
	got := r.want(t, "two from one place", lockdep.Recursion)
	if len(got) == 1 && (len(got[0].Classes) != 1 || !strings.Contains(got[0].Classes[0], "lockdep_test.TestALock")) {
		t.Errorf("the class is %q, want the place in this test", got[0].Classes)
	}
	b.Unlock()
	a.Unlock()
	var c lock.Mutex
	nest(&a, &c)
	r.want(t, "one from another place")
}

func TestSubclassesNestInOneOrder(t *testing.T) {
	r := collect(t)
	a, b := name(new(lock.Mutex), "A"), name(new(lock.Mutex), "A")
	a.Lock()
	b.LockNested(1)
	r.want(t, "1 under 0")
	b.Unlock()
	a.Unlock()
	b.LockNested(1)
	a.Lock()
	r.want(t, "0 under 1", lockdep.Circular)
	a.Unlock()
	b.Unlock()
	a.LockNested(1)
	b.LockNested(1)
	r.want(t, "1 under 1", lockdep.Recursion)
	b.Unlock()
	a.Unlock()
}

func TestATryLockMakesNoOrderButItsHolderDoes(t *testing.T) {
	r := collect(t)
	a, b, c := name(new(lock.Mutex), "A"), name(new(lock.Mutex), "B"), name(new(lock.Mutex), "C")
	a.Lock()
	if !b.TryLock() {
		t.Fatal("TryLock of a free lock failed")
	}
	c.Lock()
	c.Unlock()
	b.Unlock()
	a.Unlock()
	want := []lockdep.Order{{From: "B", To: "C"}, {From: "A", To: "C"}}
	if got := lockdep.Orders(); !slices.Equal(got, want) {
		t.Errorf("orders %v, want %v", got, want)
	}
	nest(b, a)
	r.want(t, "B before A")
	raw, spin := name(new(lock.Raw), "raw"), name(new(lock.Spin), "spin")
	raw.Lock()
	if spin.TryLock() {
		spin.Unlock()
	}
	raw.Unlock()
	r.want(t, "a TryLock that may not wait")
	if raw.TryLock() {
		spin.Lock()
		spin.Unlock()
		raw.Unlock() // or the report may wait for the end of the pinned section
		r.want(t, "a wait under a lock that TryLock got", lockdep.InvalidWaitContext)
	}
}

// A circle that a third lock makes harmless is reported anyway, as by the kernel's
// lockdep.
func TestAGateLockDoesNotHideACircle(t *testing.T) {
	r := collect(t)
	gate, a, b := name(new(lock.Mutex), "gate"), name(new(lock.Mutex), "A"), name(new(lock.Mutex), "B")
	for _, order := range [][2]*lock.Mutex{{a, b}, {b, a}} {
		nest(gate, order[0], order[1])
	}
	r.want(t, "both orders under one gate", lockdep.Circular)
}

func TestALongCircleIsNamedInItsOrder(t *testing.T) {
	r := collect(t)
	const n = 12
	var ls [n]lock.Mutex
	var want []string
	for i := range ls {
		ls[i].Init(fmt.Sprint("L", i))
		want = append(want, fmt.Sprint("L", i))
	}
	for i := range n - 1 {
		nest(&ls[i], &ls[i+1])
	}
	nest(&ls[n-1], &ls[0])
	got := r.want(t, "the last before the first", lockdep.Circular)
	if len(got) == 1 && !slices.Equal(got[0].Classes, want) {
		t.Errorf("the circle is %q, want %q", got[0].Classes, want)
	}
}

func TestUnlockOfWhatIsNotHeld(t *testing.T) {
	for _, k := range []struct {
		name string
		l    interface {
			Lock()
			Unlock()
		}
	}{{"Raw", new(lock.Raw)}, {"Spin", new(lock.Spin)}, {"Mutex", new(lock.Mutex)}, {"RW", new(lock.RW)}} {
		t.Run(k.name, func(t *testing.T) {
			r := collect(t)
			k.l.Lock()
			k.l.Unlock()
			k.l.Unlock()
			r.want(t, "a second Unlock", lockdep.UnlockBalance)
			k.l.Lock()
			k.l.Unlock()
			r.want(t, "the lock is as good as before")
		})
	}
}

func TestUnlockByAnotherGoroutineIsReportedAndDone(t *testing.T) {
	r := collect(t)
	m := name(new(lock.Mutex), "m")
	m.Lock()
	apart(m.Unlock)
	r.want(t, "handed over", lockdep.UnlockBalance)
	if m.Held() {
		t.Error("the goroutine that took the lock has it still")
	}
	if !m.TryLock() {
		t.Fatal("the lock was not released")
	}
	m.Unlock()
	r.want(t, "its first holder holds nothing more")
}

func TestInitOfAHeldLock(t *testing.T) {
	r := collect(t)
	m := name(new(lock.Mutex), "m")
	m.Lock()
	m.Init("n")
	got := r.want(t, "Init under Lock", lockdep.HeldLockInit)
	if len(got) == 1 && !strings.Contains(got[0].Text, "TestInitOfAHeldLock") {
		t.Errorf("the report does not say where the lock was taken:\n%s", got[0].Text)
	}
}

func TestHeldKnowsTheGoroutine(t *testing.T) {
	collect(t)
	m := name(new(lock.Mutex), "m")
	if m.Held() {
		t.Error("held before Lock")
	}
	m.Lock()
	if !m.Held() {
		t.Error("not held after Lock")
	}
	apart(func() {
		if m.Held() {
			t.Error("held by another goroutine")
		}
	})
	m.Unlock()
	if m.Held() {
		t.Error("held after Unlock")
	}
}

func TestMightLockIsCheckedAsLock(t *testing.T) {
	r := collect(t)
	raw, spin := name(new(lock.Raw), "raw"), name(new(lock.Spin), "spin")
	raw.Lock()
	spin.MightLock()
	raw.Unlock()
	r.want(t, "MightLock under a Raw", lockdep.InvalidWaitContext)
	if spin.Held() {
		t.Error("MightLock took the lock")
	}
}

func TestAnOverrideRaisesTheContextButNotThatOfAPinnedGoroutine(t *testing.T) {
	r := collect(t)
	proof := &depcheck.Type{Name: "proof", Inner: depcheck.WaitSleep, Kind: depcheck.WaitOverride}
	var m depcheck.Map
	m.Init("proof")
	spin, mu := name(new(lock.Spin), "spin"), name(new(lock.Mutex), "mu")
	if preempt.RT() { // else the Spin pins
		spin.Lock()
		end := m.Annotate(proof)
		mu.Lock()
		mu.Unlock()
		r.want(t, "a Mutex under a Spin that the annotation allows")
		end()
		mu.Lock()
		mu.Unlock()
		r.want(t, "after its end", lockdep.InvalidWaitContext)
		spin.Unlock()
	}
	p := preempt.Disable()
	end := m.Annotate(proof)
	mu.Lock()
	mu.Unlock()
	end()
	p.Enable()
	r.want(t, "pinned", lockdep.InvalidWaitContext)
}

func TestALockOfAUsersOwnIsCheckedByItsMap(t *testing.T) {
	r := collect(t)
	ty := &depcheck.Type{Name: "user.Lock", Inner: depcheck.WaitSleep}
	var m depcheck.Map
	m.Init("own")
	mu := name(new(lock.Mutex), "mu")
	m.Acquire(ty, depcheck.Exclusive)
	m.Acquired()
	mu.Lock()
	mu.Unlock()
	if m.Release(true) != depcheck.Ours {
		t.Error("the lock was not this goroutine's")
	}
	mu.Lock()
	m.Acquire(ty, depcheck.Exclusive)
	m.Release(true)
	mu.Unlock()
	r.want(t, "the other order", lockdep.Circular)
}

func TestAnInterruptHandlerHasAChainOfItsOwn(t *testing.T) {
	r := collect(t)
	a, b := name(new(lock.Raw), "A"), name(new(lock.Raw), "B")
	s := preempt.DisableIRQ()
	a.Lock()
	s.Restore()
	preempt.Hardirq(func() { b.Lock(); b.Unlock() })
	a.Unlock()
	if got := lockdep.Orders(); len(got) != 0 {
		t.Errorf("orders %v: what an interrupt interrupted is before nothing of its own", got)
	}
	r.want(t, "B in a handler")
	b.Lock()
	b.Unlock()
	r.want(t, "B with interrupts on", lockdep.InconsistentState)
}

func TestALocksHoldersMayBeMany(t *testing.T) {
	if !preempt.RT() {
		return // a reader is pinned, and the lock itself knows who unlocks it
	}
	r := collect(t)
	rw := name(new(lock.RW), "rw")
	rw.RLock()
	apart(func() {
		rw.RLock()
		rw.RUnlock()
		rw.RUnlock()
	})
	r.want(t, "one RUnlock too many here, which was another reader's", lockdep.UnlockBalance)
	rw.Lock() // free: both are gone
	rw.Unlock()
}
