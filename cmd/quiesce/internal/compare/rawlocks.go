package compare

import "quiesce/lock"

// rawlocks is alternative 4: the lock that an allocation meets is a raw one, so
// arrays are available in every context for as long as memory lasts. Every
// waiter for the lock is pinned.
type rawlocks struct{ *pool }

func newRawLocks(in *Instance) (engine, error) {
	return onPool(in, "compare.rawlocks.zone", new(lock.Raw), func(p *pool) source { return rawlocks{p} })
}

func (r rawlocks) get() *array {
	r.lock.LockIRQ()
	a := r.takeLocked()
	few := r.left < poolLow
	r.lock.UnlockIRQ()
	if few {
		r.wantMore()
	}
	return a
}

func (r rawlocks) put(a *array) {
	r.lock.LockIRQ()
	r.putLocked(a)
	r.lock.UnlockIRQ()
}

// Conversion is a lock of the library's allocator, and what making it raw
// would take.
type Conversion struct {
	Lock   string // package.type.field
	Kind   string // what it is now
	Can    bool   // it protects memory operations only
	Reason string
}

// Conversions are the locks that an allocation, or the free that returns
// its memory, can meet. A test checks the list against the sources.
var Conversions = []Conversion{
	{"page.zone.lock", "lock.Spin", true, "the buddy: bounded by a batch of pages"},
	{"slab.cache.mu", "lock.Spin", true, "slabs and their bitmaps: bounded by a sheaf of objects"},
	{"slab.smallPages.mu", "lock.Spin", true, "places for small sheaves: one page's metadata"},
	{"page.Allocator.grow", "lock.Mutex", false, "madvise and mprotect under it: the frontier moves"},
	{"page.Allocator.takers", "lock.Mutex", false, "membarrier, and a wait for other Ps, under it"},
	{"page.Allocator.reclaimMu", "lock.Mutex", false, "changes of the list of reclaimers allocate"},
	{"slab.cache.reclaimMu", "lock.Mutex", false, "a grace period passes under it"},
	{"slab.Heap.mu", "lock.Mutex", false, "a size class is made under it: reserves address space"},
}
