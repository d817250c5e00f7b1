// Package race tells the race detector what orders accesses under RCU and in
// the allocators. It is an on/off pair: without -race everything in it is
// empty, and costs nothing.
//
// # Terms
//
// An edge orders all that a goroutine did before a release behind which
// another goroutine's acquire comes. A clock is what an edge goes through: the
// detector knows it by an address. To release into a clock by merging adds to
// what it holds, to release plainly replaces it. Hidden code is what runs
// between Disable and Enable: atomics, locks and go statements in it make no
// edges.
//
// # What is wanted
//
// A program is reported when it uses an object outside of the read-side
// section that protected it, frees it while readers may be there, or has a
// race of its own. So the detector must see the objects: in race builds the
// pages come from memory that it watches (Memory). It must learn every edge
// that a user may rely on, or correct programs were reported. And it must
// learn no other, or the library would order goroutines that merely use it at
// the same time and so hide their races, above all where they share a P and
// with it every sheaf.
//
// # The edges
//
//	from                           to                               clock
//	end of a read-side section     end of a grace period that       sections[epoch%2]
//	                               waited for it
//	end of a grace period          whoever learns of it: return     ends[number%64]
//	                               of Synchronize, Poll's true, …
//	rcu.Call                       the callback                     one of a shard
//	return of a callback           return of rcu.Barrier            the locks of both
//	Free(p)                        the next Alloc that returns p    p+1
//	FreeRCU(p)                     p's freeing by the worker, and   p+1, merged
//	                               with it the next Alloc
//	a slab made of pages           Alloc of an object of it         slab+2
//	a page freed                   the same page handed out         page+3
//
// Odd addresses, so that no atomic or lock in a user's object shares a clock.
// All of these are what the functions promise anyway. Real locks (lock.*, and
// those inside the allocators that are not hidden) make their usual edges.
//
// # Writes that are none
//
// Free, the end of the grace period after FreeRCU, and Alloc count as writes
// to the whole object: Freed, FreedAfterGracePeriod and Reallocated stand near
// the top of the stack in a report. A use that no edge puts before the free, or
// behind the allocation, is a data race with it.
//
// # Epochs: which sections a grace period is ordered behind
//
// If every section's end were ordered before the end of every later grace
// period, a reader that goes from section to section would hide what it does
// between them: a use after Unlock would be ordered before the grace period's
// end by the next Unlock. So a section notes, once it can be seen by the
// driver, how many grace periods have begun, its epoch, and releases at its
// end into the clock of that epoch. Grace period n acquires the clock of epoch
// n-1 and what grace period n-1 acquired, but not that of epoch n.
//
// Why that is enough for correct programs: a section of epoch n or later read
// the count after grace period n had begun, by an acquire; so each of its
// loads after ReadLock sees what was unlinked before grace period n, and it
// can't hold a pointer that n is about to free. A section that nests in an
// older one doesn't extend its protection, and may hold nothing of the older
// one when that ends, unless it began before the grace period as well: then
// its epoch says so.
//
// Why all that is needed is there: the count is read by an atomic
// read-modify-write behind the store that announces the section. If it
// returned n-1, that comes before the driver's increment to n, hence the
// driver of n sees the section and waits for its end, and the release stands
// before the store that announces that. Sections of epoch n-2 and earlier
// ended before grace period n-1 did, for the same reason; two clocks are
// enough, because sections of epoch n+1, which share one with n-1, begin when
// grace period n is over.
//
// # Hidden code
//
// In code between Disable and Enable the detector misses edges, but still sees
// memory accesses; it would report accesses that a hidden lock or atomic
// protects. So functions that touch shared memory there are go:norace, as
// package sync's are. What they touch must be touched by such functions only.
// That holds for the words of the Ps, for the sheaves and for the state of
// grace periods. User code never runs hidden, and no goroutine is started
// hidden: it would not even be ordered behind package initialisation. A panic
// in hidden code must call Enable first: who recovers would go on without
// edges.
//
// Sheaves lie in the same pages as objects. What holds one is for the
// detector free all the time (pages.Unseen), and its links are plain words:
// atomic accesses would stay in the detector's memory.
//
// # What stays ordered
//
// An allocation is ordered behind the last free of its object, necessarily, and
// so behind all that the freer did before. Race builds hand out random objects
// of a sheaf, so that goroutines on one P are not ordered at every turn. An
// object that came back through FreeRCU carries what its worker knows: all
// earlier ends of sections that its grace periods waited for. Allocations that
// find no sheaf take the cache's lock, and the page allocator's, which are seen.
//
// A use after Unlock is a race only if no section follows it in the same
// goroutine that began before the grace period did: that would protect the
// object in fact.
//
// # The price
//
// A clock that was released into takes some 600 bytes of the detector's
// memory: so does every object that was ever freed. Every Alloc and Free
// writes the shadow of the whole object, twice its size.
package race
