// Package metamorphic runs the same random operations under different options
// and compares what came out: the results may not depend on the options. It
// is Pebble's idea, in code of our own. No model says what is right; the first
// run, with no options, does.
//
// # Operations
//
// A program is a list of lines; an operation has five fields:
//
//	thread verb kind a b            1 new cache64 17 3
//
// Threads 0 to 2 run at the same time, from one operation of the thread "*" to
// the next, which has the world to itself. There is memory of several kinds:
// slab caches, kmalloc, blocks of pages, and the nodes of two maps. A thread
// has slots of each kind, and keys of its own in each map, which lie in the
// same buckets as the others'. Operations that need what isn't there do
// nothing, so every part of a program is a program, which the reducer needs.
//
// # Options
//
// Of the process: QUIESCE=preempt_rt, membarrier, failslab, fail_page_alloc;
// each run is a process of its own, this test binary started again. Of the
// world: sheaf and depot sizes, a memory limit, a balloon, the number of Ps, and
// maps that grow with every insertion and shrink with every deletion.
//
// # What a result is
//
// Contents of objects, what maps find, leaks at Close, errors and panics.
// What options may change is not in the results, and is kept from changing
// them:
//
//   - Which thread came first. A thread's results come from its own slots and
//     keys only. Of others' objects it checks that they are whole when they are
//     found under a guard, and unchanged when the guard is unlocked: the
//     result is "unchanged", whatever was found.
//   - Where objects are. No address is in a result.
//   - Whether there was memory. An allocation is tried with its flags in its
//     context; if it gets nil, which is legal there, it is done again with
//     gfp.Kernel and no context, until it gets memory. So the slot is full
//     afterwards either way, and "starved" is a result that differs. For that
//     to be a fault of the library, the memory must be there: the world
//     counts what each thread allocated since the last "barrier", and
//     refuses ("quota") by that count, which no option changes. Everything
//     freed before a barrier is reclaimed, so the limit holds all that can be
//     live or waiting for guards; see world.bound. That is more than most
//     programs need. The balloon, pages that the world takes until little is
//     left, makes memory really short; when an allocation waited in vain, the
//     balloon frees some pages.
//   - Whether a refused Put changed something: it must not, which is checked
//     before it is done again.
//   - When a grace period ends. A cookie is only polled while a guard is held that
//     it must wait for (not done), or after a wait (done).
//
// # Failures
//
// A program that gives other results, dies, or does not end, is cut down by
// delta debugging, then its options are, as long as it fails the same way.
// Programs run concurrently, so a smaller one is tried a few times. The test
// prints what is left, the seed, and the command that repeats it.
package metamorphic
