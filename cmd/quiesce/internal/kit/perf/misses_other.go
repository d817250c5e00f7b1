//go:build !linux

package perf

import "errors"

// Misses counts the cache misses of this process by hardware counters.
type Misses struct{}

// CountMisses fails here: only Linux has such counters for a process.
func CountMisses() (*Misses, error) { return nil, errors.New("no hardware counters on this system") }

// Read is the number of misses since CountMisses.
func (m *Misses) Read() uint64 { return 0 }

// Close ends the counting.
func (m *Misses) Close() {}
