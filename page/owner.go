package page

import "time"

// What owners of pages, above all package slab, need besides Alloc and Free.

// Range is the size of the address range in bytes.
func (a *Allocator) Range() uintptr { return a.size }

// Opened is the number of pages, from 0, that have metadata.
func (a *Allocator) Opened() uint32 { return a.zone.added.Load() } // ord:frontier

// ReclaimTimeout is how long a gfp.Kernel allocation waits for memory.
func (a *Allocator) ReclaimTimeout() time.Duration { return time.Duration(a.timeout) }

// Reclaim asks everybody for memory once: the reclaimers, then the Ps' lists.
// An owner that waits for memory in its own way calls it between two tries.
// Unpinned, no locks held.
func (a *Allocator) Reclaim(need int64) {
	a.count.reclaims.Add(1) // ord:stat
	a.askReclaimers(need)
	a.flushLists()
}
