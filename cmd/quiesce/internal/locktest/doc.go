// Package locktest shows that lockdep reports what it must, and nothing else:
// the kernel's "Locking API testsuite", for the locks, contexts and sections of
// this library.
//
// A row is a small script: which locks are taken, in which order and context. Nothing
// in it is simulated: the locks are those of package lock, handlers are run by
// package preempt, readers are RCU's, allocations are a page.Allocator's. A
// script is run by one goroutine, from the first word to the last, with lockdep
// as new (lockdep.Reset). No lock is ever waited for: a deadlock needs others at
// the wrong time, and what is shown is that lockdep reports it without them.
//
// # Scripts
//
//	A A' B            take the column's lock A, a second lock of A's class, B
//	P:A S:A M:A L:A   take a lock.Raw, Spin, Mutex, Local, whichever the column
//	W:A R:A Q:A r:A   lock.RW: write, read recursively, read in the line, read by the column
//	A? A^ A/1         by TryLock, by LockIRQ, by LockNested
//	-A init:A         release it, call its Init
//	;                 the end of an event: all that is held is released, the last one first
//	x{ … }            the words in between in a context, likewise
//	off, on, hoff …   the beginning and the end of a context that scripts mix with locks
//
// Contexts: irq{ is a hard or soft interrupt handler and off switches these
// interrupts off, by the row; the others have names of their own (contexts.go).
// Hard handlers are preempt.Hardirq, and off is preempt.DisableIRQ, where all
// locks of the script are lock.Raw; elsewhere both would rightly be reported,
// whatever the orders, because they pin. There they are preempt.Threaded, the
// handler that must be right as a thread and in hard interrupt context, and
// depcheck.HardirqsOff, which is what LockIRQ reports.
//
// # Verdicts
//
// A table has a letter for each cell:
//
//	.      silence
//	x      a report of the row's kind
//	t      x, but only a build with -tags lockdep can see it
//	n      x, but silence with prove_raw_lock_nesting=0
//	space  no such test
//
// What preempt_rt is makes no difference.
package locktest
