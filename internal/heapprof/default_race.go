//go:build race

package heapprof

// With the race detector sampling is off until it is turned on: its locks would
// order allocations that nothing else orders.
