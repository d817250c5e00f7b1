// Package sys holds everything that depends on the internals of the Go runtime or
// on the operating system: the pin that makes a section raw atomic, membarrier,
// goroutines that inherit nothing (spawn.go), address-range reservation and the
// calls that commit and discard memory. No other package uses go:linkname or
// makes a system call.
//
// # Pinning
//
// ProcPin keeps the running goroutine on its P and returns the P's number.
// Until ProcUnpin the goroutine can't be preempted, and blocking ends the
// process with "schedule: holding locks". A pinned section may allocate on
// the Go heap, grow its stack, start a goroutine and send on a channel
// without blocking; it must not call a system-call wrapper that enters the
// scheduler (RawSyscall is fine), must not panic with anything but a string,
// and must be short, because the garbage collector waits for it.
//
// # Membarrier
//
// Membarrier makes every running thread of this process execute a full
// memory barrier before it returns (Linux: MEMBARRIER_CMD_PRIVATE_EXPEDITED).
// It turns the store-load fence that a reader would need on every entry into
// a cost of the rare updater. Where the kernel has no such command, or with
// QUIESCE=membarrier=0, the world is stopped and started instead: every P
// passes through the scheduler's locks, which orders the same accesses, at
// the price of waiting for pinned sections to end.
//
// # Address space
//
// Reserve takes address space without memory, Open makes a part of it
// accessible, Populate commits memory, Discard returns it.
// Nothing is ever unmapped: a stale pointer into a range that the Go heap
// later received would crash the collector.
package sys
