package cache

import (
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/tinylfu"
	"quiesce/page"
)

// The policy's sketch lies in pages of the cache's allocator, so that it counts: 4
// bytes for each entry. core.mu protects them, and no reader looks at them. The
// policy says under the lock whether it lacks a page, or has one that it does not
// use; pages are allocated and freed without the lock.

var _ [page.Size - unsafe.Sizeof(tinylfu.Chunk{})]struct{} // a chunk fits into a page

const (
	// sketchRetry is how many more entries there are, in parts of all and at least,
	// before the next attempt to get a page after one failed. Untuned.
	sketchRetry, leastRetry = 64, 16
	// fitSteps is how often the sketch is fit at a time while memory is asked for.
	fitSteps = 16
)

// newChunk returns a zero page for the sketch, or nil.
func (c *core) newChunk(f gfp.Flags) *tinylfu.Chunk {
	return (*tinylfu.Chunk)(c.pages.Alloc(0, f|gfp.Zero|gfp.NoWarn))
}

func (c *core) freeChunk(p *tinylfu.Chunk) { c.pages.Free(unsafe.Pointer(p), 0) }

// hungryLocked reports whether the sketch lacks a page and may ask for one, or has one
// too many.
func (c *core) hungryLocked() bool {
	need := c.policy.Need()
	return need < 0 || need > 0 && c.policy.Len() >= c.hungry
}

// feed gives the sketch a page, or takes one, and reports whether it took one.
func (c *core) feed() (took bool) {
	c.mu.Lock()
	for range fitSteps {
		c.policy.Fit()
	}
	need := c.policy.Need()
	var unused *tinylfu.Chunk
	if need < 0 {
		unused = c.policy.Take()
	}
	c.mu.Unlock()
	switch {
	case unused != nil:
		c.freeChunk(unused)
	case need > 0:
		p := c.newChunk(gfp.NoWait)
		c.mu.Lock()
		if c.hungry = 0; p != nil {
			c.policy.Give(p)
		} else {
			n := c.policy.Len()
			c.hungry = n + max(n/sketchRetry, leastRetry)
		}
		c.mu.Unlock()
	}
	return unused != nil
}

// starve takes all pages that the sketch does not use.
func (c *core) starve() {
	for c.feed() {
	}
}

// sketchBytes is the memory of the sketch.
func (c *core) sketchBytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(c.policy.ChunkBytes())
}
