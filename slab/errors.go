package slab

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

// ErrClosed is the error of Close on a cache that is already closed. The error
// that Close returns wraps it and names the cache.
var ErrClosed = errors.New("already closed")

// mustBeOpen panics if the cache is closed. Allocation and freeing need no such
// call: admit finds out, on the slow path where a closed cache sends them.
//
// Context: any.
func (c *cache) mustBeOpen() {
	if c.closed.Load() { // ord:closed
		panic("quiesce/slab: use of closed cache " + c.name)
	}
}

// mustBeOpen panics if the Heap is closed.
//
// Context: any.
func (h *Heap) mustBeOpen() {
	if h.closed.Load() { // ord:closed
		panic("quiesce/slab: use of closed Heap")
	}
}

// LeakError is the error of Close on a cache whose objects were not all freed, or
// whose Sheaves were not all closed.
type LeakError struct {
	Cache   string
	Objects int     // still allocated
	Size    int     // of an object, in bytes
	First   uintptr // address of one of them, or of one that a Sheaf holds

	Sheaves int      // still open
	Held    int      // objects that they hold
	Made    []string // where the first few of them were made: function, file and line

	// Sites is where most of Objects were allocated: up to four call sites outside of
	// this library, the one with the most objects first. They are estimates from the
	// samples of package inspect's heap profile, which takes one in some 512 KiB: a
	// small cache often has none, and then Sites is empty. With
	// inspect.SetHeapProfileRate(1), from the start on, each allocation is noted.
	Sites []LeakSite
}

// LeakSite is a place in the program that allocated objects which were not freed.
type LeakSite struct {
	Place   string // function, file and line
	Objects int    // an estimate
}

// String returns the place, and that it is about so many objects.
func (s LeakSite) String() string { return fmt.Sprintf("%s (about %d)", s.Place, s.Objects) }

// Error names the cache, the number of objects, the first one's address and Sites, or the
// number of Sheaves and where they were made.
func (e *LeakError) Error() string {
	if e.Sheaves > 0 {
		text := fmt.Sprintf("slab: cache %s closed with %d Sheaves still open, which hold %d objects, made at %s",
			e.Cache, e.Sheaves, e.Held, strings.Join(e.Made, ", "))
		if e.Objects > 0 {
			text += fmt.Sprintf("; and with %d objects still allocated", e.Objects) + e.from()
		}
		return text
	}
	text := fmt.Sprintf("slab: cache %s closed with %d objects of %d bytes still allocated, the first at %#x", e.Cache, e.Objects, e.Size, e.First) + e.from()
	if len(e.Sites) == 0 && !poisonOn { // such a build has just said it
		text += " (inspect.SetHeapProfileRate(1), or a build with -tags poison, says where they were allocated)"
	}
	return text
}

// from says what Sites has.
func (e *LeakError) from() string {
	if len(e.Sites) == 0 {
		return ""
	}
	return ", by estimate from samples allocated at " + sitesText(e.Sites)
}

// badFree is called for a pointer that the range check refused. It frees one that
// SampleGuards gave a page of its own, and panics over others; nil is no error.
//
//go:noinline
func (c *cache) badFree(p unsafe.Pointer, op string) {
	switch {
	case p == nil:
	case c.sampleFree(p, op):
	case uint64(uintptr(p)-uintptr(c.base))>>unitShift < c.units:
		panic(c.misaligned(p, op))
	default:
		panic(fmt.Sprintf("quiesce/slab: %s of foreign pointer %p in cache %s: not in its allocator's range", op, p, c.name))
	}
}

// misaligned explains a pointer at which no object can begin.
func (c *cache) misaligned(p unsafe.Pointer, op string) string {
	return fmt.Sprintf("quiesce/slab: %s of %p in cache %s: not the start of an object, which is a multiple of %d", op, p, c.name, unit)
}

// misuse explains a freed address that is no allocated object.
func (c *cache) misuse(off uint32) string {
	p := c.pointer(off)
	if head := c.head(off); head >= c.core.Opened() || c.core.Meta(head).Owner != c.id {
		return fmt.Sprintf("quiesce/slab: foreign free of %p in cache %s: not an object of this cache", p, c.name)
	} else if u := off - firstUnit(head); c.shapeOfSlab(c.core.Meta(head)).starts[u/64]&(1<<(u%64)) == 0 {
		return fmt.Sprintf("quiesce/slab: free of %p in cache %s: inside an object, not the start of an object", p, c.name)
	}
	return fmt.Sprintf("quiesce/slab: double free of %p in cache %s", p, c.name)
}
