package slab

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/page"
)

// cache is a Cache without its type. The first part is immutable after
// creation and read by the fast paths.
type cache struct {
	slots percpu.Slots[slot]
	base  unsafe.Pointer
	units uint64 // of the range
	geometry
	allocBits, pendBits, waitBits unsafe.Pointer

	pages     *page.Allocator
	core      *pages.Core // of pages
	name      string
	id        uint32 // pages.Meta.Owner of its slabs
	depotMax  int32  // sheaves
	keepEmpty int    // slabs
	onReclaim func([]uint32)
	_         [percpu.Line]byte

	// The depot and the queues: lock-free.
	full    stack // sheaves of allocatable objects
	empty   stack // empty sheaves
	pending stack // closed RCU sheaves
	chain   atomic.Uint32

	// The goroutines run, one of each at most.
	reclaiming, draining, topping, feeding atomic.Bool
	workers                                atomic.Int32 // goroutines that have not ended

	hungry    atomic.Bool  // empty sheaves are wanted
	wantEmpty atomic.Int32 // sheaves that the last topUp made
	waiters   atomic.Int32 // allocations that wait for memory
	sheaves   atomic.Int32 // pages that are sheaves
	asked     atomic.Int64 // when Reclaim was called last
	closed    atomic.Bool
	//lint:ignore U1000 empty but in poison builds
	poison poisoned
	stats  counters

	mu    lock.Spin
	slabs slabs // protected by mu

	takeMu lock.Mutex // one taker at a time
	taken  []num      // protected by takeMu

	reclaimMu lock.Mutex
	waiting   [chainBatch]uint32 // protected by reclaimMu, as are the next three
	offs      [512]uint32        // freeChained's: it escapes, and freeing must not allocate
	chainRest uint32
	handed    int
}

// counters count objects, on slow paths only.
type counters struct {
	arrays   atomic.Uint64 // went into RCU sheaves that were closed
	reused   atomic.Uint64 // came back by hand-over of their sheaf
	bulk     atomic.Uint64 // came back by kfree_bulk
	flushed  atomic.Uint64 // free ones that left sheaves and depot for their slabs
	fallback atomic.Uint64 // went on the fallback chain
	chained  atomic.Uint64 // came back from it
	refusals atomic.Uint64 // NoLocks allocations refused
	failures atomic.Uint64 // other allocations that found no memory
}

type config struct {
	pages *page.Allocator
	depot int64
	sheaf int
	hook  func([]uint32)
}

// Option changes how NewCache makes a cache.
type Option func(*config)

// WithAllocator takes pages from a instead of page.Default().
func WithAllocator(a *page.Allocator) Option { return func(c *config) { c.pages = a } }

// WithDepot bounds the memory of free objects that the depot keeps for reuse,
// in bytes. The default is 4 MiB.
func WithDepot(bytes int64) Option { return func(c *config) { c.depot = bytes } }

// WithSheaf bounds the number of objects in a sheaf. The default, and the
// most, is what fits a page and 128 KiB of objects.
func WithSheaf(objects int) Option { return func(c *config) { c.sheaf = objects } }

const (
	depotBytes = 4 << 20 // holds what churn has in flight within a pace; untuned
	maxName    = 100
)

// maxSize is the size of the largest object: the largest block of pages.
const maxSize = page.Size << page.MaxOrder

func (c *cache) init(name string, size uintptr, opts []Option) error {
	cfg := config{depot: depotBytes}
	for _, o := range opts {
		o(&cfg)
	}
	if name == "" || len(name) > maxName {
		return fmt.Errorf("slab: a cache's name has 1 to %d bytes, not %d", maxName, len(name))
	}
	if size > maxSize {
		return fmt.Errorf("slab: cache %s: objects of %d bytes are larger than the largest block of pages, %d", name, size, maxSize)
	}
	if cfg.depot < 0 || cfg.sheaf < 0 {
		return fmt.Errorf("slab: cache %s: a negative size (WithDepot %d, WithSheaf %d)", name, cfg.depot, cfg.sheaf)
	}
	if cfg.pages == nil {
		cfg.pages = page.Default()
	}
	c.geometry = cut(max((size+unit-1)&^(unit-1), unit))
	c.pages = cfg.pages
	c.core = pages.CoreOf(cfg.pages)
	c.base = c.core.Base
	c.units = uint64(c.core.Size) >> unitShift
	c.name = name
	c.onReclaim = cfg.hook
	if cfg.sheaf > 0 {
		c.sheafCap = uint32(min(int(c.sheafCap), cfg.sheaf))
	}
	perSheaf := int64(c.sheafCap) * int64(c.size)
	c.depotMax = int32(min(max(cfg.depot/perSheaf, 1), 1<<20))
	c.keepEmpty = int((64 << 10) >> (page.Shift + c.order))
	c.allocBits, c.pendBits, c.waitBits = c.core.AllocBits, c.core.PendBits, c.core.WaitBits
	c.mu.Init("slab.mu")
	c.takeMu.Init("slab.takeMu")
	c.reclaimMu.Init("slab.reclaimMu")
	if err := c.slots.Init(); err != nil {
		return fmt.Errorf("slab: cache %s: %w", name, err)
	}
	c.id = register()
	if poisonOn {
		c.poisonInit(size)
	}
	c.pages.AddReclaimer(c)
	return nil
}

var lastID atomic.Uint32

// register returns a number that no other cache has. They are not reused: a
// stale pointer's page must not look like another cache's.
func register() uint32 { return lastID.Add(1) } // ord:hint

// badFree reports a pointer that the range check refused; nil is no error.
//
//go:noinline
func (c *cache) badFree(p unsafe.Pointer, op string) {
	if p != nil {
		panic(fmt.Sprintf("quiesce: slab: %s of foreign pointer %p in cache %s: not an object of its range", op, p, c.name))
	}
}

// waiter is an allocation that waits for memory.
type waiter struct{ start, sleep int64 }

// wait makes memory come, waits a moment and returns true, or returns false
// when the allocator's ReclaimTimeout has passed. First this cache's own
// pending objects are hurried along, then everybody's memory is asked for. It
// never waits for a reader beyond the timeout.
func (w *waiter) wait(c *cache) bool {
	now := sys.Nanotime()
	first := w.start == 0
	if first {
		w.start, w.sleep = now, 10_000
	} else if now-w.start >= int64(c.core.Timeout) {
		return false
	}
	c.waiters.Add(1)        // ord:hint
	defer c.waiters.Add(-1) // ord:hint
	if poisonOn {
		c.poisonFlush()
	}
	c.drainRCU()
	if c.work() {
		c.startReclaim()
	}
	if w.sleep > 50_000 {
		c.core.Reclaim(int64(page.Size) << c.order)
	}
	sys.Sleep(w.sleep)
	w.sleep = min(w.sleep*2, 1_000_000)
	return true
}

// Reclaim gives memory back on behalf of another allocation. It implements
// page.Reclaimer and does not wait for readers.
func (c *cache) Reclaim(int64) {
	// close sets closed and then waits for workers, so it either waits for
	// this call or this call sees it.
	c.workers.Add(1)        // ord:closed
	defer c.workers.Add(-1) // ord:closed
	if c.closed.Load() {    // ord:closed
		return
	}
	c.asked.Store(sys.Nanotime()) // ord:hint
	c.drainRCU()
	if c.work() {
		c.startReclaim()
	}
	c.giveBack()
}

// giveBack flushes every sheaf that no grace period holds, and frees what
// becomes empty.
func (c *cache) giveBack() {
	if poisonOn {
		c.poisonFlush()
	}
	c.takeMu.Lock()
	c.take2(func(s *slot) {
		c.grab(&s.main)
		c.grab(&s.spare)
		c.grab(&s.reserve)
	})
	taken := slices.Clone(c.taken)
	c.takeMu.Unlock()
	for _, n := range taken { // may panic over a double free, so without locks
		c.flush(n, &c.stats.flushed)
	}
	c.trimDepot(0)
	c.dropEmptySheaves(0)
	c.mu.LockIRQ()
	c.dropEmpty()
	c.mu.UnlockIRQ()
}

// barrier waits until everything given to freeRCU before is reclaimed.
func (c *cache) barrier() {
	c.drainRCU()
	c.reclaimOnce(true)
}

// String names the cache in the error of an allocator that is closed before it.
func (c *cache) String() string { return "cache " + c.name }

func (c *cache) close() error {
	if c.closed.Swap(true) { // ord:closed
		return errors.New("slab: cache " + c.name + " is closed already")
	}
	c.pages.RemoveReclaimer(c)
	c.barrier()
	c.giveBack()
	for c.workers.Load() > 0 { // ord:closed
		sys.Sleep(100_000)
	}
	c.barrier()
	c.giveBack()
	c.mu.LockIRQ()
	left := c.slabs.inuse
	c.mu.UnlockIRQ()
	if poisonOn {
		left += c.poisonLeaks()
	}
	if left > 0 {
		return fmt.Errorf("slab: cache %s closed with %d objects of %d bytes still allocated, the first at %p", c.name, left, c.size, c.firstLeak())
	}
	c.slots.Release()
	if poisonOn {
		c.poisonRetire()
	}
	return nil
}

// firstLeak finds an allocated object's address.
func (c *cache) firstLeak() unsafe.Pointer {
	c.mu.LockIRQ()
	defer c.mu.UnlockIRQ()
	for pg := uint32(0); pg < c.core.Opened(); pg++ {
		if c.core.Meta(pg).Owner != c.id || pg != pg&^(1<<c.order-1) {
			continue
		}
		for i, w := range c.words(c.allocBits, pg) {
			if w != 0 {
				for b := range uint32(64) {
					if w&(1<<b) != 0 {
						return c.pointer(pg<<(page.Shift-unitShift) + uint32(i)*64 + b)
					}
				}
			}
		}
	}
	return nil
}

var lastWarning atomic.Int64

// failed counts an allocation that found no memory and logs it, at most once
// in ten seconds, from a goroutine of its own: the caller may be pinned.
func (c *cache) failed(f gfp.Flags) {
	c.stats.failures.Add(1) // ord:stat
	if !f.Warns() {
		return
	}
	now, last := sys.Nanotime(), lastWarning.Load()                             // ord:hint
	if last != 0 && now-last < 10e9 || !lastWarning.CompareAndSwap(last, now) { // ord:hint
		return
	}
	go slog.Warn("slab: allocation failed", "cache", c.name, "size", int(c.size), "flags", f.String())
}

// CacheStats is a snapshot of a cache. Objects are counted when the array
// they are in changes hands, so figures lag by what the Ps' sheaves hold.
// After Barrier, with nobody at work, RCUArrays == Reused + Bulk and
// Fallback == FallbackEnd.
type CacheStats struct {
	Name       string
	ObjectSize int   // bytes, rounded up to 16
	SlabBytes  int   // of one slab
	SheafCap   int   // objects in a sheaf
	Slabs      int   // slabs
	Out        int   // objects out of their slabs: live, cached, or pending
	Bytes      int64 // pages held, slabs and sheaves

	RCUArrays   uint64 // objects that FreeRCU put into arrays
	Reused      uint64 // of them handed over to allocations in whole sheaves
	Bulk        uint64 // of them freed by kfree_bulk
	Fallback    uint64 // objects that FreeRCU or Free put on the fallback chain
	FallbackEnd uint64 // of them freed
	Flushed     uint64 // free objects that left sheaves and depot for their slabs
	Refusals    uint64 // NoLocks allocations that returned nil
	Failures    uint64 // other allocations that returned nil
	Pending     int    // sheaves that wait for a grace period
	Depot       int    // sheaves of free objects
}

func (c *cache) readStats() CacheStats {
	c.mu.LockIRQ()
	count, out := c.slabs.count, c.slabs.inuse
	c.mu.UnlockIRQ()
	if poisonOn {
		out += c.guardOut()
	}
	return CacheStats{
		Name:        c.name,
		ObjectSize:  int(c.size),
		SlabBytes:   page.Size << c.order,
		SheafCap:    int(c.sheafCap),
		Slabs:       count,
		Out:         out,
		Bytes:       int64(count)<<(page.Shift+c.order) + int64(c.sheaves.Load())<<page.Shift, // ord:stat
		RCUArrays:   c.stats.arrays.Load(),                                                    // ord:stat
		Reused:      c.stats.reused.Load(),                                                    // ord:stat
		Bulk:        c.stats.bulk.Load(),                                                      // ord:stat
		Fallback:    c.stats.fallback.Load(),                                                  // ord:stat
		FallbackEnd: c.stats.chained.Load(),                                                   // ord:stat
		Flushed:     c.stats.flushed.Load(),                                                   // ord:stat
		Refusals:    c.stats.refusals.Load(),                                                  // ord:stat
		Failures:    c.stats.failures.Load(),                                                  // ord:stat
		Pending:     int(c.pending.n.Load()),                                                  // ord:stat
		Depot:       int(c.full.n.Load()),                                                     // ord:stat
	}
}
