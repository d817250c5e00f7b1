// Package preempt enters and leaves the contexts in which the kernel's rules
// about sleeping and locks hold.
//
// Most programs need none of it: readers use package rcu. It is for short
// sections that must not be preempted, for example to use data of the current
// P:
//
//	p := preempt.Disable() // nothing else runs on this P now
//	…                      // a few memory operations; nothing that blocks
//	p.Enable()
//
// and for code that must also work in such a section, which tests run in a
// handler:
//
//	preempt.Hardirq(func() { session := sessions.Alloc(gfp.NoLocks); … })
//
// # Rules of pinned sections
//
//   - Nothing may block: no lock but lock.Raw, no channel operation that waits,
//     no system call through the os, net or syscall packages. Blocking ends the
//     process with "fatal error: schedule: holding locks".
//   - A panic, a nil dereference or an index out of range ends the process and
//     can't be recovered.
//   - The garbage collector waits for the section's end: keep it shorter than a
//     few microseconds.
//   - The section must end on the goroutine on which it began.
//
// # Contexts
//
// The documentation of every function in this module has a line that says where
// it may be called:
//
//	Context: any.                             everywhere; it never blocks
//	Context: task; not pinned.                only where blocking is allowed
//	Context: task or softirq; not pinned.     as a lock.Spin, see below
//	Context: as the flags allow.              package gfp has the table
//
// The terms:
//
//   - A section is pinned if its goroutine is bound to its P (runtime.procPin):
//     it can't be preempted, and nothing else runs on that P. Pinned sections are
//     disabled preemption ([Disable]), disabled interrupts ([DisableIRQ]), a held
//     lock.Raw, and a [Hardirq] handler. A pinned section is a raw atomic context
//     in the kernel's words. It is also an RCU read-side section (consolidated
//     RCU): a grace period that begins while it runs waits for its end.
//   - A task is a goroutine outside all handlers. [Threaded] handlers count as
//     tasks.
//   - Softirq is a [Softirq] handler. It must not sleep. With preempt_rt=1 (the
//     default) it is preemptible and may take a lock.Spin; with preempt_rt=0 it is
//     pinned.
//   - With preempt_rt=0, a held lock.Spin pins too. Code for "softirq; not pinned"
//     may run under it in that mode, because the lock functions then spin.
//   - A read-side section is one of rcu.ReadLock. "Not in a read-side section" is
//     said of functions that wait for a grace period, which would wait for their
//     caller.
//
// Package lockdep reports calls from a wrong context.
//
// # Design
//
// Entry and exit are plain stores to the P's own words (percpu.CPU.Nest and QS).
// Package rcu reads them after a membarrier and has the argument. Package
// internal/pin has the sections without the hooks for lockdep, for locks, which
// report themselves.
//
// In user space no device raises an interrupt. Hardirq enters the context by a
// call, and from then on the same mechanisms enforce its rules: the section is
// pinned, and a Hardirq call while interrupts are off on this P waits until they
// are on again. Softirq is the same one level up: a Softirq call while the
// goroutine has softirqs disabled (DisableBH), or runs a handler, waits until
// they are enabled again. The queue belongs to the goroutine and not to the P,
// because with preempt_rt=1 the goroutine may move between Ps.
package preempt
