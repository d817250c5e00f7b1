// Package cookie takes cookies of grace periods after a fence of the caller's own.
// rcu.GetState has one, a read-modify-write of a word that all share, so that two
// processors that take many wait for each other. Package rcu provides the word.
package cookie

import "sync/atomic"

// seq is odd while a grace period runs: rcu.seq.
var seq *atomic.Uint64

// Provide is called by package rcu, when it is initialized.
func Provide(word *atomic.Uint64) { seq = word }

// Take returns the cookie of the first grace period that begins after all stores of
// the caller before its last atomic read-modify-write.
//
// Context: any.
func Take() uint64 { return (seq.Load() + 3) &^ 1 } // ord:seq-start

// Done reports whether the cookie's grace period has ended.
//
// Context: any.
func Done(c uint64) bool { return int64(seq.Load()-c) >= 0 } // ord:seq-end
