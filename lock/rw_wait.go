package lock

import (
	"sync"

	"quiesce/internal/depcheck"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// How an RW waits: the slow paths of rw.go, pinned with preempt_rt=0.

// lockSlow waits in the queue. At its head it sets rwHead before it checks
// whether the lock is free, so that only recursive readers can overtake it.
func (l *RW) lockSlow() {
	l.mustNotHold()
	l.enterQueue()
	l.state.Or(rwHead) // ord:rw,rw-park
	for {
		s := l.await(rwWriter | rwBarging | rwReaders)
		if l.state.CompareAndSwap(s, s&^rwHead|rwWriter) { // ord:rw
			break
		}
	}
	l.leaveQueue()
}

// rlockSlow is lockSlow for a reader, which waits for a writer only. Then it
// leaves the queue, so that the next reader there gets in.
func (l *RW) rlockSlow() {
	l.mustNotHold()
	l.enterQueue()
	l.state.Or(rwHead) // ord:rw,rw-park
	for {
		s := l.await(rwWriter)
		if l.state.CompareAndSwap(s, s&^rwHead+rwOneReader) { // ord:rw
			break
		}
	}
	l.leaveQueue()
}

// rlockBarging waits outside the queue. Being counted in rwBarging keeps the next
// writer from overtaking it.
func (l *RW) rlockBarging() {
	l.mustNotHold()
	l.state.Add(rwOneBarging) // ord:rw,rw-park
	for {
		s := l.await(rwWriter)
		if l.state.CompareAndSwap(s, s-rwOneBarging+rwOneReader) { // ord:rw
			return
		}
	}
}

// enterQueue waits until the caller is the head of the queue.
func (l *RW) enterQueue() {
	if preempt.RT() {
		if depcheck.Enabled() {
			park(&l.queue)
		} else {
			l.queue.Lock()
		}
		return
	}
	for n := 0; !l.queueSpin.CompareAndSwap(0, 1); n++ { // ord:rw
		sys.Relax(n)
	}
}

func (l *RW) leaveQueue() {
	if preempt.RT() {
		l.queue.Unlock()
		return
	}
	l.queueSpin.Store(0) // ord:rw
}

// await waits until none of the bits is set, and returns the state.
func (l *RW) await(bits uint64) uint64 {
	for n := 0; ; n++ {
		s := l.state.Load() // ord:rw
		switch {
		case s&bits == 0:
			return s
		case preempt.RT():
			l.park(bits)
		default:
			sys.Relax(n)
		}
	}
}

// rwWaiter is a parked goroutine. Its gate is locked; wake unlocks it. The gate
// is a sync.Mutex rather than a sync.Cond or a channel, because unlocking it
// never blocks, even if the unlocker is pinned, and works from outside the
// waiter's synctest bubble.
type rwWaiter struct {
	gate sync.Mutex
	next *rwWaiter // immutable once in RW.parked
}

// park waits until a change of the state may have cleared the bits. It puts
// itself on the list first and then checks the state; unlockers change the state
// first and then check the list. So one of the two sees the other, and no waiter
// sleeps on.
func (l *RW) park(bits uint64) {
	w := new(rwWaiter)
	w.gate.Lock()
	for {
		w.next = l.parked.Load()                // ord:rw-park
		if l.parked.CompareAndSwap(w.next, w) { // ord:rw-park
			break
		}
	}
	if l.state.Load()&bits == 0 { // ord:rw-park
		l.wake() // w as well: it can't leave the list otherwise
	}
	if depcheck.Enabled() {
		park(&w.gate)
	} else {
		w.gate.Lock()
	}
}

// wake makes all parked goroutines check the state again. They are few: the head
// of the queue and recursive readers. It may run pinned.
func (l *RW) wake() {
	for w := l.parked.Swap(nil); w != nil; { // ord:rw-park
		next := w.next // w may be reused once its gate is open
		w.gate.Unlock()
		w = next
	}
}

// mustNotHold panics if the calling goroutine is the writer, which would wait for
// itself forever.
func (l *RW) mustNotHold() {
	if l.owner.Load() == sys.G() { // ord:rw-self
		unpinHolder()
		panic("quiesce/lock: " + nameOr(l.dep.Name(), "lock.RW") + " taken twice by one goroutine")
	}
}
