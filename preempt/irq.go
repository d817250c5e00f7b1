package preempt

import (
	"sync/atomic"

	"quiesce/internal/depcheck"
	"quiesce/internal/percpu"
	"quiesce/internal/sys"
)

// IRQState is the token of a section with interrupts disabled.
type IRQState struct{ p Pinned }

// DisableIRQ disables interrupts on this P until Restore: pinned, and a
// Hardirq asked for meanwhile is kept until the outermost Restore. Any
// context. The kernel's local_irq_save.
//
//go:norace
func DisableIRQ() IRQState {
	s := DisableIRQNotrace()
	if depcheck.Enabled() {
		depcheck.HardirqsOff()
	}
	return s
}

// DisableIRQNotrace is DisableIRQ that lockdep takes no note of, for locks,
// which tell it of themselves.
//
//go:norace
func DisableIRQNotrace() IRQState {
	p := DisableNotrace()
	p.cpu.IRQOff++
	return IRQState{p}
}

// Restore ends the section. When it was the outermost on this P, the Hardirq
// calls that it held back run now, on this goroutine. The kernel's
// local_irq_restore.
//
//go:norace
func (s IRQState) Restore() {
	if depcheck.Enabled() {
		depcheck.HardirqsOn()
	}
	s.RestoreNotrace()
	if depcheck.Enabled() {
		depcheck.Left()
	}
}

// RestoreNotrace ends a section of DisableIRQNotrace.
//
//go:norace
func (s IRQState) RestoreNotrace() {
	c := s.p.cpu
	c.IRQOff--
	if c.IRQOff == 0 && c.IRQPending != 0 {
		runPending(c)
	}
	s.p.EnableNotrace()
}

// Hardirq runs fn as a hard interrupt handler: pinned, interrupts disabled.
// Where interrupts are disabled on this P already, fn is queued and runs when
// they are enabled again, which may be after Hardirq returned. fn must keep
// the rules of pinned sections. Any context.
//
//go:norace
func Hardirq(fn func()) {
	p := DisableNotrace()
	if queueIfOff(p.cpu, fn) {
		p.EnableNotrace()
		return
	}
	handle(p.cpu, fn)
	if p.cpu.IRQPending != 0 {
		runPending(p.cpu)
	}
	p.EnableNotrace()
	if depcheck.Enabled() {
		depcheck.Left()
	}
}

// Threaded runs fn as an interrupt handler that preempt_rt=1 makes a thread (as
// the kernel does with every handler that does not ask for hard interrupt
// context): in the calling goroutine, preemptible, free to take a lock.Spin. It
// must be right in a hard interrupt handler too, where preempt_rt=0 would run
// it: lockdep reports a lock.Mutex, and locks that are taken elsewhere with
// interrupts on. It must be called where sleeping is allowed.
func Threaded(fn func()) {
	if depcheck.Enabled() {
		depcheck.ThreadedEnter()
		defer depcheck.ThreadedExit()
	}
	fn()
}

// RT reports whether sleeping spin locks are in force (the kernel's
// PREEMPT_RT): the default here, because a Go program is preemptible
// everywhere. QUIESCE=preempt_rt=0 at start chooses the other way.
func RT() bool { return rt }

var rt = func() bool {
	v, ok := sys.Option("preempt_rt")
	return !ok || v != "0"
}()

// The handlers that wait for interrupts to be enabled, by P. They are Go
// funcs, so they live on the Go heap; the P's word IRQPending, which is its
// own, says whether there are any. The lock is only ever held pinned and for
// a few instructions, so spinning for it is bounded.
var pending struct {
	lock atomic.Uint32
	fns  map[*percpu.CPU][]func()
}

func lockPending() {
	for i := 0; !pending.lock.CompareAndSwap(0, 1); i++ { // ord:irq
		if i < 100 {
			sys.Pause(10)
		} else {
			sys.Yield() // the holder's thread may want the processor
		}
	}
}

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

// handle runs one handler with interrupts off, so that a Hardirq asked for
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

// InHardirq reports whether this goroutine runs a Hardirq handler. Any
// context. The kernel's in_hardirq.
//
//go:norace
func InHardirq() bool {
	in := percpu.Pin().Hardirq != 0
	sys.ProcUnpin()
	return in
}

// IRQDisabled reports whether interrupts are disabled on the P that this
// goroutine runs on. Any context. The kernel's irqs_disabled.
//
//go:norace
func IRQDisabled() bool {
	off := percpu.Pin().IRQOff != 0
	sys.ProcUnpin()
	return off
}
