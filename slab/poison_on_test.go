//go:build poison || asan

package slab

// pretendRCU makes an object look as if it had been given to FreeRCU, for
// tests that call what is below it.
func pretendRCU(c *cache, off uint32) {
	o, _ := c.poison.objectAt(off)
	st, pin := o.lock()
	if st != stAllocated {
		o.unlock(st, pin)
		return
	}
	o.free = callerTrack()
	o.free.rcu = true
	o.unlock(stPending, pin)
}

// withoutGuards keeps every object in slabs, for tests that deal in offsets.
func withoutGuards(caches ...*cache) {
	for _, c := range caches {
		c.poison.noGuards = true
	}
}

// padding is the byte beyond the size asked for.
const padding = bytePad

// errorsOf is the count of a cache's errors, the kernel's slab_errors.
func errorsOf(c *cache) int { return int(c.poison.errors.Load()) }

// guarded reports whether a guarded object of the cache is allocated.
func guarded(c *cache) (yes bool) {
	c.poison.guardEach(func(s *guardSlot) { yes = yes || s.state.Load() == stAllocated })
	return yes
}
