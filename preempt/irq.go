package preempt

import (
	"quiesce/internal/depcheck"
	"quiesce/internal/option"
	"quiesce/internal/percpu"
	"quiesce/internal/pin"
	"quiesce/internal/sys"
)

// IRQState is the token of a section with interrupts disabled.
type IRQState struct{ s pin.IRQ }

// DisableIRQ disables interrupts on this P until [IRQState.Restore]. The
// goroutine is pinned, and [Hardirq] calls on this P are deferred until the
// outermost Restore.
//
// Context: any.
//
// Linux: local_irq_save.
//
//go:norace
func DisableIRQ() IRQState {
	s := pin.DisableIRQ()
	if depcheck.Enabled() {
		depcheck.HardirqsOff()
	}
	return IRQState{s}
}

// Restore ends the section. If it was the outermost on this P, the deferred
// Hardirq calls run now, on this goroutine. It must be called exactly once, on
// the goroutine that called [DisableIRQ].
//
// Linux: local_irq_restore.
//
//go:norace
func (s IRQState) Restore() {
	if depcheck.Enabled() {
		depcheck.HardirqsOn()
	}
	s.s.Restore()
	if depcheck.Enabled() {
		depcheck.Left()
	}
}

// Hardirq runs fn as a hard interrupt handler: pinned, with interrupts disabled.
// If interrupts are already disabled on this P, fn is queued and runs when they
// are enabled again, which may be after Hardirq has returned. fn must follow the
// rules of pinned sections.
//
// Context: any.
//
//go:norace
func Hardirq(fn func()) {
	if pin.Hardirq(fn) && depcheck.Enabled() {
		depcheck.Left()
	}
}

// Threaded runs fn as a threaded interrupt handler: on the calling goroutine,
// preemptible, and free to take a lock.Spin. With preempt_rt=1 the kernel runs
// every handler in a thread unless it asks for hard interrupt context; with
// preempt_rt=0 it runs the same handler in hard interrupt context. So fn must be
// correct there too: lockdep reports a lock.Mutex in fn, and locks that are
// taken elsewhere with interrupts enabled.
//
// Context: task; not pinned.
func Threaded(fn func()) {
	if depcheck.Enabled() {
		depcheck.ThreadedEnter()
		defer depcheck.ThreadedExit()
	}
	fn()
}

// RT reports whether spin locks sleep, as with the kernel's PREEMPT_RT. That is
// the default, because a Go program is preemptible everywhere. QUIESCE=preempt_rt=0
// in the environment of the process selects the other mode.
//
// Context: any.
func RT() bool { return rt }

var rt = option.Bool("preempt_rt")

// InHardirq reports whether the calling goroutine runs a [Hardirq] handler.
//
// Context: any.
//
// Linux: in_hardirq.
//
//go:norace
func InHardirq() bool {
	in := percpu.Pin().Hardirq != 0
	sys.ProcUnpin()
	return in
}

// IRQDisabled reports whether interrupts are disabled on the P that the calling
// goroutine runs on.
//
// Context: any.
//
// Linux: irqs_disabled.
//
//go:norace
func IRQDisabled() bool {
	off := percpu.Pin().IRQOff != 0
	sys.ProcUnpin()
	return off
}
