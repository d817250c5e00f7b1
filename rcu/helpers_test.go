package rcu

import (
	"runtime"
	"testing"
	"time"

	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/preempt"
)

// What needs a process of its own (its own slog handler and StallTimeout, or
// an end by a fatal error) runs in a child, which runs a scenario.
func TestMain(m *testing.M) {
	sys.HasMembarrier() // until it is known, barriers stop the world and wait for pinned readers
	testkit.Main(m, scenarios, 0)
}

// child runs the scenario and returns what it wrote.
func child(scenario string) (string, error) {
	return testkit.Child{Scenario: scenario, Env: []string{"GOMAXPROCS=4"}}.Output()
}

// flavours are the ways to be in a read-side critical section. section runs
// fn inside one, on the calling goroutine. In a pinned one fn must not block.
type flavour struct {
	name    string
	pinned  bool
	section func(fn func())
}

var flavours = []flavour{
	{"preempt.Disable", true, func(fn func()) {
		p := preempt.Disable()
		fn()
		p.Enable()
	}},
	{"preempt.DisableIRQ", true, func(fn func()) {
		s := preempt.DisableIRQ()
		fn()
		s.Restore()
	}},
	{"preempt.Hardirq", true, preempt.Hardirq},
	{"queued Hardirq", true, func(fn func()) {
		s := preempt.DisableIRQ()
		preempt.Hardirq(fn)
		s.Restore()
	}},
	{"lock.Raw", true, func(fn func()) {
		var l lock.Raw
		l.Lock()
		fn()
		l.Unlock()
	}},
	{"lock.Raw.LockIRQ", true, func(fn func()) {
		var l lock.Raw
		l.LockIRQ()
		fn()
		l.UnlockIRQ()
	}},
	{"pinned, ends out of order", true, func(fn func()) {
		a := preempt.Disable()
		b := preempt.Disable()
		a.Enable()
		fn()
		b.Enable()
	}},
	{"rcu.ReadLock", false, func(fn func()) {
		g := ReadLock()
		fn()
		g.Unlock()
	}},
	{"rcu.ReadLockBH", !preempt.RT(), func(fn func()) {
		g := ReadLockBH()
		fn()
		g.Unlock()
	}},
	{"rcu.ReadLock, nested", false, func(fn func()) {
		g := ReadLock()
		h := ReadLock()
		g.Unlock()
		fn()
		h.Unlock()
	}},
	{"rcu.ReadLock, unlocked by another goroutine on another P", false, func(fn func()) {
		p := testkit.Here()
		g := ReadLock()
		fn()
		done := make(chan struct{})
		go func() {
			unlockElsewhere(g, p)
			close(done)
		}()
		<-done
	}},
	{"rcu.Reader", false, func(fn func()) {
		r := NewReader() // registered at any moment of a grace period
		r.ReadLock()
		fn()
		r.Unlock()
		r.Close()
	}},
	{"rcu.Reader, unlocked by its guard", false, func(fn func()) {
		withReader(func(r *Reader) {
			g := r.ReadLock()
			fn()
			g.Unlock()
		})
	}},
	{"rcu.Reader, nested", false, func(fn func()) {
		withReader(func(r *Reader) {
			r.ReadLock()
			r.ReadLock()
			r.Unlock()
			fn()
			r.Unlock()
		})
	}},
}

// spareReaders are registered Readers that no goroutine uses.
var spareReaders = make(chan *Reader, 16)

// withReader calls fn with a Reader that is registered for longer than the call.
func withReader(fn func(r *Reader)) {
	var r *Reader
	select {
	case r = <-spareReaders:
	default:
		r = NewReader()
	}
	fn(r)
	select {
	case spareReaders <- r:
	default:
		r.Close()
	}
}

// unlockElsewhere unlocks g on another P than id, if it gets there.
func unlockElsewhere(g Guard, id int) {
	for range 100 {
		p := preempt.Disable()
		if testkit.Here() != id {
			g.Unlock()
			p.Enable()
			return
		}
		p.Enable()
		runtime.Gosched()
	}
	g.Unlock()
}

// onP runs fn pinned to a P whose number satisfies want.
func onP(t *testing.T, want func(id int) bool, fn func()) {
	t.Helper()
	found := make(chan struct{})
	stop := make(chan struct{})
	defer close(stop)
	turn := make(chan struct{}, 1)
	turn <- struct{}{}
	for range 2 * runtime.GOMAXPROCS(0) { // more than Ps, so that every P gets one
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				p := preempt.Disable()
				if want(testkit.Here()) {
					select {
					case <-turn:
						fn()
						close(found)
						p.Enable()
						return
					default:
					}
				}
				p.Enable()
				runtime.Gosched()
			}
		}()
	}
	select {
	case <-found:
	case <-time.After(20 * time.Second):
		t.Fatal("no goroutine was run on such a P in 20 s")
	}
}

// Plain accesses of shared words, on purpose: RCU is what orders them. They
// are functions so that the compiler neither keeps nor moves a value, and the
// race detector, which learns of no edge from plain readers, does not check.
//
//go:norace
//go:noinline
func load(p *uint64) uint64 { return *p }

//go:norace
//go:noinline
func store(p *uint64, v uint64) { *p = v }

// word keeps variables of a litmus test in lines of their own.
type word struct {
	v uint64
	_ [percpu.Line - 8]byte
}
