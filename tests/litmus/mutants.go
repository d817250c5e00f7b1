package litmus

import (
	"runtime"
	"sync/atomic"

	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/rcu"
)

// Mutants: grace periods that don't keep the promise. The engine must see it.

// NoWait waits for no reader.
var NoWait = Updater{Name: "no grace period", wait: func(_ *worker, after func()) { after() }}

// EarlyLook reads the readers' state before the first access, like a grace period
// named by a cookie from before the unlinking.
var EarlyLook = Updater{
	Name: "a grace period that began before the first access",
	before: func(w *worker) {
		sys.Membarrier()
		w.early.look()
	},
	wait: func(w *worker, after func()) {
		w.early.wait()
		after()
	},
}

// NoMembarrier reads each P's words and waits, but the reader's entry may still be
// in its processor's store buffer.
var NoMembarrier = Updater{Name: "no membarrier", wait: func(w *worker, after func()) {
	rcu.GetState() // a full barrier of the updater's own
	w.early.look()
	w.early.wait()
	after()
}}

// WithMembarrier is the same with it: nothing is missing, for one reader.
var WithMembarrier = Updater{Name: "with membarrier", wait: func(w *worker, after func()) {
	rcu.GetState()
	sys.Membarrier()
	w.early.look()
	w.early.wait()
	after()
}}

// readers are the sections that a mutant saw.
type readers struct {
	pinned      []pinned
	preemptible bool
}

// pinned is a P in a pinned section, and its QS before that.
type pinned struct {
	c  *percpu.CPU
	qs uint64
}

func (r *readers) look() {
	r.pinned = r.pinned[:0]
	for id := range runtime.GOMAXPROCS(0) {
		c := percpu.Of(id)
		qs := atomic.LoadUint64(&c.QS)
		if atomic.LoadUint64(&c.Nest) != 0 {
			r.pinned = append(r.pinned, pinned{c, qs})
		}
	}
	r.preemptible = preemptible()
}

func (r *readers) wait() {
	for _, p := range r.pinned {
		for atomic.LoadUint64(&p.c.Nest) != 0 && atomic.LoadUint64(&p.c.QS) == p.qs {
			sys.Pause(1)
		}
	}
	for r.preemptible && preemptible() {
		sys.Pause(1)
	}
}

// preemptible reports whether there are preemptible readers: exits first.
func preemptible() bool {
	var entered, left uint64
	for id := range percpu.Readers() {
		c := percpu.Of(id)
		left += atomic.LoadUint64(&c.Unlock[0]) + atomic.LoadUint64(&c.Unlock[1])
	}
	for id := range percpu.Readers() {
		c := percpu.Of(id)
		entered += atomic.LoadUint64(&c.Lock[0]) + atomic.LoadUint64(&c.Lock[1])
	}
	return entered != left
}
