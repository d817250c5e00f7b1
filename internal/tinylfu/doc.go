// Package tinylfu is a cache's eviction policy: adaptive W-TinyLFU over entries
// of any size that lie off the Go heap.
//
// The cache owns the entries. The policy knows each by a 32-bit reference and
// 31 bits of its key's hash, and has 16 bytes in it, [Links], which [Entries]
// finds. It has no Go pointer for an entry. It takes no lock: the cache calls it
// with one held, mostly with batches of hits that its readers noted.
//
// # Lists
//
// An entry is in one of three lists:
//
//	window     new entries, in order of use. Its oldest are candidates for the
//	           main space.
//	probation  main space: admitted, or demoted. Its oldest are the victims.
//	protected  main space: requested while in probation. At most 80 % of it;
//	           what is too much goes back to probation.
//
// In the main space a request only marks the entry as used (CLOCK, or a second chance).
// The oldest of probation that is used becomes the newest of protected in place of
// leaving, and the oldest of protected its newest in place of going back. A list in
// order of use would write to the entry, to its neighbours and to the newest with each
// hit, each of them another cache miss: a hit cost 300 ns in a cache of 17 MB, and now
// half. On the traces both hit alike: 56.5 %, and 43.3 % of what is generated.
//
// When the entries are larger than the capacity together, the window's oldest
// is compared with the victims that would have to leave for it. The window
// serves what is requested again soon, the main space what is requested often.
//
// # Frequency
//
// A count-min sketch of 4-bit counters estimates how often a hash was requested
// of late, entries that left included: 8 bytes for an entry. A hash's four counters
// lie in one cache line, its block, and a request raises the least of them alone.
// After ten requests for each entry all counters are halved, some blocks with each
// request, so that no call pays for all.
//
// The sketch follows the number of entries, a few blocks with each request, and keeps
// its counts: a block becomes two with the same counters, which the hash's next bit
// tells apart, and two become one again with the larger of each two. Its memory are
// chunks of 4 KiB, which the cache gives and takes. Without them it is smaller.
//
// Where sizes are bytes and entries small, the sketch has a 54th of their mean size,
// but 2 bytes at least: memory that the sketch takes holds no entries. On the traces
// of bench/caches half the sketch costs 0.2 points of the hit ratio, a third of it 0.3.
//
// # Admission
//
// A candidate is admitted if its frequency exceeds the sum of the victims'. Their
// number follows from the sizes: a large entry must be worth all the small ones
// that it takes the place of. That maximizes hits, not bytes that hit; both are
// above LRU's, since what is never requested again is kept out.
//
// With the smallest window the candidate has to be ahead by two. It was counted
// for the request that brought it, and a victim in a loop has its next request
// still to come. Without the margin a loop that is larger than the cache turns
// entries over that are worth the same, each at the price of a hit: a loop of
// 1011 keys in a cache of 750 has 63 % instead of 73 %, with 74 % the optimum.
//
// A candidate with a frequency of 6 or more that lost is let in once in 128, so
// that keys which collide in the sketch with hot ones are not shut out for ever.
//
// # The window's size
//
// The right window depends on the workload: a loop needs none, a queue of jobs
// nearly all. The usual answer is a hill climber, which changes the window and
// looks whether the hit ratio rose. It needs ten requests for each entry to take
// one step, can't tell its own effect from the workload's, and stays on the near
// side of a valley. Here small caches try it out: five trials, each with 512
// entries at most and a window of its own (1, 8, 25, 50, 80 %), see the requests
// for a sample of the keys, chosen by hash, against a capacity in proportion, and
// the policy takes the window of the one with the most hits. A trial has links
// and hashes alone, and asks the same sketch. The five have 64 KiB together,
// less where a cache has fewer entries. Of a million entries one request in two
// thousand is shown to them; of a cache below 512 every one.
//
// A verdict falls every round, which is as many requests as the cache has
// entries, over about ten of them. A change has a price, since a cache has to
// fill its larger window at the expense of its main space. So another window is
// taken only if its trial is ahead by 1 %, and by one and a half times the
// standard error as the rounds' differences show it. The latter matters where
// hits come in bursts, once to one trial, then to the other: a loop that turns
// around at its ends, as in the trace zigzag, makes a cache that follows the last
// rounds always choose the wrong one.
//
// # Sources
//
//	G. Einziger, R. Friedman, B. Manes: TinyLFU: A Highly Efficient Cache
//	  Admission Policy. ACM Transactions on Storage 13 (2017): sketch, halving,
//	  window, segmented main space.
//	G. Einziger, O. Eytan, R. Friedman, B. Manes: Adaptive Software Cache
//	  Management. Middleware 2018: a window that adapts, by climbing or by trials.
//	G. Einziger, O. Eytan, R. Friedman, B. Manes: Lightweight Robust Size Aware
//	  Cache Management. ACM Transactions on Storage 18 (2022): the sum of the
//	  victims' frequencies.
//	F. Corbató: A Paging Experiment with the Multics System. MIT 1968: CLOCK.
//	C. Waldspurger, T. Saemundsson, I. Ahmad, N. Park: Cache Modeling and
//	  Optimization using Miniature Simulations. USENIX ATC 2017: sampling by hash.
package tinylfu
