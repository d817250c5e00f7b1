package pages

import (
	"sync/atomic"
	"time"
	"unsafe"
)

const (
	// Shift is the binary logarithm of Size.
	Shift = 12
	// Size is the size of a page in bytes.
	Size = 1 << Shift
	// MetaSize is the size of a Meta in bytes.
	MetaSize = 32
	// BitBytes is what each bitmap has for one page: a bit for 16 bytes.
	BitBytes = Size / 16 / 8
)

// Core is the memory of an allocator, for package slab. All fields but Added,
// Waiters, SmallSheaves and SmallMaps are immutable once the allocator is made.
type Core struct {
	Base  unsafe.Pointer // address of page 0
	Size  uintptr        // bytes of the range
	Metas unsafe.Pointer // the Metas, one a page

	Added   atomic.Uint32 // the frontier: pages below it have metadata
	Waiters atomic.Int32  // gfp.Kernel requests that wait for memory: see Wait

	// Three bitmaps over the whole range, one bit for 16 bytes: the bit's
	// number is the offset from Base divided by 16. The bits of a page belong
	// to the page's holder, start as zero and are not touched by the allocator.
	AllocBits, PendBits, WaitBits unsafe.Pointer

	// SmallSheaves is package slab's: the pages that sheaves of several caches
	// are in.
	SmallSheaves atomic.Value
	// SmallMaps is package rcuhash's: the heap that small maps share.
	SmallMaps atomic.Value

	Label  string // the allocator's, in statistics
	Unmade error  // why there is no memory at all; nil: there is

	Timeout time.Duration // how long a gfp.Kernel allocation waits without progress
	Limit   int64         // bytes; 0: none, or not known yet
	Limited bool          // there is a limit, or may be
	Allocator
}

// Allocator is what a holder of pages may ask an allocator for, apart from
// what package page exports.
type Allocator interface {
	// FreeUnseen is Free of a page that was allocated with Unseen. Outside of
	// race builds it is Free. Context: any.
	FreeUnseen(p unsafe.Pointer)
	// FreeQuietly is Free for the holder of a spin lock: it starts and wakes
	// nobody. If it returns true, its caller calls WakeAfterFree when it has
	// released the lock. Context: any.
	FreeQuietly(p unsafe.Pointer, order int) (wake bool)
	WakeAfterFree()
	// Trim keeps the first n pages, more than half, of a block of the order that Alloc
	// returned, and frees the others. What it keeps is a run: its pages come back by
	// FreeRunQuietly, as by FreeQuietly. Context: any.
	Trim(p unsafe.Pointer, order, n int)
	FreeRunQuietly(p unsafe.Pointer, n int) (wake bool)
	// Reclaim takes all that is cached, by all Sources and on the Ps' lists,
	// and asks the Reclaimers for need bytes. Context: task; not pinned, no
	// locks held.
	Reclaim(need int64)
	// Wait has a request wait its turn for memory, until try reports that it
	// has some, and returns false if there was no progress for too long. What
	// would help is an object of the cache, or a block of the order; need is
	// how many bytes a Reclaimer is asked for. Context: task; not pinned, no
	// locks held.
	Wait(cache Source, order int, need int64, try func() bool) bool
	// MemoryCame has a waiter try again, because objects of the cache were
	// freed. Call it after that, if Waiters is not 0 then. Context: any.
	MemoryCame(cache Source)
	// RanLow has memory reclaimed, if there is little room below the limit, before
	// allocations have to wait for it: a cache from which the caller took bytes
	// has few free objects left, and its Stock says so. If the caller may sleep,
	// RanLow calls Reclaimers. Context: any; as gfp.Kernel if it may sleep.
	RanLow(bytes int64, maySleep bool)

	// Charge counts bytes of memory outside of the range against the limit, or
	// returns false if there is no room. They are multiples of Size. Uncharge
	// uncounts them. Context: task; not pinned.
	Charge(bytes int64) bool
	Uncharge(bytes int64)

	// MightAlloc checks, while lockdep is on, what an allocation with these
	// gfp.Flags may do, whether or not this one does it. It is for Alloc in
	// builds with -tags lockdep, and for packages whose allocations end
	// here. Context: any. Linux: might_alloc.
	MightAlloc(flags uint32)
	// MightReclaim reports to lockdep that the caller may call Reclaim on an
	// allocation's behalf. Linux: fs_reclaim_acquire, fs_reclaim_release.
	MightReclaim()

	// SetLimit changes the limit, and returns free memory to the system that a lower one
	// does not cover. Nothing is allocated from the system until what is in use is
	// below it. Context: task; not pinned, no locks held.
	SetLimit(bytes int64)
	// Closed reports whether the allocator is closed. Context: any.
	Closed() bool

	// LockZone takes the zone lock, for tests and demonstrations that need it
	// contended.
	LockZone()
	// UnlockZone releases the zone lock that LockZone took.
	UnlockZone()
}

// A Source is a Reclaimer of this module: a cache, which an allocator's waiters
// ask stage by stage. Context of all methods: task; not pinned, no locks held.
type Source interface {
	// Hurry makes what waits for a grace period come back soon, and reports
	// whether there is any.
	Hurry() (pending bool)
	// Release frees what the stage allows, until that made need bytes of
	// pages, and returns how many it made.
	Release(stage Stage, need int64) int64
	// Stock returns what the cache has, apart from what Ps have.
	Stock() Stock
}

// Stock is what a Source has, in bytes of objects.
type Stock struct {
	Free    int64
	Pending int64 // they wait for a grace period
	Lack    int64 // how many more it should have; 0 unless it ran low a moment ago
}

// A Stage says what a Source gives up, the cheapest first.
type Stage int

const (
	// Empties are slabs without objects, and arrays without any.
	Empties Stage = iota
	// Depots are free objects that no P has.
	Depots
	// Sheaves are the Ps' own: their owners come by a slow path for new ones.
	Sheaves
)

// CoreOf returns the Core of an allocator, which is a *page.Allocator. Package
// page sets it when it is initialized.
var CoreOf func(allocator any) *Core

// DiscardHeap closes a *slab.Heap whose every object is given up: no one uses any,
// and they are not freed one by one. It is Unguarded. In builds that watch every object it is
// Close, and reports them as leaks. Package slab sets it when it is initialized.
// Context: task; not pinned, not in a read-side section.
var DiscardHeap func(heap any) error

// Unguarded has a *slab.Heap return no guarded objects, because its user keeps the
// objects' offsets. It is called before the Heap is used. Package slab sets it when it
// is initialized. Context: task; not pinned.
var Unguarded func(heap any)

// Slab is what WalkSlabs shows: memory for so many objects of Pitch bytes each, of
// which some are out, in use or cached or waiting for a grace period.
type Slab struct {
	First        unsafe.Pointer
	Pitch        uintptr
	Bytes        int
	Objects, Out int
}

// WalkSlabs shows the slabs of a *slab.Heap that begin among some pages, as they are at
// about that time, and returns the page after the last. In builds that watch every
// object it shows none. Package slab sets it when it is initialized. Context: any.
var WalkSlabs func(heap any, from, to uint32, fn func(Slab)) uint32

// ShrinkSparse returns to their slabs the free objects that caches of a *slab.Heap keep
// at hand, if most of the objects of a cache are free: a few kept ones hold many slabs.
// Package slab sets it when it is initialized. Context: task; not pinned, no locks held.
var ShrinkSparse func(heap any)

// HeapBytes returns the bytes of pages that the caches of a *slab.Heap have: the sum of
// their CacheStats.Bytes. It takes no lock. Package slab sets it when it is initialized.
// Context: any.
var HeapBytes func(heap any) int64

// Unseen is a gfp.Flags bit for pages that hidden code alone touches: sheaves.
// They must come back by FreeUnseen. For the race detector such a page is free
// all the time, and its next holder is ordered after its last real holder, not
// after the worker that returned it, whose past includes what all others did.
const Unseen = 1 << 31

// Contains reports whether p points into the range. Context: any.
func (c *Core) Contains(p unsafe.Pointer) bool { return uintptr(p)-uintptr(c.Base) < c.Size }

// PageOf returns the number of the page that p, which is in the range, points
// into. Context: any.
func (c *Core) PageOf(p unsafe.Pointer) uint32 {
	return uint32((uintptr(p) - uintptr(c.Base)) >> Shift)
}

// Meta returns the metadata of a page below Opened. Context: any.
func (c *Core) Meta(page uint32) *Meta {
	return (*Meta)(unsafe.Add(c.Metas, uintptr(page)*MetaSize))
}

// Opened is the number of pages, from 0, that have metadata. Context: any.
func (c *Core) Opened() uint32 { return c.Added.Load() } // ord:frontier

// ListOnly is a gfp.Flags bit for a request with gfp.NoLocks that looks at this
// P's list and no further: it tries no lock and asks for no stock. Tests and
// measurements use up a list with it.
const ListOnly = 1 << 30
