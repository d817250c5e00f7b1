// Package depcheck is the engine of package lockdep, and the hooks by which the
// library's packages report to it what they do. Programs use package lockdep,
// which converts; the library's packages use this one.
//
// # Terms
//
// A class is all locks of one type and name: Init gives the name, and a lock
// without one belongs to the class of the place where it was first taken. Rules
// are about classes. The wait type of a lock says what waiting for it takes
// (outer) and what those who hold it may still wait for (inner); a context, such
// as an interrupt handler, has one too. A section is a read-side or pinned
// section, which counts for contexts and not for orders. A chain is the list of
// classes that a goroutine holds. A class is irq-safe when a lock of it was
// taken in an interrupt handler, and irq-unsafe when one was held while
// interrupts were on.
//
// # What is checked
//
//	invalid wait context     a lock that may wait longer than the context or a held lock allows
//	circular dependency      an order that closes a circle of any length
//	recursion                a second lock of a class, but for recursive readers and subclasses
//	inconsistent state       a class both irq-safe and irq-unsafe
//	irq inversion, order     an irq-safe class before an irq-unsafe one, over any number of steps
//	sleeping function        MightSleep, and the library's own waits, where nothing may sleep
//	suspicious RCU usage     a dereference outside of a section, a wait for readers inside of one
//	unlock balance           a release of what is not held, or held by another goroutine
//	held lock initialised    Init of a lock that is held
//	still has locks held     a goroutine that ends with a lock, or a guard that nobody unlocked
//
// What is right does not depend on preempt_rt: code must be right with spin
// locks that sleep and with spin locks that spin, whichever are in force. So a
// lock.Spin under a lock.Raw is reported with preempt_rt=0, and LockIRQ of one
// counts as interrupts off with preempt_rt=1.
//
// # Wait types
//
//	                 outer  inner
//	lock.Raw           2      2    SPIN
//	lock.Spin, RW      3      3    CONFIG
//	lock.Local         3      3    CONFIG
//	lock.Mutex         4      4    SLEEP
//	ReadLock           1      3    FREE, CONFIG
//	preempt.Disable    1      2    FREE, SPIN
//	context: task 5; Threaded, Softirq, and tasks with either disabled 3; Hardirq and pinned 2
//
// A lock may be taken if its outer type is at most the lowest inner type of the
// context and of what is held in the same interrupt context. A TryLock is not
// checked, but a lock that it got counts. A goroutine that is pinned by a section
// without a record is found by the P's own word (percpu.CPU.Nest), less the
// levels that the records of held locks explain.
//
// # Orders
//
// Whoever takes B while holding A makes an edge from A's class to B's. A search
// from B that finds A is a circle. Edges say how A was held (exclusive, shared)
// and how B was taken (as a recursive reader or not), and only strong paths count:
// graph.go. Edges start at the locks held since the last one that was waited for
// without being a recursive reader; older ones reach B by way of that one. A
// TryLock makes no edge to its lock, which it does not wait for. Orders are
// numbered so that most new edges need no search: order.go.
//
// A chain that was seen is known to be right, so the common acquisition is a
// walk over the held locks, a hash, and one look into a table without a lock.
//
// A circle that another lock makes harmless, held by all who take its locks (a
// gate), is reported too, as the kernel's is.
//
// # Interrupts
//
// Each class has a bit for "taken in a handler" and one for "held with interrupts
// on", for both kinds of interrupts and for writers and readers. A new bit
// searches the graph behind an irq-safe class for an irq-unsafe one, or before
// an irq-unsafe class for an irq-safe one; a new edge searches both ways.
//
// # Who owns what
//
//	task                 its goroutine, under task.mu; others under it to end a section
//	                     that was handed to them
//	a shard's list       shard.mu
//	classes, edges, …    graph; usage bits and chains are read without it
//	Map                  atomics: whoever finds the same class writes the same number
//
//	shard.mu
//	  task.mu
//	    graph
//
// All three spin, are held pinned, for a bounded time, and never while a report is
// delivered. So every hook may be called in any context. Nothing here is
// visible to the race detector (functions are go:norace, atomics are hidden):
// it must not take lockdep's locks for an order among users.
//
// Goroutines are told apart by their number in Go's traces, locks by a serial
// number: stacks move, and memory is used again. A record so never keeps a lock
// from the garbage collector, and a lock that is gone leaves nothing but its
// class.
//
// # Reports
//
// Each distinct fault (kind and classes; or kind and place) is reported once.
// Under locks only numbers and names are copied; the text is made when all is let
// go, and the reporter runs unpinned: on a goroutine of its own if need be, for
// which the pinned one waits up to 20 ms.
//
// # Bounds
//
// Memory is bounded by tables.go. A table that is full is reported once, and what
// would need more room goes unchecked: never a crash.
//
// # Cost
//
// Off: a load and a predicted branch for each acquisition, each context and each
// allocation that leaves its fast path; nothing for readers and fast paths, whose
// hooks stand behind the constant Tagged. On: see README, "lockdep".
package depcheck
