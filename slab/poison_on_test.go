//go:build poison || asan

package slab

// pretendRCU makes an object look as if it had been given to FreeRCU, for
// tests that call what is below it.
func pretendRCU(c *cache, off uint32) {
	o, _ := c.objectAt(off)
	st, pin := o.take()
	if st != stAllocated {
		o.put(st, pin)
		return
	}
	o.free = here()
	o.free.rcu = true
	o.put(stPending, pin)
}

// withoutGuards keeps every object in slabs, for tests that deal in offsets.
func withoutGuards(c *cache) { c.poison.noGuards = true }
