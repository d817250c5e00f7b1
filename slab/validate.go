package slab

import (
	"iter"
	"log/slog"

	"quiesce/lock"
)

// Validate checks the cache's bitmaps, lists and counts against each other, and
// in `-tags poison` builds every object's memory against its state. It returns
// the number of errors and reports each of them: to the log, or in poison builds
// as [SetReporter] says. Lists and counts are left as they are. Memory is
// restored, so that a stray write is found once and counts twice (found,
// restored), as in the kernel. Other goroutines may use the cache during the
// call, and wait for a small part of it at most.
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

// headsOfLocked yields the first pages of the cache's slabs among the pages
// from..to; from is a multiple of every slab's length, and no slab crosses a
// multiple of its own. mu is held.
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

// validating lets one goroutine at a time validate. cache.mu is taken under it.
var validating lock.Mutex

func init() { validating.Init("slab.validating") }

func (c *cache) validate() int {
	validating.Lock()
	wrong := c.validateSlabs()
	validating.Unlock()
	errors := len(wrong) + c.poison.examineAll()
	for _, what := range wrong {
		if poisonOn {
			c.poison.report(what)
		} else {
			slog.Error("slab: Validate: " + what)
		}
	}
	return errors
}

// validateSlabs checks the identities of slabs.go, in as many holds as walk.go
// says. validating is held.
func (c *cache) validateSlabs() (wrong []string) {
	w := &walk{cache: c}
	for more := true; more; {
		w.makeRoom()
		c.mu.LockIRQ()
		more = w.stepLocked()
		c.mu.UnlockIRQ()
	}
	return w.wrong
}
