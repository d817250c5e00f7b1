package page

import (
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/internal/option"
	"quiesce/internal/pages"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/lock"
)

const (
	// Shift is the binary logarithm of Size: 12.
	Shift = pages.Shift
	// Size is the size of a page: 4096 bytes.
	Size = 1 << Shift
	// MaxOrder is the highest order of a block: 512 pages, 2 MiB.
	MaxOrder = 9

	sectionShift = 7
	section      = 1 << sectionShift // pages that get their metadata at once
	sectionMeta  = section * (pages.MetaSize + 3*pages.BitBytes)

	maxReserve = 64 << 30 // offsets in 16-byte units fit 32 bits
)

// Config describes an allocator. The zero value describes one without a limit.
type Config struct {
	// Limit is the most memory that the allocator may hold, in bytes: pages
	// handed out, free pages that still have memory, pages on lists, and
	// metadata. It is at most 64 GiB, the largest range. 0 means no limit, of the
	// container and the machine either: [AutoLimit] has that.
	Limit int64
	// Reserve is the size of the address range in bytes, rounded up to a
	// multiple of 512 KiB. It is at most 64 GiB; 0 means 64 GiB, or what limits
	// of the process leave (RLIMIT_AS, RLIMIT_DATA), which is logged. Address
	// space costs no memory, but counts in the process's virtual size. In race builds,
	// where the race detector watches the range, it is at most 256 MiB, and by
	// default four times the Limit but at least 16 MiB.
	Reserve int64
	// HugePages has the pages populated, charged and returned to the system 2 MiB
	// at a time, in huge pages where Linux has any. Programs that use most
	// of what they populate gain from it; those that need little, or whose Limit
	// is a few megabytes, pay for it. Other systems populate 2 MiB at a time too.
	HugePages bool
	// ReclaimTimeout is how long a gfp.Kernel allocation waits for memory without
	// progress before it returns nil: since it began, or since another that
	// waited was served. 0 means one second.
	ReclaimTimeout time.Duration
	// Name is the allocator's name in errors, panics, logs and statistics. "" means
	// "page". In statistics a second one of a name is called name#2.
	Name string
}

// An Allocator hands out blocks of 1<<order pages from an address range of its
// own. Its methods may be called by several goroutines at a time.
type Allocator struct {
	core pages.Core // what package slab reads as well; immutable but for the frontier, as is all up to zone
	rng  *region    // what the addresses in core belong to

	name      string
	limit     int64        // 0: none. Immutable but for an automatic one and in follow.go
	watermark int64        // bytes below the limit that need gfp.Atomic; as limit
	auto      *autoLimited // nil: the limit is not automatic; immutable
	followed  bool         // protected by the zone lock: see follow.go
	granule   int          // order of the smallest block that can be populated or discarded
	group     int          // binary logarithm of the sections that are added at a time
	cap       [listOrders]uint32
	batch     [listOrders]uint32

	slots  percpu.Slots[pcp] // see lists.go
	closed atomic.Bool
	gate   atomic.Uint32 // see gate.go

	_ [percpu.Line]byte // the hot paths only read what is above

	deferred      atomic.Uint32 // head of the stack of deferred frees, through Meta.Link
	deferredPages atomic.Int64  // pages on it
	merging       atomic.Bool   // mergeLoop runs
	stocking      stocking      // see stock.go
	scavenging    atomic.Bool   // scavengeLoop runs
	background    background    // see background.go

	zone zone

	takers lock.Mutex // held to revoke lists; see lists.go
	grow   lock.Mutex // held to move the frontier; see range.go

	queue queue // who waits for memory; see wait.go

	sheavesTaken atomic.Int64 // when the caches were last asked for their Ps' sheaves
	turn         atomic.Int32 // which cache is asked first

	reclaimMu  lock.Mutex // protects changes of reclaimers
	reclaimers reclaimers
	reclaiming depcheck.Map // not a lock: Reclaimers run; see check.go
	warned     atomic.Int64 // sys.Nanotime of the last failure warning

	count counters
}

// New makes an allocator. It reserves the address range, and populates page 0
// and the metadata of the first 128 pages. Context: task; not pinned.
func New(c Config) (*Allocator, error) {
	granule := bits.Len(uint(os.Getpagesize()/Size)) - 1
	if c.Reserve == 0 && !race.Enabled {
		return newInRoom(c, granule)
	}
	return newAllocator(c, granule)
}

func newAllocator(c Config, granule int) (*Allocator, error) {
	if c.Name == "" {
		c.Name = "page"
	}
	if c.Reserve == 0 && !race.Enabled {
		c.Reserve = maxReserve
	}
	if c.ReclaimTimeout == 0 {
		c.ReclaimTimeout = time.Second
	}
	if race.Enabled {
		c.Reserve = raceReserve(c)
	}
	granule = max(granule, 0)
	group := granule // whole system pages of metadata
	huge := asTheSystem
	if c.Limit > 0 {
		huge = smallPages
	}
	if c.HugePages {
		huge, granule = hugePages, max(granule, MaxOrder)
		group = max(group, granule-sectionShift)
	}
	floor := int64(sectionMeta)<<group + Size<<granule
	fail := func(format string, args ...any) (*Allocator, error) {
		return nil, fmt.Errorf("page: allocator %s: "+format, append([]any{c.Name}, args...)...)
	}
	switch {
	case c.Limit < 0:
		return fail("Limit is negative: %d", c.Limit)
	case c.Limit > 0 && c.Limit < floor:
		return fail("Limit of %d bytes is below the %d that page 0 and the first metadata need", c.Limit, floor)
	case c.Limit > maxReserve:
		return fail("Limit of %d bytes is above the largest range, %d", c.Limit, int64(maxReserve))
	case c.Reserve < 0:
		return fail("Reserve is negative: %d", c.Reserve)
	case c.Reserve > maxReserve:
		return fail("Reserve of %d bytes is above the maximum of %d", c.Reserve, int64(maxReserve))
	case c.ReclaimTimeout < 0:
		return fail("ReclaimTimeout is negative: %v", c.ReclaimTimeout)
	}
	unit := uintptr(section*Size) << group
	size := (uintptr(c.Reserve) + unit - 1) &^ (unit - 1)

	a := &Allocator{name: c.Name, limit: c.Limit, granule: granule, group: group}
	a.core.Size, a.core.Timeout, a.core.Limit, a.core.Limited = size, c.ReclaimTimeout, c.Limit, c.Limit > 0
	a.core.Allocator = (*bridge)(a)
	a.watermark = watermark(c.Limit)
	a.sizeLists()
	a.initLocks()
	if err := a.slots.Init(); err != nil {
		return fail("no address space for the page lists: %w", err)
	}
	rng, err := getRegion(size, huge)
	if err != nil {
		a.slots.Release()
		return fail("no address space: %w", err)
	}
	rng.name(c.Name)
	a.rng = rng
	a.core.Base, a.core.Metas = rng.data, rng.meta
	a.core.AllocBits, a.core.PendBits, a.core.WaitBits = rng.bits[0], rng.bits[1], rng.bits[2]
	if err := a.first(); err != nil {
		a.slots.Release()
		a.recycle()
		return fail("no memory for the first section: %w", err)
	}
	a.register()
	return a, nil
}

func (a *Allocator) initLocks() {
	a.zone.lock.Init("page.zone")
	a.takers.Init("page.takers")
	a.grow.Init("page.grow")
	a.reclaimMu.Init("page.reclaimers")
	a.reclaiming.Init("page.reclaim of " + a.name)
}

// watermark returns the reserve of a limit: the last 1/64 (untuned), or nothing
// if that is less than 4 pages.
func watermark(limit int64) int64 {
	if limit < 64*4*Size {
		return 0
	}
	return limit / 64 &^ (Size - 1)
}

// defaultAllocator is made at program start, because its first use may be in
// a raw atomic context, which must not make a system call.
var defaultAllocator = newDefault()

// Default returns the allocator that the package makes at program start. Its limit
// is [AutoLimit], which it reads when it first needs memory, and again, once a
// second at most, when memory is short. The environment sets another one:
// QUIESCE=limit=<bytes>, where K, M and G stand for powers of 1024, and 0 means
// none.
func Default() *Allocator { return defaultAllocator }

func newDefault() *Allocator {
	c := Config{Name: "default", Limit: option.Bytes("limit")}
	a, err := New(c)
	switch {
	case err == nil:
		if text, set := option.Text("limit"); !set || text == option.Auto {
			a.auto, a.core.Limited = &autoLimited{read: AutoLimit}, true
		}
		return a
	case c.Limit != 0 && !refused(err):
		option.Reject("limit", err.Error())
	}
	return unmade(c, err)
}

// Alloc returns 1<<order pages, aligned to their size. It returns nil if no
// memory is available to a request with these flags, if order is not in
// 0..MaxOrder, or if the allocator is closed. The contents are arbitrary; with
// gfp.Zero they are zeros.
//
// Context: any with gfp.NoLocks; for other flags see package gfp. A caller
// that is pinned by other means than packages preempt and lock must pass
// NoLocks.
//
// Linux: alloc_pages.
func (a *Allocator) Alloc(order int, f gfp.Flags) unsafe.Pointer {
	if depcheck.Tagged {
		a.mightAlloc(f)
	}
	if uint(order) > MaxOrder || a.gate.Load() != 0 && !a.admit(order, f) { // ord:gate
		return nil
	}
	var page uint32
	if order < listOrders {
		page = a.popList(order)
	}
	if page == 0 {
		if page = a.allocOrReclaim(order, f); page == 0 {
			return nil
		}
	}
	p := a.addr(page)
	a.raceAllocated(p, order, f)
	if f&gfp.Zero != 0 {
		clear(unsafe.Slice((*byte)(p), Size<<order))
	}
	return p
}

// Free frees a block that Alloc returned for the same order, and panics if p is
// not such a block. It takes no lock that can sleep. Context: any.
//
// Linux: free_pages.
func (a *Allocator) Free(p unsafe.Pointer, order int) {
	if a.freeQuietly(p, order) {
		a.wakeAfterFree()
	}
}

// freeQuietly is Free without wakeAfterFree, and reports whether it is due.
func (a *Allocator) freeQuietly(p unsafe.Pointer, order int) (wake bool) {
	off := uintptr(p) - uintptr(a.core.Base)
	page := uint32(off >> Shift)
	if off >= a.core.Size || off&(Size-1) != 0 || uint(order) > MaxOrder || page >= a.core.Added.Load() || a.closed.Load() || // ord:frontier,gate
		!atomic.CompareAndSwapUint32(&a.meta(page).Word, pages.BlockWord(pages.InUse, order), pages.BlockWord(pages.Cached, order)) { // ord:state
		a.badFree(p, order)
	}
	race.PagesFreed(p, Size<<order, Size)
	ok := false
	if order < listOrders {
		ok, wake = a.pushList(page, order)
	}
	if !ok {
		race.Disable()
		a.count.frees.Add(1) // ord:stat
		race.Enable()
		a.pushDeferredQuietly(page, page, 1<<order)
	}
	return wake || !ok
}

// badFree panics with what is wrong with a Free. It panics with a string,
// because in a pinned section any other value is printed as an address.
func (a *Allocator) badFree(p unsafe.Pointer, order int) {
	what := "the pointer is foreign: not in this allocator's range"
	off := uintptr(p) - uintptr(a.core.Base)
	switch {
	case a.closed.Load(): // ord:gate
		what = "the allocator is closed"
	case off >= a.core.Size:
	case off&(Size-1) != 0:
		what = "the pointer is misaligned: not the start of a page"
	case uint32(off>>Shift) >= a.core.Added.Load(): // ord:frontier
		what = "the pointer is foreign: that page was never handed out"
	default:
		w := atomic.LoadUint32(&a.meta(uint32(off >> Shift)).Word) // ord:state
		switch {
		case w&pages.StateMask == pages.InUse:
			what = "wrong order: it was allocated with order " + strconv.Itoa(pages.Order(w))
		case w&pages.StateMask == pages.Sentinel:
			what = "page 0 is never handed out"
		case w&pages.StateMask == pages.Tail:
			what = "double free, or not the first page of its block"
		default:
			what = "double free: the block is free already"
		}
	}
	panic(fmt.Sprintf("quiesce/page: allocator %s: free of %#x, order %d: %s", a.name, uintptr(p), order, what))
}

// Contains reports whether p points into the allocator's range. Context: any.
func (a *Allocator) Contains(p unsafe.Pointer) bool {
	return uintptr(p)-uintptr(a.core.Base) < a.core.Size
}

// meta is Core.Meta, which through a.core would cost a test for nil at each
// call.
func (a *Allocator) meta(page uint32) *pages.Meta {
	return (*pages.Meta)(unsafe.Add(a.core.Metas, uintptr(page)*pages.MetaSize))
}

func (a *Allocator) addr(page uint32) unsafe.Pointer {
	return unsafe.Add(a.core.Base, uintptr(page)<<Shift)
}
