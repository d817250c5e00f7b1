package compare

import (
	"fmt"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/page"
	"quiesce/slab"
)

// Strategy is one way to do kfree_rcu.
type Strategy struct {
	Name string
	Does string // in a few words
	Says string // the mail's sentence about it, or the source of a later one
	// Members counts the functions that a developer has to choose from:
	// kfree_rcu, call_rcu, and what the strategy adds.
	Members int
	make    func(*Instance) (engine, error)
}

// Strategies are all of them, the oldest first.
var Strategies = []Strategy{
	{"list", "objects chained through their rcu_head, freed one by one",
		"RCU traverses linked callback lists when invoking those callbacks.", 2, newList},
	{"callrcu", "rcu.Call with a closure that frees",
		"this results in an expensive cache miss on each and every callback invocation.", 2, newCallRCU},
	{"array", "arrays allocated with plain flags in any context",
		"instead store pointers to callbacks in arrays", 2, newArray},
	{"nolocks", "arrays allocated with gfp.NoLocks, the list as fallback",
		"may we add a GFP_ flag that will cause kmalloc() and friends to return NULL when they would otherwise need to acquire their non-raw spinlock?", 2, newNoLocks},
	{"detect", "arrays, but no allocation where preempt.Atomic says so",
		"Just don't invoke kmalloc() when kfree_rcu() is invoked from raw atomic contexts.", 2, newDetect},
	{"defer", "raw callers' objects wait in a queue of their P for a timer",
		"This would require that the affected call_rcu() and kfree_rcu() invocations be deferred.", 3, newDefer},
	{"rawapi", "entry points for raw callers, which never allocate",
		"Provide a different non-allocating API such as kfree_rcu_raw() and call_rcu_raw()", 4, newRawAPI},
	{"rawlocks", "arrays from an allocator whose locks are raw",
		"Move the memory allocator's spinlocks to raw_spinlock_t.", 2, newRawLocks},
	{"prefill", "five cached pages for each P, refilled by a worker",
		"(Linux 5.11, 56292e8609e3) defer the allocation to a clean context", 2, newPrefill},
	{"trylock", "arrays from an allocator whose lock is tried and never waited for",
		"(Linux 6.15, 97769a53f117) alloc_pages_nolock: try, never wait", 2, newTryLock},
	{"batch", "rcu.Batch, whose function frees objects by the array",
		"(this library) callbacks through arrays: no closure for each object", 2, newBatch},
	{"sheaf", "slab.FreeRCU, what this library ships",
		"(Linux 6.18) rcu_free sheaves: an array that becomes the next allocations whole", 2, newSheaf},
	{"owner", "slab.Sheaf: the same with arrays that a goroutine owns",
		"(Linux 6.18) kmem_cache_prefill_sheaf: objects in stock for who may not allocate", 3, newOwner},
}

// Lookup finds a strategy by its name.
func Lookup(name string) *Strategy {
	for i := range Strategies {
		if Strategies[i].Name == name {
			return &Strategies[i]
		}
	}
	return nil
}

// Object is what all of them free: one cache line.
type Object struct {
	next  uintptr // rcu_head.next: owned by the list that has the object
	_     uintptr // rcu_head.func, which is not needed here
	Stamp uint64
	Words [5]uint64
}

// at is the object at an address that was stored as a number: a typed store
// into memory that was something else before would show the garbage collector
// what that was.
func at(u uintptr) *Object { return *(**Object)(unsafe.Pointer(&u)) }

func (o *Object) addr() uintptr { return uintptr(unsafe.Pointer(o)) }

// Config describes an Instance.
type Config struct {
	Limit   int64 // of the page allocator; 0: none
	Depot   int64 // bytes of free objects that the cache keeps; 0: none
	Reserve int64 // of address space, for the page allocator; 0: its default
}

// Counts are an engine's figures.
type Counts struct {
	Arrays    uint64 // objects that went into arrays
	Fallback  uint64 // objects that went on the list
	Deferred  uint64 // objects that a queue held before that
	Reclaimed uint64 // objects returned to the allocator
	Wakeups   uint64 // times that a worker of the engine's began or woke up
}

func (c Counts) since(o Counts) Counts {
	return Counts{c.Arrays - o.Arrays, c.Fallback - o.Fallback, c.Deferred - o.Deferred, c.Reclaimed - o.Reclaimed, c.Wakeups - o.Wakeups}
}

// fallbackShare is the share of the objects that went on the list.
func (c Counts) fallbackShare() float64 {
	if n := c.Arrays + c.Fallback; n > 0 {
		return float64(c.Fallback) / float64(n)
	}
	return 0
}

// engine is the working part of a strategy.
type engine interface {
	free(o *Object)    // from a plain caller, or a raw one that has no other way
	freeRaw(o *Object) // from a raw caller
	barrier()          // until all that was freed before is back; not pinned
	hurry()            // memory is short; not pinned, returns soon
	counts() Counts
	contend(fn func()) // runs fn with the lock held that allocations may meet
	close() error      // after a barrier, when nothing runs
}

// Instance is a strategy in use, with an allocator of its own.
type Instance struct {
	*Strategy
	pages *page.Allocator
	cache *slab.Cache[Object]
	e     engine
}

// New makes an instance.
//
// Context: task; not pinned.
func New(name string, cfg Config) (*Instance, error) {
	s := Lookup(name)
	if s == nil {
		return nil, fmt.Errorf("compare: no strategy %q", name)
	}
	pages, err := page.New(page.Config{Limit: cfg.Limit, Reserve: cfg.Reserve, Name: "compare." + name})
	if err != nil {
		return nil, err
	}
	in := &Instance{Strategy: s, pages: pages}
	if in.cache, err = slab.NewCache[Object]("compare."+name, slab.WithAllocator(pages), slab.WithDepot(cfg.Depot)); err != nil {
		pages.Close()
		return nil, err
	}
	if in.e, err = s.make(in); err != nil {
		in.cache.Close()
		pages.Close()
		return nil, err
	}
	pages.AddReclaimer(in)
	return in, nil
}

// Alloc returns an object, or nil when there is no memory.
//
// Context: task; not pinned.
func (in *Instance) Alloc() *Object { return in.cache.Alloc(gfp.Kernel | gfp.NoWarn) }

// Free frees an unlinked object after a grace period, for plain callers.
func (in *Instance) Free(o *Object) { in.e.free(o) }

// FreeRaw is Free for callers in a raw atomic context.
func (in *Instance) FreeRaw(o *Object) { in.e.freeRaw(o) }

// Barrier waits until every object freed before is with the allocator again.
//
// Context: task; not pinned, outside of read-side sections.
func (in *Instance) Barrier() {
	in.e.barrier()
	in.cache.Barrier() // the depot's overflow, which frees by kfree_bulk
}

// Reclaim is page.Reclaimer.
func (in *Instance) Reclaim(int64) { in.e.hurry() }

// Counts returns the engine's figures.
func (in *Instance) Counts() Counts { return in.e.counts() }

// Pages are the figures of the instance's page allocator.
func (in *Instance) Pages() page.Stats { return in.pages.Stats() }

// Contend runs fn with the lock held that an allocation of this strategy may
// meet: the zone's, or that of the strategy's own allocator.
//
// Context: task; not pinned.
func (in *Instance) Contend(fn func()) { in.e.contend(fn) }

// Close waits for all that was freed and reports what never was. The instance
// must not be in use.
//
// Context: task; not pinned, outside of read-side sections.
func (in *Instance) Close() error {
	in.Barrier()
	in.pages.RemoveReclaimer(in)
	err := in.e.close()
	if e := in.cache.Close(); err == nil {
		err = e
	}
	if e := in.pages.Close(); err == nil {
		err = e
	}
	return err
}

const noLocksPage = gfp.NoWait | gfp.NoLocks | gfp.NoWarn

// Stock makes the allocator have n free pages with memory behind its lock: a
// request in a raw atomic context makes no system call, so it can't use blocks
// without memory, and it checks only a few blocks that have it in part. So these
// are whole ones.
//
// Context: task; not pinned.
func (in *Instance) Stock(n int) {
	var blocks []unsafe.Pointer
	for ; n > 0; n -= 1 << page.MaxOrder {
		if p := in.pages.Alloc(page.MaxOrder, gfp.NoWait|gfp.NoWarn); p != nil {
			blocks = append(blocks, p)
		}
	}
	for _, p := range blocks {
		in.pages.Free(p, page.MaxOrder)
	}
}

// Squeezed are pages taken from Ps' lists.
type Squeezed struct {
	in   *Instance
	held []unsafe.Pointer
}

// Squeeze makes room for at most n pages.
func (in *Instance) Squeeze(n int) *Squeezed {
	return &Squeezed{in, make([]unsafe.Pointer, 0, n)}
}

// Take takes every page from this P's list, so that an allocation that takes
// no lock finds none. Where there is no room left, what was taken is returned
// first, most of it to the pages behind the lock.
//
// Context: pinned.
func (s *Squeezed) Take() {
	if len(s.held) == cap(s.held) {
		s.Release()
	}
	for len(s.held) < cap(s.held) {
		p := s.in.pages.Alloc(0, noLocksPage|pages.ListOnly)
		if p == nil {
			return
		}
		s.held = append(s.held, p)
	}
}

// Release returns the pages.
//
// Context: any.
func (s *Squeezed) Release() {
	for _, p := range s.held {
		s.in.pages.Free(p, 0)
	}
	s.held = s.held[:0]
}
