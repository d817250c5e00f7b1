// Package tally counts what happens at places of the library. The instrumented
// build has it as internal/tally (go build -overlay), for the library to call.
package tally

import "sync/atomic"

// Most is how many places there can be.
const Most = 1024

// Each counter has a line of its own.
var cells [Most]struct {
	n atomic.Uint64
	_ [120]byte
}

// Hit counts.
//
// Context: any. It takes no lock.
//
//go:norace
func Hit(site int) { cells[site].n.Add(1) }

// Value counts an operation that has taken place, and returns its result.
//
// Context: any.
//
//go:norace
func Value[T any](site int, v T) T {
	Hit(site)
	return v
}

// Got counts if ok, and returns ok.
//
// Context: any.
//
//go:norace
func Got(site int, ok bool) bool {
	if ok {
		Hit(site)
	}
	return ok
}

// Counts returns all counters, by place.
func Counts() []uint64 {
	all := make([]uint64, Most)
	for i := range all {
		all[i] = cells[i].n.Load()
	}
	return all
}
