// Package scale is rcuscale and refscale, the kernel's benchmarks of RCU, for
// this library, and the table of what the library must reach.
//
// # Terms
//
//	loop       kfree_alloc_num allocations, each freed after a grace period
//	queued     the last FreeRCU has returned: where rcuscale's time ends
//	reclaimed  all that was queued is with the allocator again (Barrier): what
//	           rcuscale leaves out
//	run        nreaders goroutines, each with loops empty sections, at once
//	repeat     one measurement of a figure and, right before it, of its peer
//	figure     a number with a limit: a row of the table has one or more
//
// # The order of work
//
// What is compared is measured alternately, in one process: a machine that is
// slow for a second is slow for both. A figure is the median of its repeats. It
// is noisy if no majority of the repeats lies within 20 % of each other.
//
// # Misses
//
// The counts of cache misses are differences of whole processes, which do the
// same except for the last stage (stages in misses.go): valgrind simulates
// their caches, so that they hardly vary. The simulated caches are given, not
// the machine's own. The child runs one P and no garbage collection.
//
// Nothing here is on a production path, and nothing is kept between runs: every
// run makes its own allocators and closes them, which also shows that all
// memory came back.
package scale
