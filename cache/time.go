package cache

import "quiesce/internal/sys"

// clock returns the time on the cache's clock, in ns.
func (c *core) clock() int64 {
	if c.clockFn != nil {
		return c.clockFn()
	}
	return sys.Nanotime()
}

// ahead returns the time, if a read that is about to be pinned may need it and may
// not ask for it then, since it is the user's.
func (c *core) ahead() int64 {
	if c.clockFn != nil && c.deadlines.Load() { // ord:hint
		return c.clockFn()
	}
	return 0
}

// live reports whether an entry has not expired. now is what ahead returned.
func (c *core) live(h *header, now int64) bool {
	t := h.timer()
	if t == nil {
		return true
	}
	if c.clockFn == nil {
		now = sys.Nanotime()
	}
	return now < t.expires()
}

// deadline returns that of an entry which is stored now. A negative ttl has passed.
func (c *core) deadline(ttl int64) int64 {
	now := c.clock()
	if ttl > never-max(now, 0) {
		return never
	}
	return max(now+max(ttl, -1), 1)
}
