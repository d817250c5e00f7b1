package slab

import (
	"fmt"
	"iter"
	"log/slog"
	"math/bits"
	"sync/atomic"

	"quiesce/internal/pages"
)

// Validate checks the cache's bitmaps, lists and counts against each other, and
// in `-tags poison` builds every object's memory against its state. It returns
// the number of errors and reports each of them: to the log, or in poison builds
// as [SetReporter] says. Lists and counts are left as they are. Memory is
// restored, so that a stray write is found once and counts twice (found,
// restored), as in the kernel. Other goroutines may use the cache during the
// call.
//
// Context: task; not pinned.
//
// Linux: validate_slab_cache.
func (c *Cache[T]) Validate() int { return c.c.validate() }

// Validate is [Cache.Validate] of every size class.
//
// Context: task; not pinned.
func (h *Heap) Validate() (errors int) {
	for _, c := range h.caches() {
		errors += c.validate()
	}
	return errors
}

// headsLocked yields the first page of every slab of the cache. mu is held.
func (c *cache) headsLocked() iter.Seq[uint32] { return c.headsOfLocked(0, c.core.Opened()) }

// headsOfLocked is headsLocked of the pages from..to. No slab crosses a multiple
// of its length.
func (c *cache) headsOfLocked(from, to uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for pg := from; pg < to; {
			m, step := c.core.Meta(pg), uint32(1)
			if m.Owner == c.id {
				step <<= c.shapeOfSlab(m).order
				if !yield(pg) {
					return
				}
			}
			pg += step
		}
	}
}

func (c *cache) validate() int {
	c.mu.LockIRQ()
	wrong := c.validateSlabsLocked()
	errors := len(wrong)
	errors += c.poison.examineAll()
	c.mu.UnlockIRQ()
	for _, what := range wrong {
		if poisonOn {
			c.poison.report(what)
		} else {
			slog.Error("slab: Validate: " + what)
		}
	}
	return errors
}

// validateSlabsLocked checks the identities of slabs.go. mu is held.
func (c *cache) validateSlabsLocked() (wrong []string) {
	report := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("cache %s: "+format, append([]any{c.name}, args...)...))
	}
	// What the slabs say of themselves.
	var count, objects, partial, partialOut, empty, out int
	for head := range c.headsLocked() {
		m := c.core.Meta(head)
		n, s := 0, c.shapeOfSlab(m)
		for i, w := range c.words(c.allocBits, head) {
			w = atomic.LoadUint64(&w) // ord:stat
			if w&^s.starts[i] != 0 {
				report("slab %#x has an allocation bit where no object begins: %#x", head, w&^s.starts[i])
			}
			n += bits.OnesCount64(w)
		}
		if n != int(m.InUse) {
			report("slab %#x counts %d objects in use, its bitmap %d", head, m.InUse, n)
		}
		count++
		objects += int(s.perSlab)
		out += int(m.InUse)
		switch m.InUse {
		case 0:
			empty++
		case s.perSlab:
		default:
			partial++
			partialOut += int(m.InUse)
		}
	}
	// What the lists say.
	walk := func(name string, first uint32, fits func(*pages.Meta) bool) (n, out int) {
		prev := uint32(0)
		for head := first; head != 0; {
			if head >= c.core.Opened() || c.head(firstUnit(head)) != head || c.core.Meta(head).Owner != c.id {
				report("the list of %s slabs leads from %#x to page %#x, which is no slab of this cache", name, prev, head)
				return n, out
			}
			m := c.core.Meta(head)
			if m.Prev != prev || !fits(m) || n > count {
				report("slab %#x does not belong where it is on the list of %s slabs", head, name)
				return n, out
			}
			n, out = n+1, out+int(m.InUse)
			prev, head = head, m.Next
		}
		return n, out
	}
	n, o := walk("partial", c.slabs.partial, func(m *pages.Meta) bool { return 0 < m.InUse && m.InUse < c.shapeOfSlab(m).perSlab })
	if n != partial {
		report("%d slabs are partial, %d are on their list", partial, n)
	}
	if o != partialOut {
		report("%d objects of partial slabs are in use, %d of the list's", partialOut, o)
	}
	if n, _ := walk("empty", c.slabs.empty, func(m *pages.Meta) bool { return m.InUse == 0 }); n != empty || n != c.slabs.empties {
		report("%d slabs are empty, %d are on their list, %d are counted", empty, n, c.slabs.empties)
	}
	if count != c.slabs.count {
		report("%d slabs, %d are counted", count, c.slabs.count)
	}
	if objects != c.slabs.objects {
		report("slabs for %d objects, %d are counted", objects, c.slabs.objects)
	}
	if out != c.slabs.inuse {
		report("%d objects are out of their slabs, %d are counted", out, c.slabs.inuse)
	}
	return wrong
}
