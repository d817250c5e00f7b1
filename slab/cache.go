package slab

import (
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
	"weak"

	"quiesce/internal/heapprof"
	"quiesce/internal/pages"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/internal/sizeclass"
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
	source    *source     // what pages knows it by
	name      string
	label     string      // in statistics
	owner     string      // of a Heap's: its name
	id        uint32      // pages.Meta.Owner of its slabs
	small     *smallPages // the allocator's
	keepEmpty int         // slabs
	exact     uintptr     // bytes of an object that are its user's; size is that, rounded up
	youngMost int64       // bytes of slabs: a cache with less is young
	// thriftyMost is youngMost, or more for a class of a Heap: with less, new sheaves
	// are small.
	thriftyMost int64
	onReclaim   func([]uint32)
	further     atomic.Pointer[[]*group] // of the other Ps; it grows: see groups.go
	_           [percpu.Line]byte

	// The depot and the queues: lock-free.
	first group // of the first Ps
	chain atomic.Uint32

	// The service has the cache; service.go.
	reclaiming, draining, supplying, asked atomic.Bool
	links                                  links
	made                                   race.Clock   // what the cache was made of
	workers                                atomic.Int32 // holders of references
	drainEvery                             atomic.Int64 // ns between two drains
	drainAt                                int64        // the service's, while draining is set
	drainedIn                              uint64       // round of the last drain; protected by takers.mu, as are the next two
	tookSheaves, tookObjects               int          // by it

	armed          atomic.Pointer[owned] // open Sheaves with pending objects; see owned.go
	open           *owned                // all open Sheaves; protected by opened
	stock          stock                 // see stock.go
	topUpWanted    atomic.Bool           // empty sheaves are wanted
	topUpSize      atomic.Int32          // sheaves that the last top-up made
	waiters        atomic.Int32          // allocations that wait for memory
	helping        atomic.Int32          // calls of FreeRCU that help; see help.go
	ripensAt       atomic.Uint64         // the grace period that a helper had driven last for what was collected
	handedOver     atomic.Uint32         // sheaves that dispose did not free in bulk
	unfinished     atomic.Bool           // sheaves were left in collected or on ripe; cleared under reclaimMu
	ranLowAt       atomic.Int64          // when it had few free objects left; see pressure.go
	sheafBytes     atomic.Int64          // of all sheaves
	slabBytes      atomic.Int64          // of all slabs; changes under mu only
	depot          depot                 // how much full has room for
	pendingObjects atomic.Int64          // in closed sheaves; see counts.go
	lastReclaim    atomic.Int64          // when Reclaim was called last
	closed         atomic.Bool
	discarded      bool   // by close's caller: what is still allocated is free
	poison         poison // empty in plain builds
	sample         sampled
	profile        heapprof.Profile
	stats          counters

	mu    lock.Spin
	slabs slabs // protected by mu

	reclaimMu lock.Mutex
	collected batch   // protected by reclaimMu, as are the next two
	chained   chained // what of the chain is in collected
	chainRest uint32
}

type config struct {
	pages    *page.Allocator
	depot    int64
	depotSet bool
	sheaf    int
	hook     func([]uint32)
	fine     bool // it is one of many size classes
	direct   bool // see direct.go

	unguarded bool // see pages.Unguarded
}

// Option is a setting of NewCache.
type Option func(*config)

// WithAllocator has the cache take its pages from a, and not from
// [page.Default].
func WithAllocator(a *page.Allocator) Option { return func(c *config) { c.pages = a } }

// WithDepot bounds the free objects that the depot keeps for reuse, in bytes.
// The default is 4 MiB, which misses raise to at most 2 MiB for each P, or 1/64 of
// the page allocator's limit if that is less.
func WithDepot(bytes int64) Option {
	return func(c *config) { c.depot, c.depotSet = bytes, true }
}

// WithSheaf bounds the number of objects in a sheaf. The default, which is also
// the maximum, is what fits into a page and into 128 KiB of objects, or into
// 1/512 of the page allocator's limit if that is less.
func WithSheaf(objects int) Option { return func(c *config) { c.sheaf = objects } }

const maxName = 100

// thriftyPart is the part of its allocator's limit below which a size class is
// thrifty. Untuned.
const thriftyPart = 16

// runPart is by how much less of its allocator's limit a class whose objects are runs
// of pages may cache: there are fifty of them, and a free object is much memory.
// Untuned.
const runPart = 16

// maxSize is the size of the largest object: the largest block of pages.
const maxSize = page.Size << page.MaxOrder

func (c *cache) init(name string, size uintptr, opts []Option) error {
	var cfg config
	for _, o := range opts {
		o(&cfg)
	}
	if name == "" || len(name) > maxName {
		return fmt.Errorf("slab: a cache's name must have 1 to %d bytes, not %d", maxName, len(name))
	}
	if size > maxSize {
		return fmt.Errorf("slab: cache %s: objects of %d bytes are larger than the largest block of pages, %d", name, size, maxSize)
	}
	if cfg.depot < 0 || cfg.sheaf < 0 {
		return fmt.Errorf("slab: cache %s: negative size: WithDepot(%d), WithSheaf(%d)", name, cfg.depot, cfg.sheaf)
	}
	if cfg.pages == nil {
		cfg.pages = page.Default()
	}
	c.exact = max(size, 1)
	if (cfg.fine && size > sizeclass.Run || cfg.direct) && !poisonOn {
		c.geometry = cutRun(size)
		if c.direct = cfg.direct && directs; c.direct {
			c.sheafCap = uint32(max(directSheaf/size, 1))
		}
	} else {
		c.geometry = cut(max((size+unit-1)&^(unit-1), unit))
	}
	c.pages = cfg.pages
	c.core = pages.CoreOf(cfg.pages)
	if c.core.Closed() {
		return fmt.Errorf("slab: cache %s: its allocator is closed", name)
	}
	if err := c.core.Unmade; err != nil {
		return fmt.Errorf("slab: cache %s: %w", name, err)
	}
	c.base = c.core.Base
	c.small = smallPagesOf(c.core)
	c.units = uint64(c.core.Size) >> unitShift
	c.name = name
	c.onReclaim = cfg.hook
	if limit := c.core.Limit; limit > 0 { // what is cached must be a small part of it
		part := int64(1)
		if c.run {
			part = runPart
		}
		c.sheafCap = min(c.sheafCap, max(uint32(max(limit/512/part, page.Size)/int64(c.size)), 1))
		if !cfg.depotSet {
			cfg.depot = min(depotBytes, limit/64/part)
		}
	} else if !cfg.depotSet {
		cfg.depot = depotBytes
	}
	if cfg.sheaf > 0 {
		c.sheafCap = uint32(min(int(c.sheafCap), cfg.sheaf))
	}
	perSheaf := int64(c.sheafCap) * int64(c.size)
	c.depot.init(cfg.depot, perSheaf, c.core.Limit, !cfg.depotSet && (!c.run || c.direct))
	if !c.run {
		c.keepEmpty = int((64 << 10) >> (page.Shift + c.order))
	}
	if !race.Enabled { // with few objects to choose from, raceShuffle would find those of a moment ago
		c.youngMost = youngBytes
		c.thriftyMost = youngBytes
		if cfg.fine {
			c.thriftyMost = max(youngBytes, c.core.Limit/thriftyPart)
		}
		if c.run {
			c.thriftyMost = math.MaxInt64 // there are few objects in a sheaf
		}
	}
	c.allocBits, c.pendBits, c.waitBits = c.core.AllocBits, c.core.PendBits, c.core.WaitBits
	c.mu.Init("slab.mu")
	c.reclaimMu.Init("slab.reclaimMu")
	if err := c.slots.Init(); err != nil {
		return fmt.Errorf("slab: cache %s: %w", name, err)
	}
	c.id = lastID.Add(1) // ord:hint
	c.poison.cacheMade(c, size)
	c.sampleMade(c.onReclaim != nil || cfg.unguarded) // the hook deals in offsets
	c.source = &source{weak.Make(c), name}
	c.pages.AddReclaimer(c.source)
	c.register()
	runtime.SetFinalizer(c, (*cache).forgotten)
	return nil
}

// lastID numbers the caches. Numbers are not reused: a stale pointer's page
// must not look like another cache's.
var lastID atomic.Uint32

// barrier waits until everything given to freeRCU before is reclaimed.
func (c *cache) barrier() { barrier([]*cache{c}) }

// barrier does it for several caches: they share the membarriers, and, because
// all of their cookies are older than the first wait, the grace period.
func barrier(cs []*cache) {
	drain(cs)
	for _, c := range cs {
		c.reclaimOnce(true)
		c.tellAll()
	}
}

func (c *cache) close() error {
	if c.closed.Swap(true) { // ord:closed
		return fmt.Errorf("slab: cache %s: %w", c.name, ErrClosed)
	}
	c.pages.RemoveReclaimer(c.source)
	runtime.SetFinalizer(c, nil)
	known.Remove(c, c.label)
	c.barrier()
	c.shrink()
	for c.workers.Load() > 0 { // ord:closed
		startService() // and it lets go of the cache
		startSupply()
		sys.Sleep(100_000)
	}
	c.barrier()
	c.shrink()
	if c.discarded {
		c.discardObjects()
	}
	c.mu.LockIRQ()
	left := c.slabs.inuse
	c.mu.UnlockIRQ()
	left += c.poison.leaks()
	guarded, _, _ := c.samplesOut()
	left += guarded
	sheaves, held, made := c.openSheaves(true)
	if left > 0 || sheaves > 0 {
		left = max(left-held, 0)
		return &LeakError{
			Cache: c.name, Objects: left, Size: int(c.size), First: uintptr(c.firstLeak()),
			Sheaves: sheaves, Held: held, Made: made, Sites: c.leakSites(left),
		}
	}
	c.slots.Release()
	c.poison.cacheClosed()
	return nil
}

// firstLeak finds an allocated object's address. The cache is closed, so that
// nothing changes between holds of mu.
func (c *cache) firstLeak() unsafe.Pointer {
	opened := c.core.Opened()
	for pg := uint32(0); pg < opened; pg += pagesPerHold {
		if p := c.leakAmong(pg, min(pg+pagesPerHold, opened)); p != nil {
			return p
		}
	}
	return c.firstSample()
}

// leakAmong is firstLeak of the pages from..to.
func (c *cache) leakAmong(from, to uint32) unsafe.Pointer {
	c.mu.LockIRQ()
	defer c.mu.UnlockIRQ()
	for head := range c.headsOfLocked(from, to) {
		for i, w := range c.words(c.allocBits, head) {
			if w != 0 {
				return c.pointer(firstUnit(head) + uint32(i*64+bits.TrailingZeros64(w)))
			}
		}
	}
	return nil
}
