package lock

import (
	"sync"

	"quiesce/internal/depcheck"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// How an RW waits: the slow halves of rw.go, pinned with preempt_rt=0.

// lockSlow waits in the line. At its head it has rwHead set before it looks
// whether the lock is free, so that nobody but recursive readers comes between.
func (l *RW) lockSlow() {
	l.notTwice()
	l.enterLine()
	l.state.Or(rwHead) // ord:rw,rw-park
	for {
		s := l.await(rwWriter | rwEager | rwReaders)
		if l.state.CompareAndSwap(s, s&^rwHead|rwWriter) { // ord:rw
			break
		}
	}
	l.leaveLine()
}

// rlockSlow is lockSlow for a reader, who waits for a writer only. Having left
// the line it makes way for the next reader there.
func (l *RW) rlockSlow() {
	l.notTwice()
	l.enterLine()
	l.state.Or(rwHead) // ord:rw,rw-park
	for {
		s := l.await(rwWriter)
		if l.state.CompareAndSwap(s, s&^rwHead+rwOneReader) { // ord:rw
			break
		}
	}
	l.leaveLine()
}

// rlockEager waits beside the line. Counted in rwEager it keeps the next
// writer from overtaking it.
func (l *RW) rlockEager() {
	l.notTwice()
	l.state.Add(rwOneEager) // ord:rw,rw-park
	for {
		s := l.await(rwWriter)
		if l.state.CompareAndSwap(s, s-rwOneEager+rwOneReader) { // ord:rw
			return
		}
	}
}

func (l *RW) enterLine() {
	if preempt.RT() {
		if depcheck.Enabled() {
			park(&l.line)
		} else {
			l.line.Lock()
		}
		return
	}
	for n := 0; !l.spun.CompareAndSwap(0, 1); n++ { // ord:rw
		relax(n)
	}
}

func (l *RW) leaveLine() {
	if preempt.RT() {
		l.line.Unlock()
		return
	}
	l.spun.Store(0) // ord:rw
}

// await returns the state when none of the bits is set any more.
func (l *RW) await(bits uint64) uint64 {
	for n := 0; ; n++ {
		s := l.state.Load() // ord:rw
		switch {
		case s&bits == 0:
			return s
		case preempt.RT():
			l.park(bits)
		default:
			relax(n)
		}
	}
}

// relax is a turn of a spinning, pinned waiter. Those it waits for are pinned
// too, so only the operating system can hold them up: after a while it gets
// the processor.
func relax(n int) {
	if n < 64 {
		sys.Pause(10)
	} else {
		sys.Yield()
	}
}

// rwWaiter is a goroutine that parks. Its gate is locked; wake unlocks it. A
// sync.Mutex and not a sync.Cond or a channel: opening it never blocks, also
// where the unlocker is pinned, and it may come out of another synctest bubble.
type rwWaiter struct {
	gate sync.Mutex
	next *rwWaiter // immutable once in asked
}

// park waits until somebody changed the state who may have cleared the bits.
// It asks first and looks then; unlockers change the state first and look for
// askers then. So one of the two sees the other, and nobody sleeps on.
func (l *RW) park(bits uint64) {
	w := new(rwWaiter)
	w.gate.Lock()
	for {
		w.next = l.asked.Load()                // ord:rw-park
		if l.asked.CompareAndSwap(w.next, w) { // ord:rw-park
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

// wake lets everybody who parks look again. There are few: the head of the
// line and recursive readers. Any context.
func (l *RW) wake() {
	for w := l.asked.Swap(nil); w != nil; { // ord:rw-park
		next := w.next // before w is somebody else's
		w.gate.Unlock()
		w = next
	}
}

// notTwice ends what would wait for ever: the holder for itself.
func (l *RW) notTwice() {
	if l.owner.Load() == sys.G() { // ord:rw-self
		unpin()
		panic("quiesce: " + nameOr(l.dep.Name(), "lock.RW") + " taken twice by one goroutine")
	}
}
