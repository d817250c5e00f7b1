// Package lock has the kernel's kinds of locks, for goroutines and Ps.
//
// The zero value of every lock is unlocked and ready to use. Init gives it a
// name for messages:
//
//	type table struct {
//		mu    lock.Mutex
//		names map[uint64]string // protected by mu
//	}
//
//	t.mu.Init("table.mu")
//	t.mu.Lock()
//	t.names[7] = "seven"
//	t.mu.Unlock()
//
// Which one? [Mutex] for almost everything. [Raw] for a few instructions that
// must be reachable from raw atomic contexts (package preempt), such as a
// preempt.Hardirq handler. [Spin] where the kernel's rule "spinlock_t sleeps on
// RT" is wanted, as in the page allocator. [RW] where such a lock has many
// readers that hold it for long; a reader of an RW still writes to the lock's
// cache line, so for data that is read often use package rcu. [Local] for data
// of the current P.
//
//	kind   waits by                 may be taken in             holder is
//	Raw    spinning                 any context                 pinned
//	Spin   parking (preempt_rt=1)   tasks, Threaded, Softirq    preemptible
//	       spinning (preempt_rt=0)  any but under a Raw         pinned
//	RW     as Spin; readers share   as Spin                     as Spin, readers too
//	Mutex  parking                  tasks, Threaded             preemptible
//	Local  parking (preempt_rt=1)   tasks, Threaded, Softirq    preemptible, keeps one P's slot
//	       not at all (=0)          any but under a Raw         pinned
//
// A pinned goroutine that takes a parking lock gets away with it while the lock
// is free. When the lock is held, the process ends with "schedule: holding
// locks": the kernel's "scheduling while atomic", and the reason for
// gfp.NoLocks. Package lockdep finds such mistakes before they happen, and
// deadlocks too.
//
// A lock must not be copied after first use. Locks are not recursive, except
// [RW.RLockRecursive].
//
// # Design
//
// Lock words are sequentially consistent atomics: an unlock happens before
// the next lock, in Go's memory model. The files nested.go and check.go have
// what lockdep adds; with lockdep off, an acquisition pays one load for it.
package lock

// nameOr returns the class name for messages.
func nameOr(name, kind string) string {
	if name == "" {
		return "unnamed " + kind
	}
	return kind + " " + name
}
