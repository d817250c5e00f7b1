// Package leaves tests the operations that have no pin (internal/sys, "Leaves")
// against everything that stops or moves a goroutine: the collector, stops of the
// world, preemption, GOMAXPROCS that changes, calls from C, profiles and traces.
//
//	go test ./tests/leaves           three seconds
//	go test ./tests/leaves -for 1h
//
// A leaf that loses its P in the middle gives an object two owners, or miscounts
// sections, which ends in a grace period that never does, or in a panic. A control
// that is written as a leaf must not be, in Go and without a pin, shows that
// the disturbance is enough.
package leaves
