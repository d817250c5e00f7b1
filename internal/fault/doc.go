// Package fault makes allocations fail, operations slow and maps grow on purpose,
// to test what only happens then. It is the kernel's fault injection.
//
// # Failing allocations
//
// A Point is a place where an allocation can be made to fail: failslab (Slab)
// where slab searches beyond this P's main sheaf, fail_page_alloc
// (Page) at every page allocation. An Attr says how often, with the kernel's
// attributes. A point is off at start unless the environment variable QUIESCE
// has an option of its name; it then costs a slow path one load and a fast path
// nothing.
//
//	QUIESCE=failslab=10,fail_page_alloc=10          percent
//	QUIESCE=failslab=100:1000:3                     every 1000th, three times
//	probability[:interval[:times[:space]]]
//
// Nth is the systematic form (the kernel's fail-nth): the n-th allocation from
// now on fails, at whichever point. A test counts n up until nothing fails.
//
// # Growth
//
// SetResize has maps grow with every insertion and shrink with every deletion.
//
// # Delays
//
// With the build tag delay, Delay spins or yields the processor at random. Its
// calls are at the tagged pairs of docs/design/memory-ordering.md, which opens
// the windows between two of them wide. QUIESCE=delay=20:100us delays 20 calls in
// 1000, for 100 µs at most (the default is 5:50us). In place of that, a test of
// such a build can say with At what happens at each. Without the tag Delays is
// false and the calls are compiled away.
package fault
