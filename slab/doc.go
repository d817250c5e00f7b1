// Package slab is an object allocator on memory outside the Go heap, with
// kfree_rcu: objects of one type or size class (Cache, Kmalloc), allocated
// and freed without atomics on this P, and freed after a grace period by
// FreeRCU in any context, for the price of one pointer stored in an array.
//
// # Terms
//
// A slab is a block of pages cut into objects of one cache. A sheaf is an
// array of objects, one page long; it holds 32-bit offsets into the range, in
// units of 16 bytes. Each P has a main sheaf that serves Alloc and Free, a
// spare one behind it, and an RCU sheaf that collects what FreeRCU was given.
// The depot keeps sheaves that no P has: full ones and empty ones. A free
// object is never touched: what is known about it lies in bitmaps out of
// line, one bit per 16 bytes of the range.
//
// # The way of an object through FreeRCU
//
//	FreeRCU(obj)   pinned: store the offset in this P's RCU sheaf
//	sheaf full     take it out of the slot, take a grace-period cookie, push it
//	               on the pending stack, start the reclaim worker; put an empty
//	               sheaf in its place: this P's reserve, the depot, a page with
//	               NoLocks. None to be had: the object goes on the fallback chain
//	cookie ended   the sheaf goes whole into the depot: its objects are the next
//	               allocations. No object, and no object's metadata, is touched
//	depot full     kfree_bulk: clear the objects' bits, empty slabs become pages
//
// The fallback chain needs no memory: the object's bit is set in a bitmap of
// pending objects, and its slab is linked, through its metadata, to the chain.
// So FreeRCU never fails, never sleeps and takes no lock. Free has the same
// slow path, without the wait, and can be called anywhere too.
//
// # Who owns a P's slot: revoking
//
// The goroutine that is pinned to the P owns the slot. It sets busy, loads a
// sheaf's number, works on the sheaf, and clears busy, all by plain stores.
// The numbers in the slot change hands by atomic swap: who swaps a number out
// owns that sheaf. A taker (drain, Barrier, Shrink, Close) owns what it
// swapped out only after
//
//	swap; membarrier; wait until busy was seen 0; (arm64: membarrier)
//
// The membarrier splits the owner's operations in two: one whose busy is not
// yet visible loads the number after the swap, and finds the sentinel; one
// that may have loaded it before has its busy visible, and the taker waits for
// its end. Sheaf number 0 is the sentinel: page 0 of the range, zero for ever,
// so it is full and empty at once and sends every operation to the slow path.
// It also is what a slot of a new P holds.
//
// A slow path stays busy while it holds sheaves that are in no slot and no
// stack. A taker therefore does two rounds: after the first one has seen busy
// 0, an RCU sheaf that was in hand is in its slot or pending, and the second
// finds it. (A later operation may have another main or spare sheaf in hand
// again; those are taken for their memory, or after the last operation.)
//
// The comments ord:tag name pairs of docs/design/memory-ordering.md.
//
// # Cookies
//
// A sheaf's cookie is taken when the sheaf is closed, which is after the last
// object went in, by an atomic read-modify-write (rcu.GetState). Each object
// was unlinked before that, so the grace period it names began later than any
// unlinking. The fallback chain's cookie is taken after its bits were moved.
//
// # Who runs
//
// Nothing, when nothing is pending. A cache's reclaim worker starts when a
// sheaf is pushed; its drain starts when an RCU sheaf is installed, takes
// partly filled sheaves every few milliseconds, and ends when it finds none.
// Both wait by system call. Neither runs user code.
//
// # Memory and its limits
//
// Sheaves hold cacheBytes of objects at most, and the depot depotBytes, so
// large objects are not hoarded. A gfp.Kernel allocation at the page
// allocator's limit drains this cache, waits for its grace periods, and asks
// the others for memory, until page.Config.ReclaimTimeout.
//
// # Lock order
//
//	Heap.mu                  making the cache of a size class
//	  (page: reclaimMu)
//	cache.reclaimMu          one reclaimer at a time: worker, Barrier, Close
//	  (rcu: gp.mu)
//	  cache.mu (lock.Spin)   slabs and their bitmaps
//	cache.takeMu             one taker at a time; nothing is taken under it
//
// It is part of the tree in docs/design/lock-order.md, which a test holds against what
// lockdep observes, with the locks of poison builds. Pages are freed under
// cache.mu, for which page takes no lock. It is taken with interrupts off,
// because handlers may allocate. No slow path of FreeRCU or Free takes any
// lock.
//
// # What misuse is seen
//
// A pointer outside the range or not on a 16-byte boundary: at once. A double
// free and a pointer into another cache: when the sheaf is flushed to its
// slab, or at once if both find each other on the fallback chain. Until then
// two owners may have the object: one hand-over in some tens is checked against
// the bitmap. After a panic over misuse the cache is not to be trusted.
//
// Builds with -tags poison (or -asan) see all of it at once, and writes to freed
// objects and beside objects besides: poison_on.go has how. Reports go to
// standard error, or to SetReporter; Describe says what is known of an address;
// Validate looks at everything now.
//
// With -race an object is memory that the race detector watches. Alloc, Free
// and the end of FreeRCU's grace period are writes to it: a use after Unlock, a
// Free while a reader may be there, a second free, are data races, and
// reported as far as the detector's memory of accesses reaches. Race builds
// allocate a random object of a sheaf; race.go says why.
package slab
