package lockdep

import "quiesce/internal/depcheck"

// Order says that a lock of class To was taken while one of class From was
// held.
type Order struct{ From, To string }

// Orders returns the orders that were learned since the last Reset, oldest
// first.
//
// Context: task; not pinned.
func Orders() []Order {
	return each(depcheck.Orders(), func(o depcheck.Order) Order { return Order(o) })
}

// Class is a lock class that was seen since the last Reset.
type Class struct {
	Name  string // as in reports and in Order
	Type  string // the Name of its Type: lock.Raw, lock.Spin …
	Outer WaitType
	Inner WaitType
}

// Classes returns the lock classes, oldest first, including those of sections.
//
// Context: task; not pinned.
//
// Linux: /proc/lockdep.
func Classes() []Class {
	return each(depcheck.Classes(), func(c depcheck.Class) Class { return Class(c) })
}

// each returns to of all in from.
func each[F, T any](from []F, to func(F) T) (all []T) {
	for _, f := range from {
		all = append(all, to(f))
	}
	return all
}

// Stats are figures about lockdep itself: counts since Enable, and the current
// sizes of its tables.
type Stats struct {
	Acquisitions uint64 // of locks, and with -tags lockdep of sections
	ChainMisses  uint64 // acquisitions whose chain was new
	Reports      uint64 // made
	Suppressed   uint64 // faults found again, or too many to remember

	Classes, Orders, Chains, Stacks, Goroutines int // in use now
}

// ReadStats returns the figures.
//
// Context: any.
//
// Linux: /proc/lockdep_stats.
func ReadStats() Stats { return Stats(depcheck.ReadStats()) }
