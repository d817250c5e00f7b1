// Package rcu is read-copy update: readers that take no lock, and updaters that
// wait until no reader can still see what they removed.
//
// A reader makes its accesses in a section. It never waits, whatever updaters do:
//
//	rcu.Read(func(g rcu.Guard) {
//		use(config.Load()) // an atomic.Pointer[Config]
//	})
//
// [ReadLock] and [Guard.Unlock] bracket a section that is not a function's, and
// cost a nanosecond less. Then every way out must Unlock, a panic included. A
// goroutine that reads all the time may register a [Reader], whose sections cost a
// few instructions.
//
// An updater publishes a new version, waits for the readers that may still use
// the old one, and then does with it what it likes:
//
//	old := config.Swap(next) // new readers find next
//	rcu.Synchronize()        // readers that may have old have left
//	old.Close()
//
// [Call] runs a function after those readers have left, without waiting;
// a [Batch] runs one function for many objects; [StartPoll] and [Poll] leave the waiting to the
// caller. For data on the Go
// heap that needs no Close, the garbage collector does all of this by itself.
// RCU is for what it can't manage: off-heap objects (packages slab and
// rcuhash), files, buffers to be reused.
//
// The rule for readers: a pointer is protected by the section in which it was
// loaded, until that section ends. The rule for updaters: first unlink, then
// wait, then free.
//
// # Terms
//
// A read-side critical section is what runs between ReadLock and Unlock, or
// pinned (preempt.Disable, a lock.Raw held, interrupts off, a Hardirq
// handler); ReadLockBH is ReadLock with softirqs disabled. Sections of a Reader are
// called registered, those of ReadLock preemptible. A grace period
// is a time during which every section that was running at its start has
// ended. A quiescent state of a P is a moment outside of every pinned
// section. A cookie names a grace period that has not ended yet; Poll reports
// whether it has.
//
// # Guarantees
//
// (R-A) A section that began before a grace period began has ended when the
// grace period ends. (R-B) Whatever an updater did before it asked for a grace
// period is visible to every section that this grace period did not wait
// for. (R-C) Whatever a section did is visible after the end of a grace period
// that waited for it. (R-D) A grace period ends once the sections that it waits
// for have ended; later ones do not delay it. One grace period covers all
// flavours of readers: preemptible, pinned and registered.
//
// All of this is about one section at a time. A section that began inside
// another one and outlives it does not take over what the first one protected;
// pinned sections that overlap on a P count as one, as do those of one Reader. (The kernel's consolidated
// RCU takes every chain of overlapping sections for one, which would need state
// per goroutine here. Its SRCU is as strict.)
//
// # Design: readers
//
// Every word of the first four is written by plain stores of the goroutine that is
// pinned to the P that owns it (percpu.CPU).
//
//	pinned entry       Nest++
//	pinned exit        Nest--; QS++ when it was the outermost
//	preemptible entry  i = index; Lock[i]++      both while pinned
//	preemptible exit   Unlock[i]++               while pinned, on any P
//	registered entry   nest++                    by the goroutine that owns the Reader
//	registered exit    nest--; qs++ when it was the outermost, both by one store
//
// A guard carries i and whether it is to be unlocked, which Unlock clears in the
// variable that it is called on: a second call, or one on a zero guard, panics
// before it counts. A copy of the guard is a variable of its own. If both are
// unlocked, more readers have left than entered. The driver finds that out when
// no other reader makes up for it, and every wait for a grace period panics from
// then on: some section may have lost its protection.
//
// # Design: grace periods
//
// One driver at a time, under gp.mu:
//
//	 1  seq becomes odd                      (atomic read-modify-write)
//	 2  exits[j] = sum of Unlock[j], j = 0, 1
//	 3  membarrier A
//	 4  entries[j] = sum of Lock[j], j = 0, 1
//	 5  per P: qs = QS, then wait for this P if Nest != 0
//	    per Reader: wait for it if nest != 0, and note qs
//	 6  until exits[other] == entries[other]: sum Unlock, membarrier, sum Lock
//	 7  if exits[cur] != entries[cur]: flip index, and the same for the old one
//	 8  per P of step 5: until Nest == 0 or QS != qs; per Reader: until its qs changed
//	 9  membarrier B, where a plain store is not a release (arm64)
//	10  seq becomes even
//
// Why (R-B) holds: a section whose entry store is not seen in step 4 or 5 made
// it visible after membarrier A on its processor; its loads came later still,
// so they see what the updater stored before step 1. Stores to Lock that
// use a stale index (the reader was delayed between the load of the index
// and its increment, perhaps for several grace periods) are why both indexes
// are summed in every grace period; flipping the index serves (R-D) only.
//
// Why (R-A) and (R-C) hold for preemptible readers: if an exit is counted, so is
// its entry, since the membarrier between the two sums makes every entry
// visible whose exit was. So equal sums mean that every entry counted had its
// exit counted, and the membarrier after the sum of exits completed the loads
// that came before them.
//
// For pinned readers: QS changes only at the end of an outermost section, and
// was read before Nest. A changed QS or a zero Nest thus means that the
// section seen in step 5 is over. On amd64 that plain store is a release. On
// arm64 the loads of the section may still be under way: membarrier B
// completes them.
//
// Saving QS and comparing, rather than waiting for Nest to fall to zero
// alone, is what lets a P that is always in some section pass.
//
// Ps that appear or go away: GOMAXPROCS changes while the world is stopped,
// which no pinned section survives. Step 5 reads GOMAXPROCS after membarrier
// A; a P that exists only later had its first section after that, with the
// stopped world in between. Counters of preemptible readers remain on a P that
// is gone and are summed up to a high-water mark. A reader raises the mark when
// it is the first to enter on a P: an atomic read-modify-write before its
// loads, so that a driver that read the mark too early need not wait for it. An
// exit on a P above the mark is not counted, which can only delay step 6 or 7.
// An exit that is counted has its entry counted, because the mark is read again
// after the membarrier, for the sum of entries.
//
// # Design: registered readers
//
// A Reader's nest and qs are halves of one word, readerSlot.word. (R-A) to (R-D)
// hold as for pinned readers, with one difference: the word belongs to a goroutine,
// not to a P, so that the goroutine may be preempted or sleep anywhere in the
// section, and continue on another thread.
//
// (R-B): the entry's store is on some thread A, the section's loads on A or, later,
// on a thread B. A membarrier is a full barrier of every thread: those that run get
// an interrupt, and the others had theirs in the system's switch away from them. Take
// the place of A's in A's instructions. If the entry comes before it, it is visible
// to the driver's step 5. If it comes after it, so do the section's loads on A; and
// those on B follow A's handing over of the goroutine, which the scheduler orders
// (a release on A, an acquire on B), and so come after A's barrier as well. They
// see what the updater stored before. Without membarrier the world is stopped, each
// goroutine between two of its instructions; the same two cases.
//
// (R-A), (R-C): qs changes only with the end of an outermost section, and
// is never set back. So a changed qs means that the section seen in step 5 is over.
// Its loads on the thread that stored the exit come before that, on amd64 by TSO, on
// arm64 by membarrier B; those on earlier threads by the scheduler's releases. Nest
// and qs are read by one load, so their order is no question. That qs has 32 bits
// does no harm: if 2³² sections passed between two looks of the driver, it takes
// the present one for the one that it waits for, until the next look.
//
// (R-D): a Reader that goes from section to section passes with the first end of an
// outermost one.
//
// The compiler sees plain accesses that are inlined into user code. Entry and exit
// begin with an atomic load of the word. A load of the section follows the entry's
// in the order of memory operations, and the exit's follows it; no load of the user's
// can be exchanged for one from before the section. (A test reads the compiled code
// of callers.)
//
// The words lie in slots on the Go heap, in chunks of which a list is published.
// Chunks stay for ever; the registry is as large as the most Readers there were
// at a time, 128 bytes each. So a driver may look at any slot at any time, and a guard
// needs no pointer: it has the number of its slot, and of the slot's owner, to
// know a guard that is older. A bit in live says that a slot has an owner. It is
// set by a read-modify-write before the first entry. A driver that reads it, after
// membarrier A, as not set yet owes that reader nothing: the argument is that
// of (R-B), for the bit in place of the entry. The bit is cleared by a
// read-modify-write after the last exit, as a release: a driver that reads it as
// cleared comes after the sections. A driver that waits for a slot when it changes
// owners finds qs changed. So slots may be closed and used again at any time.
//
// The garbage collector closes a Reader that is dropped. It finds one unreachable
// only after the entry's store of each of its sections (ReadLock keeps it alive until
// then), and stops the world before it says so: drop sees every entry. If nest is
// 0 then, no section will come, and the slot is free. If not, the section's guard may
// be in use. The slot stays registered, and is found by take once the guard has
// ended the section. A lost guard, like a goroutine that ended in its section, holds
// up grace periods for ever, as a lost guard of ReadLock does; the report of the
// stall says that the Reader was dropped.
//
// # Design: cookies
//
// seq is odd while a grace period runs. A cookie is the even value of seq
// that marks the end of the next whole grace period: seq+2 when idle, seq+3
// while one runs, since that one may have begun before the caller unlinked
// its object. A plain load of seq could be satisfied while the unlinking store
// still waits in the store buffer; that would be a use-after-free even on amd64.
// So it is computed from an atomic read-modify-write of seq. Step 1 is one as
// well, so the two are ordered: either step 1 sees the caller's stores, or the
// cookie counts the running grace period as too early. On amd64 it is a load
// after a full barrier (sys.Fence), which is as good, and for whose line
// processors don't wait: the stores are in memory before the load is satisfied,
// and a load that does not find the grace period begun was satisfied before
// step 1.
//
// # Design: who runs what
//
// Synchronize drives grace periods on the caller's goroutine. Callers that arrive
// while one runs park in a queue, and leave it together when the driver has ended
// their grace period; the driver leaves with its own, and makes one of those that
// still wait the next driver. Cookies of StartPoll are driven by a worker
// goroutine. Callbacks of Call run on another, unpinned, in order of registration
// per P, and those of each Batch on one more. They are all the same queue
// (callQueue has its argument): arrays of items in shards, a worker, a list of
// Barriers. A Batch adds no protocol to it; its items are objects in place of funcs,
// and the worker calls a function with an array's items in place of each of them. These
// goroutines start when there is work and end when there is none. They belong to
// no synctest bubble (sys.Go), and callbacks of a bubble run inside it, on
// goroutines of their own. Waiting for a reader is a system call, during which the
// clock of a bubble stands still.
//
// The comments ord:tag at memory accesses name pairs of
// docs/design/memory-ordering.md, in this package and those that it imports.
//
// Lock order: gp.mu → nothing. queue.mu → nothing. registry.mu → nothing. A callback shard's lock.Raw, taken with interrupts
// off, → nothing. docs/design/lock-order.md has what comes before them.
//
// # The race detector
//
// With -race the ends of sections are ordered before the end of a grace period
// that waited for them, and that before whatever its waiter does next, as
// guarantee (R-C) says. Nothing else in this package orders its users: its
// words and atomics are hidden from the detector. So the detector accepts data
// that is published by an atomic pointer, read in sections, and written to after
// Synchronize or in a callback, whether it is on the Go heap or not. It reports
// data that is written to without a grace period, or read after Unlock. Package
// internal/race has the argument. Data that is safe only because all its users
// are pinned to the same P is reported, because the detector does not know Ps.
// Use lock.Local for that.
package rcu
