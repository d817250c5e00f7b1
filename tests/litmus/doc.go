// Package litmus runs litmus tests of RCU on the real code: many instances of
// a shape at once, and counts which outcomes were seen, as litmus7 does for
// machines. The shapes are in its tests.
//
// # Terms
//
// A shape is a handful of processes of two accesses each, and one outcome: a
// value for every register. An instance is a copy of the shape's variables and
// registers. A batch is 1 to 8192 instances that the processes go through in one
// run. The outcome is forbidden ("Never") or allowed ("Sometimes").
//
// # Why a batch of instances is many true instances
//
// In a run each process does its program on every instance of the batch:
//
//	updater   first access of every instance; ONE grace period; second access of every instance
//	reader    sections; each takes some instances, and has both accesses of each
//	plain     both accesses of one instance, then of the next
//
// For one instance that is the shape's own program, with accesses to other
// variables between. (1) An updater's two accesses of it come before and
// after a whole grace period, in program order. The promise of a grace period
// does not depend on the number of accesses. (2) A section has both
// accesses of it, in program order; what else is in the section makes it
// longer but still a section. (3) No variable and no register is shared by
// two instances.
//
// A forbidden outcome is forbidden because of a cycle: of program order, of
// which access read which value, and of sections that a grace period waited for
// or that began after its start. Each link joins two accesses of the instance,
// or one and its section or grace period, all of which are there in the batch.
// More accesses add orderings and remove none. So each forbidden outcome seen in
// a batch is a failure of RCU, without qualification. Conversely, allowed outcomes
// are less likely in a batch than they could be, so those that must be seen show
// whether the harness is any good.
//
// Instances of a batch are not independent trials. What a missing fence
// needs is a section's entry within some nanoseconds of a grace period's
// beginning; there is one such beginning for each batch and updater. The result
// therefore counts grace periods and sections too, and batches of one instance are as
// frequent as batches of 8192.
//
// # What makes outcomes meet
//
// Processes are bound to different processors, meet at a spinning barrier before each
// batch, and begin after a random delay of up to some 10 µs. They go through the
// instances in the same order, in opposite ones (then they
// are sure to meet once) or each in its own; instances are adjacent or in lines of
// their own; sections have one instance or up to all. Before a section or a grace period a process
// stores to a line that the others store to as well: what it stores next,
// the entry to the section, queues behind it in the store buffer.
//
// # Accesses
//
// load and store are one MOV each, which a test reads in the disassembly. A
// publication is Go's atomic store, as in slab.Pointer.
//
// On amd64 a later store never overtakes an earlier load, and loads keep
// their order among themselves, as stores do. A shape such as RW-G+RW-R is
// forbidden there without any RCU. RCU's promise does not depend on the order
// inside a section, so every such shape has a sibling (WR-R) with the
// section's accesses exchanged, in which only the grace period forbids the
// outcome.
//
// # Why to believe it
//
// The verdicts are checked by an exhaustive search over a model of sections and
// grace periods. The store buffering of plain processes must be seen. A grace period that waits
// for no reader, one that began too early, and one that lacks its membarrier must
// be caught.
package litmus
