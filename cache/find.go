package cache

import (
	"unsafe"

	"quiesce/internal/pin"
)

// value returns the value of a node, in place.
func (c *core) value(n unsafe.Pointer) []byte {
	p, l := c.index.Value(n)
	return unsafe.Slice((*byte)(p), l)
}

// find returns the node of k if it has not expired, or nil, and counts that. The
// caller is in a section.
func (c *core) find(k unsafe.Pointer, now int64, op string) unsafe.Pointer {
	if c.closed.Load() { // ord:cache-close
		panic(closedUse(op))
	}
	n := c.index.Find(k)
	if n != nil && !c.live(headerOf(n), now) {
		n = nil
	}
	var full *shard
	p := pin.Disable()
	if n != nil {
		full = c.hit(p, headerOf(n), n)
	} else {
		c.miss(p)
	}
	p.Enable()
	if full != nil {
		full.relieve()
	}
	return n
}

// guarded returns the value of k in place, and whether it is there, and counts that.
// The caller is in a section.
func (c *core) guarded(k unsafe.Pointer, op string) ([]byte, bool) {
	n := c.find(k, c.ahead(), op)
	if n == nil {
		return nil, false
	}
	return c.value(n), true
}
