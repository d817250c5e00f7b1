package cache

// How much the policy may hold. The memory that entries take is more than the sum of
// their sizes, by what depends on their sizes and on how these change: the table,
// slabs that are partly filled, free objects in stock, and objects that wait for a
// grace period. No formula has it. So the capacity follows the memory: it falls when
// the allocator asks for some, which it does a little before there is none, and rises
// by a part of what is stored as long as it does not.

const (
	// growPart is the part of what is stored by which the capacity rises. Untuned.
	growPart = 16
	// growStep is the least part of the limit by which it is changed: a change costs
	// the policy some work. Untuned.
	growStep = 1 << 12
)

// growLocked lets the capacity rise, for an entry that was stored.
func (c *core) growLocked(size uint64) {
	have := c.policy.Capacity()
	if have >= c.limit {
		return
	}
	if c.grown += size; c.grown/growPart < max(c.limit/growStep, 1) {
		return
	}
	c.policy.SetCapacity(min(have+c.grown/growPart, c.limit))
	c.grown = 0
}

// Reclaim implements page.Reclaimer: the cache shrinks by need bytes.
func (c *core) Reclaim(need int64) {
	if !c.begin() {
		return
	}
	defer c.end()
	for freed := int64(0); freed < need; {
		n := c.shrink(need - freed)
		if n == 0 {
			return
		}
		freed += n
	}
}

// shrink evicts some of the entries that have to leave if the cache is to shrink by
// need bytes, and returns how many bytes they had.
func (c *core) shrink(need int64) (freed int64) {
	var out leaving
	c.mu.Lock()
	if c.guest != 0 {
		c.dropLocked(c.guest, c.entries.node(c.guest), Evicted, &out)
	}
	less := uint64(need)
	if c.unit != 0 {
		less = 1
	}
	size := c.policy.Size()
	c.policy.SetCapacity(size - min(less, size))
	c.evictLocked(&out, 0)
	for _, r := range out.list[:out.n] {
		freed += int64(footprint(c.index.Size(r.n)))
	}
	c.mu.Unlock()
	c.dispose(&out)
	return freed
}

// String names the cache in the allocator's errors.
func (c *core) String() string { return c.name }
