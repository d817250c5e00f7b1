package pin

import (
	"sync/atomic"

	"quiesce/internal/depcheck"
	"quiesce/internal/percpu"
	"quiesce/internal/sys"
)

// IRQ is the token of a section with interrupts disabled.
type IRQ struct{ s Section }

// DisableIRQ is preempt.DisableIRQ that lockdep does not record.
//
//go:norace
func DisableIRQ() IRQ {
	s := Disable()
	s.CPU.IRQOff++
	return IRQ{s}
}

// Restore ends the section. If it was the outermost on this P, it runs the
// queued handlers.
//
//go:norace
func (q IRQ) Restore() {
	c := q.s.CPU
	c.IRQOff--
	if c.IRQOff == 0 && c.IRQPending != 0 {
		runPending(c)
	}
	q.s.Enable()
}

// Hardirq runs fn as a hard interrupt handler, or queues it if interrupts are
// disabled on this P. It reports whether fn ran.
//
//go:norace
func Hardirq(fn func()) (ran bool) {
	s := Disable()
	if queueIfOff(s.CPU, fn) {
		s.Enable()
		return false
	}
	handle(s.CPU, fn)
	if s.CPU.IRQPending != 0 {
		runPending(s.CPU)
	}
	s.Enable()
	return true
}

// pending has the handlers that wait for interrupts to be enabled, by P. They
// are Go funcs, so they live on the Go heap; the P's own word IRQPending says
// whether there are any. The lock is held only by pinned goroutines and for a
// few instructions, so spinning for it is bounded.
var pending struct {
	lock atomic.Uint32
	fns  map[*percpu.CPU][]func()
}

func lockPending() {
	for i := 0; !pending.lock.CompareAndSwap(0, 1); i++ { // ord:irq
		sys.Relax(i)
	}
}

// queueIfOff queues fn if interrupts are disabled on P c, and reports whether
// it did.
//
//go:norace
func queueIfOff(c *percpu.CPU, fn func()) bool {
	if c.IRQOff == 0 {
		return false
	}
	c.IRQPending++
	lockPending()
	if pending.fns == nil {
		pending.fns = make(map[*percpu.CPU][]func())
	}
	pending.fns[c] = append(pending.fns[c], fn)
	pending.lock.Store(0) // ord:irq
	return true
}

// runPending runs the queued handlers, and those that they queue.
//
//go:norace
func runPending(c *percpu.CPU) {
	for c.IRQPending != 0 {
		c.IRQPending = 0
		lockPending()
		fns := pending.fns[c]
		delete(pending.fns, c)
		pending.lock.Store(0) // ord:irq
		for _, fn := range fns {
			handle(c, fn)
		}
	}
}

// handle runs one handler with interrupts disabled, so that a Hardirq call
// inside it waits for the handler's end.
//
//go:norace
func handle(c *percpu.CPU, fn func()) {
	c.IRQOff++
	c.Hardirq++
	if depcheck.Enabled() {
		depcheck.HardirqEnter()
		fn()
		depcheck.HardirqExit()
	} else {
		fn()
	}
	c.Hardirq--
	c.IRQOff--
}
