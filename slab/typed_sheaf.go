package slab

import (
	"runtime"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/internal/race"
)

// Sheaf is a stock of objects of one cache that belongs to one goroutine. Alloc,
// Free and FreeRCU work on arrays of its own, without a pin and without an atomic
// operation, in less than the time that the cache's own take. After
// Sheaf(n, gfp.Kernel), or a Refill(n, …) that returned true, the next n
// allocations can't fail and take no lock, in any context, raw atomic ones
// included: prepare in a task what a handler or a pinned section needs.
//
//	s, err := cache.Sheaf(64, gfp.Kernel) // may wait for memory
//	defer s.Close()
//	p := preempt.Disable()
//	o := s.Alloc(gfp.NoWait | gfp.NoLocks) // not nil, 64 times
//	p.Enable()
//
// A Sheaf is for the goroutines that allocate and free all the time, and for those
// that must not be refused; for all others there is the cache. Objects of the cache
// may be freed through it wherever they were allocated, and those that it returned
// through the cache.
//
// It holds up to n objects, and three arrays more (CacheStats.SheafCap objects each),
// which nobody else gets until it frees more than fits or is closed: they count
// against the limit of the cache's allocator, and are in CacheStats.Held. FreeRCU's
// objects wait in an array of the Sheaf's until it is full, or, if it doesn't fill,
// until the first call of a method after some 10 to 40 ms. An owner who makes no
// more calls keeps them: [Cache.Barrier] does not wait for what an open Sheaf holds.
//
// A Sheaf may be handed to another goroutine by whatever orders the two (a channel,
// a mutex). With -race two goroutines that use one without are reported. It must
// not be copied. One that is dropped without Close is closed by the garbage
// collector; a cache that is closed before its Sheaves says where they were made
// ([LeakError]).
//
// Linux: kmem_cache_prefill_sheaf, kmem_cache_alloc_from_sheaf.
type Sheaf[T any] struct {
	_ noCopy

	own     *owned // what it holds; it outlives the handle
	used    uint64 // written by every call in checking builds, for the race detector to see
	cleanup runtime.Cleanup
}

// noCopy makes go vet report copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// Sheaf makes a stock of n objects for the calling goroutine, or for one that it
// hands it to. f says how they are got. The error wraps [ErrNoMemory]. Close the
// Sheaf when the goroutine ends.
//
// Context: task; not pinned. With [gfp.Kernel] it may wait, as an allocation.
//
// Linux: kmem_cache_prefill_sheaf.
func (c *Cache[T]) Sheaf(n int, f gfp.Flags) (*Sheaf[T], error) {
	var pc [1]uintptr
	runtime.Callers(2, pc[:])
	if depcheck.Tagged {
		c.c.mightAlloc(f)
	}
	o, err := c.c.openSheaf(n, f, pc[0])
	if err != nil {
		return nil, err
	}
	s := &Sheaf[T]{own: o}
	s.cleanup = runtime.AddCleanup(s, (*owned).forgotten, o)
	return s, nil
}

// Alloc returns an object. As long as there are some in stock (Len) it can't fail;
// after that it allocates as the cache does, and returns nil if there is no memory.
// Without [gfp.Zero] the object's content is undefined.
//
// Context: as the flags say, see package gfp; with [gfp.NoLocks] any.
//
// Linux: kmem_cache_alloc_from_sheaf.
func (s *Sheaf[T]) Alloc(f gfp.Flags) *T {
	var p unsafe.Pointer
	if checked {
		p = s.own.allocChecked(&s.used, f)
	} else {
		p = s.own.alloc(f)
	}
	runtime.KeepAlive(s)
	return (*T)(p)
}

// Free frees an object at once, into the stock: no goroutine may still use it. p
// may be nil. What the stock does not need goes to the cache. Free panics as
// [Cache.Free] does.
//
// Context: any.
func (s *Sheaf[T]) Free(p *T) {
	if checked {
		s.own.freeChecked(&s.used, unsafe.Pointer(p))
	} else {
		s.own.free(unsafe.Pointer(p))
	}
	runtime.KeepAlive(s)
}

// FreeRCU frees an object after a grace period, as [Cache.FreeRCU] does, but that
// the object may wait in the Sheaf for a later call of a method. It never fails.
//
// Context: any.
func (s *Sheaf[T]) FreeRCU(p *T) {
	if checked {
		s.own.freeRCUChecked(&s.used, unsafe.Pointer(p))
	} else {
		s.own.freeRCU(unsafe.Pointer(p))
	}
	runtime.KeepAlive(s)
}

// Len returns how many objects are in stock: so many allocations can't fail.
//
// Context: any.
//
// Linux: kmem_cache_sheaf_size.
func (s *Sheaf[T]) Len() int {
	if checked {
		touch(&s.used)
	}
	n := s.own.length()
	runtime.KeepAlive(s)
	return n
}

// Refill fills the stock up to n objects, and reports whether it has as many. From
// then on frees keep it at n, where the cache would get more. What it got if it
// could not get all stays.
//
// Context: as the flags say, see package gfp; with [gfp.NoLocks] any.
//
// Linux: kmem_cache_refill_sheaf.
func (s *Sheaf[T]) Refill(n int, f gfp.Flags) bool {
	if checked {
		touch(&s.used)
	}
	if depcheck.Tagged {
		s.own.c.mightAlloc(f)
	}
	ok := s.own.refill(n, f)
	runtime.KeepAlive(s)
	return ok
}

// Close returns what the Sheaf holds to the cache; FreeRCU's objects are freed after
// their grace period. It may be called again. Every other use after it panics, but
// for Len, which is 0.
//
// Context: task; not pinned.
//
// Linux: kmem_cache_return_sheaf.
func (s *Sheaf[T]) Close() {
	if checked {
		touch(&s.used)
	}
	s.cleanup.Stop()
	s.own.close()
	runtime.KeepAlive(s)
}

// checked says whether builds check every operation.
const checked = hooked || poisonOn

// touch is a write that the race detector sees: two goroutines that use one Sheaf
// at the same time race for it.
//
//go:noinline
func touch(used *uint64) { *used++ }

// The operations in builds that check them: what hooks.go does for the cache.

func (o *owned) allocChecked(used *uint64, f gfp.Flags) (p unsafe.Pointer) {
	touch(used)
	c := o.c
	if depcheck.Tagged {
		c.mightAlloc(f)
	}
	if p = o.alloc(f &^ gfp.Zero); p == nil {
		return nil
	}
	if poisonOn {
		p = c.poison.handOut(p, f)
	}
	if race.Enabled {
		c.raceAllocated(p)
	}
	if f&gfp.Zero != 0 && !poisonOn { // handOut has done it
		clear(unsafe.Slice((*byte)(p), c.size))
	}
	return p
}

func (o *owned) freeChecked(used *uint64, p unsafe.Pointer) {
	touch(used)
	c := o.c
	if race.Enabled {
		c.raceFree(p)
	}
	if poisonOn {
		if p = c.poison.freed(p, "Free"); p == nil {
			return
		}
	}
	o.free(p)
}

func (o *owned) freeRCUChecked(used *uint64, p unsafe.Pointer) {
	touch(used)
	c := o.c
	if race.Enabled {
		c.raceFreeRCU(p)
	}
	if poisonOn {
		if p = c.poison.retired(p); p == nil {
			return
		}
	}
	o.freeRCU(p)
}
