package lockdep_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"quiesce/internal/depcheck"
	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/lockdep"
	"quiesce/preempt"
)

// silent fails the test if there was a report, or a goroutine is still listed.
func (w *witness) silent(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.reports {
		t.Error(r.Text)
	}
	w.reports = nil
	if n := lockdep.ReadStats().Goroutines; n != 0 {
		t.Errorf("%d goroutines hold something", n)
	}
}

// readSide is a lock's side for readers.
type readSide struct{ *lock.RW }

func (r readSide) Lock()   { r.RLock() }
func (r readSide) Unlock() { r.RUnlock() }

func (w *witness) one(t *testing.T, kind string, classes ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.reports) != 1 || w.reports[0].Kind != kind || fmt.Sprint(w.reports[0].Classes) != fmt.Sprint(classes) {
		for _, r := range w.reports {
			t.Errorf("%s of %v", r.Kind, r.Classes)
		}
		t.Errorf("want %s of %v", kind, classes)
	}
	w.reports = nil
}

// churn changes the number of Ps, from 1 to 8, until it is stopped.
func churn() (stop func()) {
	return testkit.ChurnProcs(2*time.Millisecond, 1, 6, 3, 8, 5, 2, 7, 4) // 1 + n*5%8
}

func TestGoroutinesMigrateBetweenChangingPs(t *testing.T) {
	w := newWitness(t)
	var (
		outer lock.Mutex
		rw    lock.RW
		spin  lock.Spin
		raw   lock.Raw
		done  atomic.Int64
	)
	outer.Init("outer")
	rw.Init("rw")
	spin.Init("spin")
	raw.Init("raw")
	stop := churn()
	<-testkit.AsyncN(8, func(g int) {
		for i := range testkit.During(time.Second) {
			outer.Lock()
			runtime.Gosched()
			if (g+i)%3 == 0 {
				nest(&rw, &spin, &raw)
			} else {
				nest(readSide{&rw}, &spin, &raw)
			}
			outer.Unlock()
			done.Add(1)
		}
	})
	stop()
	w.silent(t)
	t.Logf("%d rounds", done.Load())
	if got := fmt.Sprint(lockdep.Orders()); got != "[{outer rw} {rw spin} {spin raw}]" {
		t.Errorf("what was seen is %s", got)
	}
}

// A lock that is gone leaves its class and nothing else.
func TestShortLivedLocksLeaveTheirClass(t *testing.T) {
	w, n := newWitness(t), 100_000
	if testkit.Long() {
		n = 1_000_000
	}
	type object struct {
		mu lock.Mutex
		_  [64]byte
	}
	names := [...]string{"inode", "dentry", "page", "bio", "sock", "skb", "file", "" /* the place */}
	use := func(i int) {
		o := new(object)
		if name := names[i%len(names)]; name != "" {
			o.mu.Init(name)
		}
		o.mu.Lock()
		o.mu.Unlock()
	}
	for i := range names {
		use(i)
	}
	before := lockdep.ReadStats()
	var a, b runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&a)
	for i := range n {
		use(i)
	}
	runtime.GC()
	runtime.ReadMemStats(&b)
	after := lockdep.ReadStats()
	if after.Classes != len(names) || after.Orders != before.Orders || after.Chains != before.Chains || after.Stacks > before.Stacks {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if b.HeapAlloc > a.HeapAlloc+1<<20 {
		t.Errorf("%d KiB are live, and were %d", b.HeapAlloc>>10, a.HeapAlloc>>10)
	}
	w.silent(t)
}

// grow makes the goroutine's stack large, and so moves it.
//
//go:noinline
func grow(n int) byte {
	var b [1024]byte
	if n > 0 {
		b[n%len(b)] = grow(n - 1)
	}
	return b[n%len(b)]
}

func TestALockOnAStackMayMoveWhileItIsHeld(t *testing.T) {
	w := newWitness(t)
	for range 10 {
		wait(func() {
			var a, b depcheck.Map
			a.Init("a")
			b.Init("b")
			at := uintptr(unsafe.Pointer(&a))
			hold(&a, 0)
			grow(1000)
			if now := uintptr(unsafe.Pointer(&a)); now == at {
				t.Error("the stack has not moved")
			}
			if !a.Held() {
				t.Error("a moved lock is reported as not held")
			}
			hold(&b, 0)
			if h := a.Release(true); h != depcheck.Ours {
				t.Errorf("its release is %d", h)
			}
			b.Release(true)
		})
	}
	w.silent(t)
}

// Memory of a lock that is held is reused for another lock. That one is free; the
// record of the first one stays, and is reported at the end.
func TestMemoryOfAHeldLockMayBeUsedAgain(t *testing.T) {
	w := newWitness(t)
	apart(func() {
		m := new(depcheck.Map)
		m.Init("first")
		hold(m, 0)
		clear(unsafe.Slice((*byte)(unsafe.Pointer(m)), unsafe.Sizeof(*m)))
		if m.Held() {
			t.Error("a lock in zeroed memory is held")
		}
		m.Init("second") // of what is not known to be held
		hold(m, 0)
		if !m.Held() {
			t.Error("the new lock is not held")
		}
		if h := m.Release(true); h != depcheck.Ours {
			t.Errorf("its release is %d", h)
		}
		if m.Held() {
			t.Error("it is still held")
		}
		w.mu.Lock()
		if len(w.reports) > 0 {
			t.Error(w.reports[0].Text)
		}
		w.mu.Unlock()
		lockdep.CheckNoLocksHeld()
	})
	w.one(t, lockdep.StillHeld, "first")
	lockdep.CheckExited()
	w.silent(t) // reported once
}

func TestInitOfAHeldLockIsReported(t *testing.T) {
	w := newWitness(t)
	var m depcheck.Map
	m.Init("first")
	hold(&m, 0)
	wait(func() { m.Init("second") })
	w.one(t, lockdep.HeldLockInit, "first")
	hold(&m, 0)
	m.Release(true)
	w.silent(t)
}

// Reset may come at any time: what other goroutines are doing is lost, and nothing
// else goes wrong. In particular no order or usage from before is found after it.
func TestResetBesideRunningHooks(t *testing.T) {
	w := newWitness(t)
	stop := churn()
	var end atomic.Bool
	users := testkit.AsyncN(4, func(g int) {
		for i := 0; !end.Load(); i++ {
			// New classes are made all the time, so that what was learned about
			// a number is soon about another class. Those that softirqs take
			// are not held with softirqs on.
			var ms [4]depcheck.Map
			for j := range ms {
				ms[j].Init(fmt.Sprint("class ", g, i%50, j))
			}
			s := preempt.DisableIRQ()
			for j := range ms {
				hold(&ms[j], 0)
			}
			lockdep.Orders() //quiescevet:ignore its lock is one that pins, too
			for j := range ms {
				if h := ms[j].Release(true); h != depcheck.Ours {
					t.Errorf("a release is %d", h)
				}
			}
			s.Restore()
			preempt.Softirq(func() { holdAll(&ms[3]) })
			var other depcheck.Map
			other.Init(fmt.Sprint("other ", g, i%50))
			holdAll(&other)
			if i%10 == 0 { // a fault, whose report reads names
				wait(func() { hold(&ms[1], 0); hold(&ms[1], 0); ms[1].Release(true); ms[1].Release(true) })
			}
		}
	})
	n := 0
	for until := time.Now().Add(time.Second); time.Now().Before(until); n++ {
		lockdep.Reset()
		runtime.Gosched()
	}
	end.Store(true)
	<-users
	stop()
	t.Logf("%d times", n)
	for _, r := range w.reports {
		if r.Kind != lockdep.Recursion {
			t.Error(r.Text)
		}
	}
	w.reports = nil
	lockdep.Reset()
	w.silent(t)
	// It works as it did.
	var a, b depcheck.Map
	a.Init("a")
	b.Init("b")
	holdAll(&a, &b)
	holdAll(&b, &a)
	w.one(t, lockdep.Circular, "a", "b")
	if err := depcheck.Verify(); err != nil {
		t.Error(err)
	}
}

// A Reset between the two ends of a section must not leave the goroutine with a
// negative count, which would look like a pinned section for ever.
func TestResetBetweenTheEndsOfSections(t *testing.T) {
	w := newWitness(t)
	spins := &depcheck.Type{Name: "spins", Inner: depcheck.WaitSpin}
	var m, last depcheck.Map
	m.Init("m")
	last.Init("last")
	depcheck.BHOff(true)
	depcheck.SoftirqEnter(true)
	depcheck.HardirqEnter()
	depcheck.ThreadedEnter()
	depcheck.HardirqsOff()
	m.Acquire(spins, depcheck.Pins)
	lockdep.Reset()
	depcheck.BHOff(true)
	m.Acquire(spins, depcheck.Pins)
	lockdep.Reset()
	m.Release(true)
	m.Release(true)
	depcheck.HardirqsOn()
	depcheck.ThreadedExit()
	depcheck.HardirqExit()
	depcheck.SoftirqExit(true)
	depcheck.BHOn(true)
	depcheck.BHOn(true)
	w.silent(t)
	last.Acquire(&depcheck.Type{Name: "parks", Inner: depcheck.WaitSleep}, 0)
	last.Release(true)
	lockdep.MightSleep()
	w.silent(t)
}
