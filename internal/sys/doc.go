// Package sys holds everything that depends on the internals of the Go runtime or
// on the operating system: the pin that makes a section raw atomic, what takes
// its place in functions in assembly (leaf.go), membarrier, goroutines that
// inherit nothing (spawn.go), address-range reservation and the calls that commit
// and discard memory. No other package uses go:linkname or makes a system call.
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
// # Leaves
//
// The runtime never preempts a function in assembly: it would not know the
// pointers in it. So an operation on the data of its P that is one such function,
// from the P's number to the last store, needs no pin, which takes half of the
// time of the pinned operation. Packages rcu and slab have five of these leaves.
// They follow the protocol of the pinned path, and leave what is not fast to it:
// they undo what they began, and jump.
//
// A leaf calls nothing. It is marked as unsafe for the calls that debuggers
// inject. It loads whatever its arguments point to before its first store to the
// P's data, so that a fault, which is a panic in its caller, changes nothing.
// A stop of the world waits for it, as for a pinned section.
//
// The number of the P is found by offsets in the runtime's descriptors, which
// are known for the versions of Go in leaf_on.go. At start LeavesWork checks them:
// descriptors point to one another, and the number is that of a P to which the
// goroutine is pinned. There are no leaves for other versions and systems, with
// the build tag purego, and in builds that look into the operations (race, asan,
// msan, delay, lockdep, poison, holds).
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
