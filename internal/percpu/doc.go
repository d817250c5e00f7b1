// Package percpu gives every P a slot of its own, padded against false
// sharing. The goroutine that is pinned to a P owns its slot and needs no
// atomics. Other goroutines take a slot over by the revoking protocol of the
// package that defines it.
//
// # The layout
//
//	            columns: one Slots takes 1 line of 128 bytes, or several
//	table       0     1     2    …   1023
//	P 0       ┌─────┬─────┬─────┬───┬─────┐
//	P 1       │     │     │     │   │     │  a row of 128 KiB for each P
//	…         │     │     │     │   │     │
//	P rows-1  ├─────┴─────┴─────┴───┴─────┤
//	…         │ reserved, no access       │
//	P most-1  └───────────────────────────┘
//
// All Slots of the process lie in tables. The slot of P id is at base +
// id*pitch, where base is the column's place in row 0: one address computation,
// as in an array of its own. The pitch is a constant, so that it is a shift.
//
//   - Slots cost 128 bytes for each P that runs and nothing else: no mapping, no
//     page of their own. A table is two mappings, for 1,024 columns.
//   - Neighbours in a row are the same P's, so that no line, and no page, is
//     written by two Ps. A P's pages are first touched by the P, and lie on its
//     NUMA node.
//   - The slots of one column have the same low address bits and so compete for
//     the sets of a first-level cache. That concerns only a taker who walks over
//     all Ps; it misses on every slot anyway, because the owner wrote it.
//   - A table is a prefix that is open, one row for each P, and a rest without
//     access. What is locked in memory (mlockall), counted (RLIMIT_DATA,
//     vm.overcommit_memory=2) or committed (Windows) is the prefix: 128 KiB for
//     each P, for 1,024 columns.
//
// # Ps that appear later
//
// A P's number may be used by a goroutine that is pinned before anybody hears
// of it: runtime.GOMAXPROCS has no hook. So At compares the number with rows (hot.rows), a
// branch in place of a mask, and its slow half opens more rows of every table.
// Rows for all processors of the machine are open from the start, so only a
// program that raises GOMAXPROCS above that comes there, once each time that
// the number of rows doubles. Where possible that happens in Follow, in a
// context that may make system calls. In a pinned section it is a raw system
// call, which keeps the P as a page fault does. Systems without raw system
// calls begin with more rows, and end the program with a sentence if a pinned
// section is the first to see a P above them.
//
// The argument. Tables are added and rows are opened concurrently, without
// a lock, and no one may find a row closed that is below rows:
//
//	add a table              open rows
//	publish it in tables     wanted = max(wanted, n)
//	n = wanted               open n rows of all tables
//	open n rows of it        rows = max(rows, n)
//	hand out its columns
//
// All four accesses are sequentially consistent. If the one that adds does not
// see a new wanted, the one that opens reads tables after that, finds the table
// and opens its rows before it raises rows. Otherwise the rows are open before a
// column of the table is used. Opening is idempotent. A P that reads an old,
// lower value of rows opens again what is open, and one that reads a new
// value may use the row: the kernel changed the access rights before the store.
package percpu
