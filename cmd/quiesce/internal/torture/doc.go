// Package torture is rcutorture for Quiesce: readers, updaters and free'ers of
// every kind at random, all at once, with invariants that a too short
// grace period, a lost callback or a misplaced object breaks. The names of
// parameters and of the summary's figures are the kernel's.
//
// # What is checked
//
// Objects are allocated from a slab cache and published in turn, one at a time.
// An object that was replaced has age 1 and grows older by one with every grace
// period; at age pipeLen it is freed. A reader's section is over before the
// second grace period after it began, so
//
//	Reader Pipe    ages that readers saw at their sections' ends: 0 and 1 only
//	Reader Batch   grace periods that ended during a section: 0 and 1 only
//	rtmbe          objects seen unmarked: freed, or not yet published
//	reused         objects that became another one during a section
//	rtmbkf         a mailbox: what a reader saw before a grace period, others
//	               see after it (failed/tried)
//	cookie errors  a cookie taken in a section that is done before its end, or
//	               one that is not done after a grace period was waited for
//	rtbe           a callback that had not run when Barrier returned
//	stamps         objects of the kfree part that changed under a reader
//	owners         objects that a thread kept for itself and another one got; a
//	               Sheaf that did not give what it had in stock
//	maps           keys that stay, found by every look-up and seen once by every
//	               walk; what each operation returns; whole values; what a
//	               refused Put leaves; the counts in the end
//	accounts       allocated == freed, closed caches without leaks, CacheStats'
//	               identities, memory within the limit
//
// Anything else that goes wrong ends the process, or stops its progress, which the
// watchdogs see: one in the process, one in its parent.
//
// # Who runs where
//
// Run starts each scenario in a process of its own, because options such as
// preempt_rt are chosen at process start, and because a failure may be the
// process's end. The child (Child) reads its scenario from stdin, reports on
// stdout, and ends when stdin is closed (package kit has the protocol). Tests
// run sessions in their own process.
//
//	session   one run of one scenario: sets up, starts the threads, stops them
//	          in order, counts. Its goroutines are called threads
//	reader    loops over read-side sections made of random steps (section.go)
//	writer    publishes objects and ages the old ones; fakewriters only wait
//	kfree     the FreeRCU part: a table of stamped objects
//	owner     the same through Sheaves of its own, that come and go
//	maps      maps that grow and shrink, with writers and readers of their own
//
// # Seeds
//
// Each thread draws from a generator of its own, seeded by the session's seed,
// the thread's name and its number: with the same seed it makes the same
// decisions in the same order. What they meet is the scheduler's choice, so a
// failure need not come again.
//
// # What readers may do
//
// Rules of pinned sections hold inside of readers and of everything that they
// call: no formatting, no locks, no blocking. What a reader finds wrong goes to
// words of its own, and is reported after the section's end.
package torture
