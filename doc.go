// Package quiesce is the root of a library for data outside the Go heap: memory
// that the garbage collector never scans, that any number of goroutines read
// without locks, and that is freed safely while they do.
//
// It has no code of its own. Import what you need:
//
//   - [quiesce/rcuhash], hash maps for millions of keys in bounded memory, with
//     values of one type or of any length;
//   - [quiesce/slab], caches of fixed-size objects, allocation by size, and
//     FreeRCU, which frees an object once its readers have left;
//   - [quiesce/rcu], readers, grace periods and callbacks;
//   - [quiesce/page], blocks of pages from a range with a hard limit;
//   - [quiesce/gfp], the flags that say what an allocation may do;
//   - [quiesce/preempt] and [quiesce/lock], contexts in which nothing may
//     block, and locks for them;
//   - [quiesce/lockdep], which proves locks and contexts right from one run;
//   - [quiesce/inspect], which shows what all of these are doing.
//
// A map in use:
//
//	sessions, err := rcuhash.New[string, Session](1_000_000)
//	…
//	sessions.Put("7f3a", Session{User: 7})
//
//	rcu.Read(func(g rcu.Guard) { // no lock, no shared write
//		if s := sessions.Get(g, "7f3a"); s != nil {
//			fmt.Println(s.User) // in place, not copied
//		}
//	}) // s must not be used any more
//
// # Rules
//
// A pointer found under a guard is dead after Unlock. Unlink an object before
// passing it to FreeRCU. Objects hold no Go pointers. An allocation may return
// nil and a Put false: memory has a limit. Nothing waits for memory or for a
// grace period inside a read-side section.
//
// # Documentation
//
// docs/guide teaches: getting started, contexts, debugging, operations.
// docs/design explains how it works and why it is right. Each package's own
// documentation begins with its use.
package quiesce
