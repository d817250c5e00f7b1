// Package page allocates memory that the garbage collector does not see, in
// blocks of 1<<order pages of 4 KiB, with a limit that is never exceeded. It is
// the kernel's page allocator.
//
//	a, err := page.New(page.Config{Name: "sessions", Limit: 512 << 20})
//	p := a.Alloc(0, gfp.Kernel)        // one page; waits for memory, nil after a second
//	q := a.Alloc(3, gfp.NoLocks)       // eight pages, in any context; nil at once
//	a.Free(q, 3)
//	a.Free(p, 0)
//	err = a.Close()                    // *LeakError if pages are in use
//
// Most programs use an Allocator only to limit others: packages slab and
// rcuhash take one by their WithAllocator options. The limit of [Default]
// is three quarters of what the process may use, or what QUIESCE=limit= sets. A
// [Reclaimer] frees memory when little is left below a limit. Don't store Go
// pointers in the memory: the collector would not find them.
//
// # Design
//
// The rest of this page is for maintainers of the package. It starts with
// its terms.
//
//	page       4096 bytes; numbered from 0, the first of the range
//	block      1<<order pages, order 0..9, aligned to its size
//	run        the first pages of a block whose others were freed (trim.go)
//	buddy      the neighbour that a free block merges with; also the structure
//	           of all free blocks
//	populated  has memory. A populated page is charged: it counts towards the limit
//	section    128 pages, which get their metadata together
//	frontier   pages below it belong to sections that were added; the rest of
//	           the range is address space only
//	scavenge   return the memory of free blocks to the system: at the limit, by
//	           Shrink, and some seconds after a peak (scavenge.go)
//	slot       one P's page lists
//	taker      a goroutine that takes the pages on other Ps' lists
//
// # Regions
//
// Five address ranges are reserved, for data of size S, which begins at a
// multiple of the largest block:
//
//	data     page 0 │ handed out, free, on lists …│ open, not added │ no access
//	         0      4096                     frontier            opened       S
//	metas    32 bytes a page    one pages.Meta for each page
//	bits ×3  32 bytes a page    one bit for each 16 bytes: alloc, pend, wait
//
// Opening changes access rights in steps of 2 MiB and costs no memory, but for
// a process that locks its memory, which pays for a step. A
// section's metadata (16 KiB) is charged and populated when the section is
// added; its pages when a block first leaves the buddy, or leaves it again after
// scavenging. Page 0 is never handed out, is populated and stays zero: it is
// the sentinel of package slab, and number 0 means "none" everywhere.
//
// The types of metadata and bitmaps, and the calls that only package slab makes,
// are in internal/pages; bridge.go provides them.
//
// # Who owns which word
//
//	Meta.Word, Link, Back      the block's owner: see pages.Meta
//	Meta.Owner and below, bits  the page's holder
//	zone                       zone lock; statistics read the figures without
//	pcp (a slot)               the P's pinned goroutine, or the taker
//	region.opened              grow lock
//
// # Lock order
//
//	grow                   sleeps, system calls under it
//	  takers               sleeps, membarrier under it
//	    zone               lock.Spin; memory operations only
//	    alive              a leaf: the allocators that are not closed
//	    regions            a leaf: the address ranges of closed allocators
//	  zone
//	reclaimMu              a leaf
//	deferred               a lock-free stack: any context, under any lock
//
// It is part of the tree in docs/design/lock-order.md, which a test checks
// against what lockdep observes. No lock is held while a Reclaimer runs. There
// is no system call under the zone lock, because with preempt_rt=0 its holder
// is pinned. It is taken with interrupts off, because handlers may allocate.
//
// # Allocation paths
//
//	Alloc ─ order ≤ 3: this P's list ────────── pinned for a few stores, no atomics
//	  ├ NoLocks: try the zone lock for a batch that has memory; else nil, and
//	  │    a goroutine populates blocks for the next (stock.go)
//	  ├ zone lock: deferred frees into the buddy, then a batch out of it
//	  │    populated blocks first; else charge, unlock, populate
//	  │    nothing free: grow; limit reached: scavenge, retry
//	  ├ not Kernel: the lists of Ps that are gone; else nil
//	  └ Kernel: wait for memory, see below
//
// In a raw atomic context (preempt.Atomic) a request without NoLocks still
// takes the zone lock: if another goroutine holds it, with preempt_rt=1 the
// process ends with "schedule: holding locks", where the kernel would report
// "scheduling while atomic". Such a request makes no system call, so it gets
// only blocks that have memory.
//
// Free never takes a lock. If this P's list is revoked or full, blocks go on
// the stack of deferred frees, and every holder of the zone lock first merges
// them into the buddy. When the stack is long a goroutine does it; it ends when
// the stack is short, so that nothing runs when idle.
//
// # Memory ahead of need
//
// An allocation that leaves little room below the limit starts a goroutine that
// makes a round of reclaim (background.go), and those with gfp.Kernel ask the
// Reclaimers for what is missing then, each in proportion to what it takes. The
// goroutine ends after the round.
//
// # Waiting for memory
//
// Only gfp.Kernel waits, always on the goroutine that allocates, and never with
// a lock of this module held. Callers of Alloc and of slab's caches wait in one
// queue (wait.go), in which one of them at a time makes rounds of reclaim for
// all (rounds.go): the Ps' page lists, grace periods, empty slabs, depots, the
// program's Reclaimers, and at last the Ps' sheaves. Freed memory wakes the
// first in line whom it may serve. A request gets nil when
// [Config].ReclaimTimeout has passed without progress: since it came, or since
// another was served. Nobody waits for an RCU reader beyond that: a caller
// inside a read-side section holds up the grace period that would free memory,
// and gets nil. A request that would not fit an otherwise empty allocator gets
// nil at once.
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
// M1 is between the taker's store to state and its load of busy. On the
// owner's P it falls before the store to busy, between it and the load of
// state, or after that load. Before or between: the owner sees revoked and
// leaves the lists alone. After: the store to busy came before the barrier, so
// the taker sees it and waits until the section has ended. Without M1 the
// owner's store may still be in its store buffer while both proceed.
//
// M2 orders what the owner did in its section before what the taker does:
// having seen busy == 0 doesn't order the owner's earlier loads on arm64. M3
// is for the same reason on the way back: the next owner's accesses depend
// only on a plain load of state.
//
// An owner that finds its slot revoked does not wait: an allocation with
// NoLocks gets nil, a free is deferred. A slot keeps its blocks when its P
// goes away; takers find it through the high-water mark, which is raised
// before a slot first opens.
//
// # The limit is a promise
//
// Resident changes only under the zone lock, to at most the limit, and before
// memory is populated; it is lowered after memory was discarded. Blocks on
// lists, deferred and handed out are populated, so that no pinned path faults
// its way past the limit. The range is kept free of huge pages, so that a
// populated page is a charged page; with [Config].HugePages 2 MiB are populated,
// charged and discarded at a time, so that it is one there too. What is not charged: the slots (640 bytes
// for each P that ever ran) and the Allocator itself.
//
// Without a limit, and with the automatic one of [Default], huge pages are left
// to the system's setting, and Resident may be less than what the system gave.
//
// The watermark: the last 1/64 of the limit is for gfp.Atomic. It counts memory
// put to use, not memory populated: free blocks that are populated are as good
// as memory below the limit. Pages on lists are in use in this sense, and any
// request may have them.
//
// # Limits of the checks
//
// Free detects a second free of the same block, by compare-and-swap, until the
// block is handed out again: then the second free frees the new owner's block.
package page
