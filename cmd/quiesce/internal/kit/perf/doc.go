// Package perf reads what the system counts for this process: cache misses by
// hardware counters, processor time, and sleeps.
package perf
