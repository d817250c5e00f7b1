//go:build poison || asan

package policy

// poisoned: package slab has its debugging locks.
const poisoned = true
