// Package compare has the alternatives that "Raw spinlocks and memory allocation"
// (LKML, July 2020) weighs, and those that were found later, each as a working
// kfree_rcu over the same allocator and the same RCU, and measures them
// against each other. None of it is on a production path: slab.Cache.FreeRCU is.
//
// # Terms
//
//	strategy   one way to do kfree_rcu; an Instance is one in use
//	plain      a caller that may sleep: an ordinary goroutine
//	raw        a caller in a raw atomic context: a lock.Raw held, preemption or
//	           interrupts disabled, a hard interrupt
//	array      a page of pointers to objects that wait for a grace period
//	list       objects that wait, chained through the rcu_head inside of them
//	fallback   the list, where there is no array
//
// # What the strategies share
//
// Most of them are a batcher (batch.go), which is the kernel's kfree_rcu of
// Linux 5.7 to 6.17: a record for each P under a raw lock, an array that
// fills, a list, and a worker that starts when there is work, takes all, waits
// for a grace period, frees, and ends when there is none. They differ in where
// a page for an array comes from, which is a source, asked in the caller's own
// context and without a lock of the batcher's:
//
//	list       nowhere
//	array      page.Alloc(NoWait), whatever the context
//	nolocks    page.Alloc(NoWait|NoLocks)
//	detect     as array, but nowhere in a context that preempt.Atomic knows
//	defer      as array; raw callers' objects wait for a timer first
//	rawapi     as array; raw callers have entry points that go to the list
//	rawlocks   a buddy allocator of its own, whose lock is a lock.Raw
//	prefill    five pages for each P, refilled by a worker
//	trylock    a buddy allocator of its own, whose lock.Spin is only tried
//
// callrcu and batch have no batcher but rcu.Call and an rcu.Batch; sheaf is slab's
// own FreeRCU, and owner the FreeRCU of a slab.Sheaf that each caller has.
//
// # Cookies
//
// A grace period must begin after the last object of an array or list was
// unlinked. An array's cookie is taken when it is closed, under the record's
// lock, after the last store; the list's when it is taken from the record.
// Both by rcu.GetState, an atomic read-modify-write.
//
// # Who owns what
//
//	record     its raw lock
//	array      the record it is in; then the reclaimer, which holds reclaimMu
//	object     from Free on the batcher; the list writes to its first word, while
//	           readers may still read the others
//
// # Lock order
//
//	reclaimMu        sleeps: a grace period passes under it
//	  record.lock    raw, a leaf
//	pool.lock        raw or a spin lock: a leaf
//	stock.lock       raw, a leaf
package compare
