// Package lockdep checks that locks are taken in a consistent order and in
// contexts that allow it. One run of each piece of code is enough: the deadlock,
// or the lock that sleeps where nothing may, need not happen.
//
//	func TestStore(t *testing.T) {
//		lockdeptest.Check(t) // a report fails the test
//		…
//	}
//
//	QUIESCE=lockdep=1 ./server           # on in any build: locks, contexts, waits
//	go test -tags lockdep ./...          # sees readers and fast paths too
//
// Elsewhere in a test binary the first report ends the run.
//
// Reports go to slog's default logger, or to the function of [SetReporter]. A
// program annotates a lock of its own with a [Map], and a function that may block
// with [MightSleep]. docs/guide/debugging.md has a longer introduction, and what
// the checks cost.
//
// It is the kernel's lockdep with CONFIG_PROVE_RAW_LOCK_NESTING, for the locks of
// package lock, the contexts of package preempt, RCU's readers, and whatever a
// program annotates.
//
// # What is checked
//
//	invalid wait context     a lock that may wait longer than the context or a held lock allows
//	circular dependency      an order that closes a circle of any length
//	recursion                a second lock of a class, except for recursive readers and subclasses
//	inconsistent state       a class both irq-safe and irq-unsafe
//	irq inversion, order     an irq-safe class before an irq-unsafe one, over any number of steps
//	sleeping function        MightSleep, and the library's own waits, where nothing may sleep
//	suspicious RCU usage     a dereference outside of a section, a wait for readers inside of one,
//	                         a slab.Pointer to the Go heap
//	unlock balance           a release of what is not held, or is held by another goroutine
//	held lock initialised    Init of a lock that is held
//	still has locks held     a goroutine that ended with a lock, or with a guard not unlocked
//
// The verdict does not depend on preempt_rt: code must be right with spin locks
// that sleep and with spin locks that spin, whichever are in force. So a lock.Spin
// under a lock.Raw is reported with preempt_rt=0, and LockIRQ of a lock.Spin counts
// as interrupts off with preempt_rt=1. A circle that is harmless because a third
// lock is held by all that take its locks (a gate) is reported too, as in the
// kernel.
//
// # Terms
//
//	Type        a kind of lock, by its implementation: lock.Mutex
//	Map         one lock, as lockdep knows it: the Map in a connection's lock
//	class       all locks of one Type and name: "connection"
//	How         the way a lock is taken: Read, by an RLock
//	WaitType    what a wait does: WaitSleep, of a lock.Mutex
//	Kind        a Type's part in the check of wait types: PerCPU, of lock.Local
//	context     where code runs: an interrupt handler
//	section     a read-side or pinned section: from ReadLock to Unlock
//	irq-safe    a class of which a lock was taken in an interrupt handler
//	irq-unsafe  a class of which a lock was held while interrupts were on
//
// Rules are about classes. Init gives the name; a lock without one belongs to the
// class of the place where it was first taken. A Report has a kind too: the
// constants of this package, such as [Circular].
//
// # Wait types
//
// A lock's outer type is what waiting for it needs, and its inner type is what its
// holder may still wait for. A context has an inner type too.
//
//	                 outer  inner
//	lock.Raw           2      2    WaitSpin
//	lock.Spin, RW      3      3    WaitConfig
//	lock.Local         3      3    WaitConfig
//	lock.Mutex         4      4    WaitSleep
//	ReadLock           1      3    WaitFree, WaitConfig
//	preempt.Disable    1      2    WaitFree, WaitSpin
//	context: task 5; Threaded, Softirq, and tasks with either disabled 3; Hardirq and pinned 2
//
// A lock may be taken if its outer type is at most the lowest inner type of the
// context and of what is held in the same interrupt context. A TryLock is not
// checked, but the lock counts once it is held.
//
// # Bounds and cost
//
// Memory is bounded. A table that is full is reported once, and what would need
// more room goes unchecked. While lockdep is off an acquisition pays one predicted
// branch, and readers and fast paths pay nothing.
//
// # Design
//
// The engine, and the hooks that the library's packages call, are in
// internal/depcheck; its doc.go explains how it works. This package converts.
package lockdep
