// Package harness is what the commands share that measure peers side by side:
// they measure each row in a process of its own, in interleaved rounds, and
// print one table of medians and of ratios within a round.
//
// A process prints its figures, a line each: "figure NAME VALUE". It is the
// command again ([RunChild] of its own file), or a C program that a [Compiler]
// makes at run time.
package harness
