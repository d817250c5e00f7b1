// Package process tests what becomes of a program that uses Quiesce when the
// system is rough with it: killed, stopped and continued, denied memory. It
// has no code of its own.
//
// A test starts itself again as a child, which runs readers of every flavour
// and writers with every way to free at full tilt under a small limit, and
// takes commands from its standard input (world_test.go).
//
// # What a user sees
//
// SIGKILL: nothing is left. All memory is anonymous and private; there is no
// file, no shared memory, no other process.
//
// SIGSTOP: nothing ends early. The clock goes on, so time limits that were
// running may have run out at SIGCONT: a gfp.Kernel allocation that was waiting
// for memory returns nil (page.Config.ReclaimTimeout), and a grace period that
// waits for a reader then is reported once as stalled if rcu.StallTimeout has
// passed, with readers=0 if the last one left at that very moment. Neither has other consequences.
//
// A limit on address space (RLIMIT_AS): a constructor that can't reserve its
// range returns an error; a smaller page.Config.Reserve may fit. The Go runtime
// takes 1.2 GB; below some 1.4 GB the process ends at its start, and says
// why. What is reserved already is not affected.
//
// A limit on memory (RLIMIT_DATA): allocations return nil once the opened part of
// the range is used up. FreeRCU goes on, by the fallback chain.
//
// The Go heap is the Go runtime's: where it can't grow the process ends with
// exit status 2 and "fatal error: ... out of memory" or "cannot allocate
// memory". No library can help that.
package process
