// Package race reports to the race detector what orders accesses under RCU and in
// the allocators. It is an on/off pair: without -race everything in it is
// empty and costs nothing.
//
// # Terms
//
// An edge orders all that a goroutine did before a release ahead of what
// another goroutine does after an acquire that follows. An edge goes through a
// clock, which the detector knows by an address. A merging release adds to what
// the clock holds; a plain release replaces it. Hidden code is what runs between
// Disable and Enable: atomics, locks and go statements in it make no edges.
//
// # Goals
//
// A program is reported when it uses an object outside the read-side section
// that protected it, frees it while readers may still use it, or has a race of
// its own. So the detector must see the objects: in race builds the pages come
// from memory that it watches (Memory). It must learn every edge that a user may
// rely on, or it would report correct programs. And it must learn no other, or
// the library would order goroutines that merely use it at the same time and so
// hide their races, above all where they share a P and with it every sheaf.
//
// # The edges
//
//	from                           to                               clock
//	end of a read-side section     end of a grace period that       sections[epoch%2]
//	                               waited for it
//	end of a grace period          whatever reports it: return      ends[number%64]
//	                               of Synchronize, Poll's true, …
//	rcu.Call, Add of a Batch       the callback                     one of a shard
//	return of a callback           return of rcu.Barrier            the Barrier's lock
//	the same                       a later worker of the queue      one of the queue
//	Free(p)                        the next Alloc that returns p    p+1
//	FreeRCU(p)                     p's freeing by the worker,       p+1, merged
//	                               and so the next Alloc
//	a slab made of pages           Alloc of an object of it         slab+2
//	a page freed                   the same page handed out         page+3
//
// The addresses are odd, so that no atomic or lock in a user's object shares a
// clock. All of these edges are what the functions promise anyway. Real locks (lock.*, and
// those inside the allocators that are not hidden) make their usual edges.
//
// # Pseudo-writes
//
// Free, the end of the grace period after FreeRCU, and Alloc count as writes
// to the whole object: Freed, FreedAfterGracePeriod and Reallocated are near
// the top of the stack in a report. A use that no edge puts before the free, or
// after the allocation, is a data race with it.
//
// # Epochs: which sections a grace period is ordered after
//
// If every section's end were ordered before the end of every later grace
// period, a reader that goes from section to section would hide what it does
// between them: a use after Unlock would be ordered before the grace period's
// end by the next Unlock. So a section records its epoch, which is how many
// grace periods have begun, once the driver can see the section, and at its end
// releases into the clock of that epoch. Grace period n acquires the clock of epoch
// n-1 and what grace period n-1 acquired, but not that of epoch n.
//
// That is enough for correct programs: a section of epoch n or later read
// the count after grace period n had begun, by an acquire; so each of its
// loads after ReadLock sees what was unlinked before grace period n, and it
// can't hold a pointer that n is about to free. A section that nests in an
// older one doesn't extend its protection, and may hold nothing of the older
// one when that ends, unless it began before the grace period as well: then
// its epoch says so.
//
// Every edge that is needed is there: the count is read by an atomic
// read-modify-write after the store that announces the section. If it
// returned n-1, that comes before the driver's increment to n, hence the
// driver of n sees the section and waits for its end, and the release comes
// before the store that announces the end. Sections of epoch n-2 and earlier
// ended before grace period n-1 did, for the same reason; two clocks are
// enough, because sections of epoch n+1, which share one with n-1, begin when
// grace period n is over.
//
// # Hidden code
//
// In code between Disable and Enable the detector misses edges, but still sees
// memory accesses; it would report accesses that a hidden lock or atomic
// protects. So functions that touch shared memory there are go:norace, as
// package sync's are. What they touch must be touched by such functions only:
// the words of the Ps, the sheaves and the state of grace periods. User code
// never runs hidden, and no goroutine is started hidden: it would not even be
// ordered after package initialisation. Code that panics while hidden must call
// Enable first; otherwise the function that recovers would run without edges.
//
// Sheaves are in the same pages as objects. The detector takes the memory of a
// sheaf for free all the time (pages.Unseen), and its links are plain words:
// atomic accesses would stay in the detector's memory.
//
// # What stays ordered
//
// An allocation is necessarily ordered after the last free of its object, and so
// after all that the freeing goroutine did before. Race builds hand out random objects
// of a sheaf, so that goroutines on one P are not ordered at every turn. An
// object that was freed by FreeRCU carries what the worker has acquired: all
// earlier ends of sections that its grace periods waited for. Allocations that
// find no sheaf take the cache's lock, and the page allocator's, which are seen.
//
// A use after Unlock is a race only if no section follows it in the same
// goroutine that began before the grace period did: that one does protect the
// object.
//
// # Cost
//
// A clock that was released into takes some 600 bytes of the detector's
// memory: so does every object that was ever freed. Every Alloc and Free
// writes the shadow of the whole object, twice its size.
package race
