// Package lock has the kernel's lock kinds for Go's Ps.
//
//	kind   waits by                 may be taken in             holder is
//	Raw    spinning                 any context                 pinned
//	Spin   parking (preempt_rt=1)   tasks, Threaded, Softirq    preemptible
//	       spinning (preempt_rt=0)  any but under a Raw         pinned
//	RW     as Spin; readers share   as Spin                         as Spin, readers too
//	Mutex  parking                  tasks, Threaded             preemptible
//	Local  parking (preempt_rt=1)   tasks, Threaded, Softirq    preemptible, keeps one P's slot
//	       not at all (=0)          any but under a Raw         pinned
//
// Which one: Raw for a few instructions that must be reachable from raw
// atomic contexts; Mutex for everything else; Spin where the kernel's rule
// "spinlock_t sleeps on RT" is wanted, as the allocator does; RW where that
// has many readers who would hold it for long. Readers of an RW write to the
// lock's line all the same: what is read often is rcu's business.
//
// Taking a parking lock while pinned works as long as nobody else holds it,
// and ends the process with "schedule: holding locks" when somebody does.
// That is the kernel's "scheduling while atomic", and the reason for
// gfp.NoLocks.
//
// The zero value of every lock is unlocked and usable. Init names its class
// for messages. A lock must not be copied after first use.
//
// Lock words are sequentially consistent atomics: an unlock happens before
// the next lock, in Go's memory model.
package lock

// nameOr is the class name in messages.
func nameOr(name, kind string) string {
	if name == "" {
		return "unnamed " + kind
	}
	return kind + " " + name
}
