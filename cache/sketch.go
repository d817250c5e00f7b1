package cache

import (
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/tinylfu"
	"quiesce/page"
)

// A policy's sketch lies in pages of the cache's allocator, so that it counts: 4
// bytes for each entry. shard.mu protects them, and no reader looks at them. The
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
func (s *shard) hungryLocked() bool {
	need := s.policy.Need()
	return need < 0 || need > 0 && s.policy.Len() >= s.hungry
}

// feed gives the sketch a page, or takes one, and reports whether it took one.
func (s *shard) feed() (took bool) {
	s.mu.Lock()
	for range fitSteps {
		s.policy.Fit()
	}
	need := s.policy.Need()
	var unused *tinylfu.Chunk
	if need < 0 {
		unused = s.policy.Take()
	}
	s.mu.Unlock()
	switch {
	case unused != nil:
		s.c.freeChunk(unused)
	case need > 0:
		p := s.c.newChunk(gfp.NoWait)
		s.mu.Lock()
		if s.hungry = 0; p != nil {
			s.policy.Give(p)
		} else {
			n := s.policy.Len()
			s.hungry = n + max(n/sketchRetry, leastRetry)
		}
		s.mu.Unlock()
	}
	return unused != nil
}

// starve takes all pages that the sketch does not use.
func (s *shard) starve() {
	for s.feed() {
	}
}

// sketchBytes is the memory of the sketches.
func (c *core) sketchBytes() (sum int64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		sum += int64(s.policy.ChunkBytes())
		s.mu.Unlock()
	}
	return sum
}
