// Package preempt enters and leaves the contexts in which the kernel's rules
// about sleeping and locks hold.
//
// Terms. A section is pinned when its goroutine is bound to its P
// (runtime.procPin): it can't be preempted, nothing else runs on that P, and
// blocking in it ends the process with "fatal error: schedule: holding
// locks". Such a section is a raw atomic context: disabled preemption,
// disabled interrupts, a lock.Raw held, a Hardirq handler. It is also an RCU
// read-side section (consolidated RCU): a grace period that begins while it
// runs waits for its end.
//
// Rules of pinned sections:
//
//   - Nothing may block: no lock but lock.Raw, no channel wait, no system
//     call through the os, net or syscall packages.
//   - A panic, a nil dereference or an index out of range ends the process
//     and can't be recovered.
//   - The garbage collector waits for the section's end: keep it below a few
//     microseconds.
//   - It must end on the goroutine on which it began.
//
// Which store pairs with which load: entry and exit are plain stores to the
// P's own words (percpu.CPU.Nest and QS). Package rcu reads them behind a
// membarrier and has the argument.
//
// In user space no device raises an interrupt. Hardirq enters the context by
// a call, and from then on its rules are enforced by the same mechanisms: the
// section is pinned, and a Hardirq asked for while interrupts are off on this
// P waits until they are on again. Softirq is the same one level up: a Softirq
// asked for while the goroutine has softirqs disabled (DisableBH), or runs a
// handler, waits until they are on again. It is the goroutine that counts here
// and not the P, because with preempt_rt=1 it may move between Ps meanwhile.
package preempt
