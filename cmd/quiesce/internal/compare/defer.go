package compare

import (
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/lock"
)

// tickNS is how long a deferred object waits for its timer, 1/HZ with HZ=1000.
const tickNS = 1_000_000

// deferred is alternative 2: kfree_rcu is not called in a raw atomic context.
// Callers there push the object on a queue of their P, by one compare-and-swap
// on the rcu_head, and a timer's worker makes the call.
type deferred struct {
	*batcher
	armed   atomic.Bool
	ticks   atomic.Uint64
	held    atomic.Uint64
	moveMu  lock.Mutex // held by the goroutine that empties the queues
	pending [records]struct {
		head atomic.Uintptr
		_    [120]byte
	}
}

func newDefer(in *Instance) (engine, error) {
	d := &deferred{batcher: newBatcher(in, zone{in, gfp.NoWait | gfp.NoWarn})}
	d.moveMu.Init("compare.moveMu")
	return d, nil
}

func (d *deferred) freeRaw(o *Object) {
	q := &d.pending[sys.ProcPin()%records].head
	sys.ProcUnpin()
	for {
		head := q.Load()
		o.next = head
		if q.CompareAndSwap(head, o.addr()) {
			break
		}
	}
	if !d.armed.Load() && d.armed.CompareAndSwap(false, true) {
		go d.timer()
	}
}

// timer fires once a tick while there is something to move.
func (d *deferred) timer() {
	for {
		sys.Sleep(tickNS)
		d.ticks.Add(1)
		if d.move() > 0 {
			continue
		}
		if mayEnd(&d.armed, d.queued) {
			return
		}
	}
}

func (d *deferred) queued() bool {
	for i := range d.pending {
		if d.pending[i].head.Load() != 0 {
			return true
		}
	}
	return false
}

// move makes the calls that were deferred.
func (d *deferred) move() (n uint64) {
	d.moveMu.Lock()
	defer d.moveMu.Unlock()
	for i := range d.pending {
		for o := at(d.pending[i].head.Swap(0)); o != nil; n++ {
			next := at(o.next)
			d.store(o)
			o = next
		}
	}
	d.held.Add(n)
	return n
}

func (d *deferred) barrier() {
	d.move()
	d.batcher.barrier()
}

func (d *deferred) hurry() {
	d.move()
	d.batcher.hurry()
}

func (d *deferred) counts() Counts {
	c := d.batcher.counts()
	c.Deferred = d.held.Load()
	c.Wakeups += d.ticks.Load()
	return c
}

func (d *deferred) close() error {
	for d.armed.Load() {
		sys.Sleep(100_000)
	}
	return d.batcher.close()
}
