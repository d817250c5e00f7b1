// Package page is the kernel's page allocator: blocks of 1<<order pages, from
// a range of address space of its own, for memory that the garbage collector
// doesn't see. No Go pointer may be stored in it.
//
// # Terms
//
//	page       4096 bytes; numbered from 0, the first of the range
//	block      1<<order pages, order 0..9, aligned to its size
//	buddy      the neighbour that a free block merges with; also the structure
//	           of all free blocks
//	populated  has memory. A populated page is charged: it counts towards the limit
//	section    128 pages, which get their metadata together
//	frontier   pages below it belong to sections that were added; the rest of
//	           the range is address space and nothing else
//	scavenge   give the memory of free blocks back to the system
//	slot       one P's page lists
//
// # Regions
//
// Five address ranges are reserved, for data of size S:
//
//	data     page 0 │ handed out, free, on lists …│ open, not added │ no access
//	         0      4096                     frontier            opened       S
//	metas    32 bytes a page    one Meta for each page
//	bits ×3  32 bytes a page    one bit for each 16 bytes: alloc, pend, wait
//
// Opening is a change of access rights in steps of 64 MiB and costs no
// memory. A section's metadata (16 KiB) is charged and populated when the
// section is added; its pages when a block first leaves the buddy, or leaves
// it again after scavenging. Page 0 belongs to nobody, is populated and stays
// zero: it is the sentinel of package slab, and number 0 means "none"
// everywhere.
//
// # Who owns which word
//
//	Meta.Word, Link, Back      the block's owner: see pages.Meta
//	Meta.Owner and below, bits  whoever has the page handed out
//	zone                       zone lock; the figures may be read by anybody
//	pcp (a slot)               the P's pinned goroutine, or the taker
//	region.opened              grow lock
//
// # Lock order
//
//	grow                   sleeps, system calls under it
//	  takers               sleeps, membarrier under it
//	    zone               lock.Spin; memory operations only
//	    alive              a leaf: the allocators that are not closed
//	    regions            a leaf: the address ranges of those that are
//	  zone
//	reclaimMu              a leaf
//	deferred               a lock-free stack: any context, under any lock
//
// It is part of the tree in docs/design/lock-order.md, which a test holds against what
// lockdep observes. No lock is held while a Reclaimer runs. Under the zone lock
// there is no system call, because with preempt_rt=0 its holder is pinned. It
// is taken with interrupts off, because handlers may allocate.
//
// # Ways of an allocation
//
//	Alloc ─ order ≤ 3: this P's list ────────── pinned for a few stores, no atomics
//	  ├ NoLocks: nil                            no lock, no system call
//	  ├ zone lock: deferred frees into the buddy, then a batch out of it
//	  │    populated blocks first; else charge, unlock, populate
//	  │    nothing free: grow; limit reached: scavenge, retry
//	  ├ not Kernel: nil
//	  └ Kernel: all Ps' lists, reclaimers, a pause; again until ReclaimTimeout
//
// In a raw atomic context (preempt.Atomic) a request without NoLocks takes
// the zone lock all the same: with preempt_rt=1 and the lock held elsewhere
// the process ends with "schedule: holding locks", as the kernel's would
// complain. Such a request makes no system call: blocks without memory are
// not for it.
//
// Free never takes a lock. Where this P's list is not to be had or full,
// blocks go on the stack of deferred frees, and everybody who gets the zone
// lock puts them into the buddy first. A goroutine does that when the stack
// is long; it ends when it isn't, so that nothing runs when idle.
//
// # Revoking
//
// The owner of a slot, pinned to its P:
//
//	busy = 1
//	if state == open { use the lists }
//	busy = 0
//
// all plain accesses. A taker, under the takers lock:
//
//	state = revoked
//	(M1) membarrier
//	wait for busy == 0
//	(M2) membarrier, unless the exit is a release (amd64)
//	use the lists
//	(M3) membarrier, unless as above
//	state = open
//
// M1 stands between the taker's store to state and its load of busy. On the
// owner's P it falls before the store to busy, between it and the load of
// state, or after that load. Before or between: the owner sees revoked and
// does without. After: the store to busy came before the barrier, so the
// taker sees it and waits until the section has ended. Without M1 the owner's
// store may still be in its store buffer while both go on.
//
// M2 orders what the owner did in its section before what the taker does:
// having seen busy == 0 doesn't order the owner's earlier loads on arm64. M3
// is for the same reason on the way back: the next owner's accesses depend
// only on a plain load of state.
//
// An owner that finds its slot revoked waits for nothing: an allocation with
// NoLocks gets nil, a free is deferred. A slot keeps its blocks when its P
// goes away; takers find it through the high-water mark, which is raised
// before a slot first opens.
//
// # The limit is a promise
//
// Resident is changed under the zone lock only, to at most the limit, and
// before memory is populated; it is lowered after memory was discarded.
// Blocks on lists, deferred and handed out are populated, so that no pinned
// path faults its way past the limit; the range is kept free of huge pages,
// so that a page populated is a page charged. What is not charged: the slots
// (640 bytes for each P that ever ran) and the Allocator itself.
//
// Without a limit huge pages are left to the system's setting, and Resident
// may be less than what the system gave.
//
// The watermark: the last 1/64 of the limit is for gfp.Atomic. What counts
// there is memory put to use, not memory populated: free blocks that are
// populated are as good as memory below the limit. Pages on lists are in use
// in this sense, and whoever finds them may have them.
//
// # Limits of the checks
//
// Free finds a second free of the same block, by compare-and-swap, until the
// block is handed out again: then it is the new owner's block that is freed.
package page
