// Package slab allocates objects outside the Go heap, where the garbage
// collector neither scans nor counts them, and frees them while readers may
// still use them (kfree_rcu).
//
//	sessions, err := slab.NewCache[Session]("sessions") // a type without Go pointers
//	s := sessions.Alloc(gfp.Kernel)                     // nil: no memory
//	current.Store(s)                                    // a slab.Pointer, which readers load
//	old := current.Swap(nil)                            // unlink first
//	sessions.FreeRCU(old)                               // freed after the readers have left
//
// [Kmalloc] and [KfreeRCU] do the same for any size. Free is for objects that
// only the caller can reach. FreeRCU and Free work in any context and take no
// lock; what Alloc may do is in its flags (package gfp). [WithAllocator] puts a
// cache under a memory limit.
//
// # Design
//
// An object is allocated and freed on its P without atomics. FreeRCU costs one
// pointer stored in an array.
//
// # Terms
//
// A slab is a block of pages cut into objects of one cache. A sheaf is an
// array of objects, one page long, or 256 bytes in a cache of few objects; it
// holds 32-bit offsets into the range, in units of 16 bytes. Each P has a main
// sheaf that serves Alloc and Free, a spare one to follow it, and an RCU sheaf
// that collects FreeRCU's objects. The depot keeps sheaves that no P has: full
// ones and empty ones, in a group of stacks for each 16 Ps (groups.go). A free
// object is never touched: what is known about it is in bitmaps out of line, one
// bit per 16 bytes of the range.
//
// # The life of a freed object
//
//	FreeRCU(obj)   on its P: store the offset in this P's RCU sheaf
//	sheaf full     take it out of the slot, take a grace-period cookie, push it
//	               on the pending stack, let the service know; put an empty
//	               sheaf in its place: this P's reserve, the depot, a page with
//	               NoLocks. If there is none: the object goes on the fallback chain
//	cookie ended   the sheaf goes whole into the depot: its objects are the next
//	               allocations. No object is touched, and no object's metadata.
//	               The service does it and, if much is pending, FreeRCU (help.go)
//	depot full     kfree_bulk: clear the objects' bits, empty slabs become pages
//
// The fallback chain needs no memory: the object's bit is set in a bitmap of
// pending objects, and its slab is linked, through its metadata, to the chain.
// So FreeRCU never fails, never sleeps and waits for no lock. Free has the same
// slow path, without the wait, and may be called anywhere too.
//
// # Revoking: who owns a P's slot
//
// The goroutine that is pinned to the P, or in a leaf (internal/sys), owns the
// slot. It sets busy, loads a sheaf's number, works on the sheaf, and clears busy,
// all by plain stores. The numbers in the slot change hands by atomic swap: the
// goroutine that swaps one out owns that sheaf. A taker (drain, Barrier, Shrink,
// Close) owns what it swapped out only after
//
//	swap; membarrier; wait until busy was seen 0; (arm64: membarrier)
//
// which it does for the slots of many caches at once (revoke.go), because the
// membarrier is what it costs.
//
// The membarrier splits the owner's operations in two: one whose busy is not
// yet visible loads the number after the swap, and finds the sentinel; one
// that may have loaded it before has its busy visible, and the taker waits for
// its end. Sheaf number 0 is the sentinel: page 0 of the range, zero forever,
// so it is full and empty at once and sends every operation to the slow path.
// It is also what the slot of a new P holds.
//
// A slow path stays busy while it holds sheaves that are in no slot and no
// stack. A taker therefore does two rounds: after the first one has seen busy
// 0, an RCU sheaf that was in hand is in its slot or pending, and the second
// finds it. (A later operation may have another main or spare sheaf in hand
// again; those are taken for their memory, or after the last operation.)
//
// The comments ord:tag name pairs of docs/design/memory-ordering.md.
//
// The sheaves of a [Sheaf] are in no slot. Its goroutine owns them alone, and nobody
// takes them: owned.go says how the service asks for what is pending there.
//
// # Cookies
//
// A sheaf's cookie is taken when the sheaf is closed, which is after the last
// object went in, by an atomic read-modify-write (rcu.GetState). Each object
// was unlinked before that, so the grace period it names began later than any
// unlinking. The fallback chain's cookie is taken after its bits were moved.
//
// # The service
//
// No goroutine runs when nothing is pending. When there is work, one does it
// for all caches of the process (service.go): it takes partly filled RCU
// sheaves, of all caches in one go, waits for one grace period for all that is
// pending, and disposes of it. It does so at once when memory is short or much
// is pending, and otherwise every 10 to 40 ms: less often for a cache whose
// sheaves come out nearly empty. Between two turns there is no goroutine, but
// an alarm. A second goroutine makes empty sheaves during a flood, and full ones
// after an allocation with gfp.NoLocks was refused (stock.go). They wait by
// system call, run no user code, and have neither the pprof labels nor the
// synctest bubble of the caller that started them.
//
// The state that the service and a caller of Barrier share is one batch of a
// cache: what was taken off its queues and waits for a grace period, under
// reclaimMu. The service waits without the mutex, for the youngest cookie of all
// batches. A caller of Barrier that finds a batch waits for its cookie and
// disposes of it; the service then finds none. So Barrier waits for the service at
// most while that disposes of a sheaf, and all that came before it is freed when it
// returns: it was in a slot and is taken by the drain, or pending, or in the batch,
// or in the hands of one that Barrier waits for.
//
// # Memory and its limits
//
// Sheaves hold cacheBytes of objects at most, and the depot depotBytes, so
// large objects are not hoarded; with a limit, both hold less than a small part
// of it. An idle cache of a Heap's objects above 128 KiB keeps none (direct.go).
// A gfp.Kernel allocation at the page allocator's limit waits in that allocator's
// queue: package page says who gives up what there, pressure.go what a cache
// does. A cache with less than youngBytes of slabs is young, and saves memory:
// its next slab is as small as can be, and its sheaves are (shape.go, small.go).
//
// # Lock order
//
//	Heap.mu                  the creation of a size class's cache
//	  (page: reclaimMu)
//	cache.reclaimMu          one reclaimer at a time: service, Barrier, Close
//	  (rcu: gp.mu)
//	  cache.mu (lock.Spin)   slabs and their bitmaps
//	takers.mu                one taker at a time; no lock is taken under it
//	smallPages.mu (lock.Spin) the pages that small sheaves share; a leaf
//	opened                   the open Sheaves of all caches; a leaf
//	validating               one Validate at a time; cache.mu is taken under it
//
// It is part of the tree in docs/design/lock-order.md, which a test checks against what
// lockdep observes, with the locks of poison builds. Pages are freed under
// cache.mu, for which page takes no lock. It is taken with interrupts off,
// because handlers may allocate. No slow path of FreeRCU or Free waits for a
// lock; for an empty sheaf they may try smallPages.mu and page's zone lock, FreeRCU
// may try reclaimMu, and Free of a large object cache.mu (direct.go).
//
// # Which misuse is detected
//
// A pointer outside the range or not on a 16-byte boundary is detected at once. A
// double free and a pointer into another cache are detected when the sheaf is
// flushed to its slab, or at once if both frees meet on the fallback chain. Until
// then two owners may have the object: one hand-over of the service in 32 is checked
// against the bitmap. After a panic over misuse the cache must not be used any more.
//
// [SampleGuards] has a few objects of a plain build lie in pages of their own, which
// fault after the free; guard.go says how, and why the fast paths pay nothing.
//
// Builds with -tags poison (or -asan) detect all of it at once, and also writes to
// freed objects and next to objects; poison_on.go says how. Reports go to standard
// error, or where [SetReporter] sends them; [Describe] says what is known of an
// address; Validate checks everything now.
//
// With -race an object is memory that the race detector watches. Alloc, Free
// and the end of FreeRCU's grace period are writes to it: a use after Unlock, a
// Free while a reader may use the object, and a second free are data races, and
// are reported as far back as the detector remembers accesses. Race builds
// allocate a random object of a sheaf; race.go says why.
package slab
