package page

import (
	"errors"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/lock"
)

// region is the address space of an allocator: a range for the data, and one
// for each kind of metadata. It is never unmapped: a stale pointer into a range
// that the Go heap took over would crash the collector. The region of a closed
// allocator is kept for a later one.
type region struct {
	data   unsafe.Pointer
	meta   unsafe.Pointer
	bits   [3]unsafe.Pointer
	size   uintptr // bytes of data; immutable
	opened uintptr // bytes of data that are accessible, with their metadata; grow lock
	huge   huge    // immutable
}

// huge says which data lies in huge pages. Metadata does only as the system
// has it.
type huge int

const (
	asTheSystem huge = iota
	smallPages       // none, because a limit counts pages
	hugePages        // all, where there are any
)

// openStep is the least that is opened at a time; five system calls each time.
// What is open and has no memory is locked by mlockall, counted by RLIMIT_DATA
// and vm.overcommit_memory=2, and committed by Windows. Untuned.
const openStep = 2 << 20

const bitsRatio = Size / pages.BitBytes // bytes of data for a byte of each bitmap

// regionPool holds the regions of closed allocators.
type regionPool struct {
	lock.Mutex
	free []*region // protected by the lock
}

var regions = newRegionPool() // before defaultAllocator, which takes one

func newRegionPool() *regionPool {
	p := new(regionPool)
	p.Init("page.regions")
	return p
}

// getRegion returns a region of at least size bytes: the smallest, and of those
// the latest, in the pool, or else a new one.
func getRegion(size uintptr, huge huge) (*region, error) {
	regions.Lock()
	best := -1
	for i, r := range regions.free {
		if r.huge == huge && r.size >= size && (best < 0 || r.size <= regions.free[best].size) {
			best = i
		}
	}
	if best >= 0 {
		r := regions.free[best]
		last := len(regions.free) - 1
		regions.free[best] = regions.free[last]
		regions.free = regions.free[:last]
		regions.Unlock()
		return r, nil
	}
	regions.Unlock()

	// One reservation for all of it, so that there is either all of it or
	// nothing. A reservation is never undone, and a part alone is of no use: it
	// would only take address space from a smaller region and from the Go heap.
	r := &region{size: size, huge: huge}
	parts := r.parts(size)
	p, err := reserve(parts)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		if race.Enabled && part.base == &r.data {
			r.data = raceMemory(part.size)
			continue
		}
		switch {
		case huge == hugePages && part.base == &r.data:
			sys.HugePages(p, part.size)
		case huge != asTheSystem:
			if err := sys.SmallPages(p, part.size); err != nil {
				return nil, err
			}
		}
		*part.base = p
		p = unsafe.Add(p, part.size)
	}
	pages.AddRange(r.data, size)
	return r, nil
}

// reserve takes the address space of all parts, except for the data of race
// builds. The data is the first and begins where the largest block may begin,
// so that blocks are aligned to their size and not only within the range.
func reserve(parts [5]part) (unsafe.Pointer, error) {
	total := uintptr(0)
	for i, part := range parts {
		if i > 0 || !race.Enabled {
			total += part.size
		}
	}
	const align = Size << MaxOrder
	p, err := sys.Reserve(total + align)
	return unsafe.Add(p, -uintptr(p)&(align-1)), err
}

// name gives the ranges a name in the system's list of mappings.
func (r *region) name(allocator string) {
	for i, part := range r.parts(r.size) {
		switch {
		case i > 0:
			sys.Name(*part.base, part.size, "quiesce: metadata of "+allocator)
		case !race.Enabled:
			sys.Name(*part.base, part.size, "quiesce: pages of "+allocator)
		}
	}
}

type part struct {
	base *unsafe.Pointer
	size uintptr
}

// parts lists the five address ranges that belong to bytes of data.
func (r *region) parts(bytes uintptr) [5]part {
	return [5]part{
		{&r.data, bytes},
		{&r.meta, bytes / Size * pages.MetaSize},
		{&r.bits[0], bytes / bitsRatio},
		{&r.bits[1], bytes / bitsRatio},
		{&r.bits[2], bytes / bitsRatio},
	}
}

// open makes the first bytes of the data, and their metadata, accessible.
func (r *region) open(bytes, step uintptr) error {
	if bytes <= r.opened {
		return nil
	}
	to := min(max(bytes, r.opened+step), r.size)
	old, now := r.parts(r.opened), r.parts(to)
	for i := range now {
		if err := r.access(now[i], unsafe.Add(*now[i].base, old[i].size), now[i].size-old[i].size); err != nil {
			return err
		}
	}
	r.opened = to
	return nil
}

// populateMeta gives memory to the metadata of the pages from..to.
func (r *region) populateMeta(from, to uint32) error {
	lo, hi := r.parts(uintptr(from)<<Shift), r.parts(uintptr(to)<<Shift)
	for i := 1; i < len(lo); i++ {
		if err := sys.Populate(unsafe.Add(*lo[i].base, lo[i].size), hi[i].size-lo[i].size); err != nil {
			return err
		}
	}
	return nil
}

// dropMeta returns the memory of the metadata of the pages from..to to the
// system. It reads as zero afterwards.
func (r *region) dropMeta(from, to uint32) {
	lo, hi := r.parts(uintptr(from)<<Shift), r.parts(uintptr(to)<<Shift)
	for i := 1; i < len(lo); i++ {
		drop(unsafe.Add(*lo[i].base, lo[i].size), hi[i].size-lo[i].size)
	}
}

func drop(p unsafe.Pointer, n uintptr) {
	if n > 0 && sys.Discard(p, n) != nil { // locked memory, for instance
		clear(unsafe.Slice((*byte)(p), n))
	}
}

// recycle returns the region to the pool. No block is in use.
func (a *Allocator) recycle() {
	for a.scavenge(scavengeStep) > 0 {
	}
	if added := a.core.Added.Load(); added > 0 { // ord:frontier
		a.rng.dropMeta(0, added)
		drop(a.core.Base, Size<<a.granule)
	}
	regions.Lock()
	regions.free = append(regions.free, a.rng)
	regions.Unlock()
}

// first adds the first section and makes page 0. If the system populates
// several pages at a time, those after page 0 are free.
func (a *Allocator) first() error {
	a.grow.Lock()
	defer a.grow.Unlock()
	if err := a.addSectionsLocked(1, gfp.Atomic); err != nil {
		return err
	}
	z := &a.zone
	z.lock.LockIRQ()
	a.chargeLocked(Size << a.granule) // New checked the limit
	z.lock.UnlockIRQ()
	if err := sys.Populate(a.core.Base, Size<<a.granule); err != nil {
		return err
	}
	a.meta(0).Set(pages.Transit, a.granule, 0)
	a.markPopulated(0, 0)
	a.meta(0).Set(pages.Sentinel, 0, 0)
	return nil
}

// step returns how much is opened at a time: less for a small limit.
func (a *Allocator) step() uintptr {
	if a.limit > 0 && a.limit < openStep {
		return uintptr(a.limit)&^(section*Size-1) + section*Size
	}
	return openStep
}

var errLimit = errors.New("the limit is reached")
var errRange = errors.New("the address range is used up")

// growTo adds the sections that make a block of the order, unless the frontier
// has moved from seen. It reports whether the buddy is worth another try.
// Context: task; not pinned.
func (a *Allocator) growTo(order int, f gfp.Flags, seen uint32) bool {
	done := beginGrow()
	defer done()
	a.grow.Lock()
	defer a.grow.Unlock()
	if a.core.Added.Load() != seen { // ord:frontier
		return true
	}
	// Up to the next boundary of the order, which completes a block together
	// with free pages below, or begins a new one.
	n := uint32(1)
	if order > sectionShift {
		per := uint32(1) << (order - sectionShift)
		n = per - seen>>sectionShift%per
	}
	return a.addSectionsLocked(n, f) == nil
}

// addSectionsLocked moves the frontier by at least n sections. It charges and
// populates their metadata, opens them, and puts their pages into the buddy
// without memory. The lock is grow.
func (a *Allocator) addSectionsLocked(n uint32, f gfp.Flags) error {
	z := &a.zone
	group := uint32(1) << a.group
	n = (n + group - 1) &^ (group - 1)
	from := a.core.Added.Load() // ord:frontier
	to := from + n<<sectionShift
	if uint64(to)<<Shift > uint64(a.core.Size) {
		return errRange
	}
	cost := int64(n) * sectionMeta
	for {
		a.lockMerged()
		shortfall := int64(-1)
		if a.roomLocked(cost+Size<<a.granule, f) {
			shortfall = a.chargeLocked(cost)
		}
		z.lock.UnlockIRQ()
		if shortfall == 0 {
			break
		}
		if shortfall < 0 || a.scavenge(shortfall) == 0 {
			return errLimit
		}
	}
	err := a.rng.open(uintptr(to)<<Shift, a.step())
	if err == nil {
		if err = a.rng.populateMeta(from, to); err != nil {
			a.rng.dropMeta(from, to)
		}
	}
	z.lock.LockIRQ()
	defer z.lock.UnlockIRQ()
	if err != nil {
		a.unchargeLocked(cost)
		return err
	}
	z.metadata.Add(cost)   // ord:stat
	a.core.Added.Store(to) // ord:frontier
	for page := from; page < to; page += section {
		if page < 1<<a.granule && page+section <= 1<<a.granule {
			continue // of the block of page 0
		}
		if page == 0 { // without the block of page 0
			for order := a.granule; order < sectionShift; order++ {
				a.freeBlockLocked(1<<order, order, 0)
			}
			continue
		}
		a.freeBlockLocked(page, sectionShift, 0)
	}
	return nil
}

// scavengeStep bounds the blocks that are in transit at a time when as many as
// possible are scavenged. Untuned.
const scavengeStep = 64 << 20

// scavengeBlocks bounds the blocks that one hold of the zone lock takes, which may
// be single pages: 40 ns each were measured with warm caches.
const scavengeBlocks = 128

// scavenge returns memory of free blocks to the system until that makes bytes,
// or there is no more. It takes the zone lock, and discards outside of it.
// Context: task; not pinned.
func (a *Allocator) scavenge(bytes int64) (got int64) {
	for got < bytes {
		n, more := a.scavengeSome(bytes - got)
		if got += n; n == 0 || !more {
			break
		}
	}
	a.count.scavenged.Add(uint64(got)) // ord:stat
	return got
}

// scavengeSome is scavenge with one hold of the zone lock to take blocks in. It
// reports whether there may be more.
func (a *Allocator) scavengeSome(bytes int64) (got int64, more bool) {
	z := &a.zone
	var chain uint32
	var moved int64 // pages
	blocks := 0
	a.lockMerged()
	for shortfall := bytes; shortfall > 0; {
		if blocks == scavengeBlocks {
			more = true
			break
		}
		page := a.victimLocked(shortfall)
		if page == 0 {
			break
		}
		blocks++
		m := a.meta(page)
		shortfall -= int64(pages.Count(m.Read())) * Size
		moved += 1 << pages.Order(m.Read())
		m.Link, chain = chain, page
	}
	z.transit.Add(moved) // ord:stat
	z.lock.UnlockIRQ()
	for page := chain; page != 0; {
		m := a.meta(page)
		next := m.Link
		n := int64(1) << pages.Order(m.Read())
		got += a.discard(page, false)
		z.transit.Add(-n) // ord:stat
		page = next
	}
	return got, more
}

// victimLocked takes the free block out of the buddy that scavenge discards: a
// part of a full one that is just large enough, or else the largest. The lock
// is the zone's.
func (a *Allocator) victimLocked(bytes int64) uint32 {
	z := &a.zone
	k := a.granule
	for k < MaxOrder && Size<<k < bytes {
		k++
	}
	for o := k; o <= MaxOrder; o++ {
		if page := z.lists[full][o]; page != 0 {
			a.carveLocked(page, page, k)
			return page
		}
	}
	for o := k - 1; o >= a.granule; o-- {
		if page := z.lists[full][o]; page != 0 {
			a.carveLocked(page, page, o)
			return page
		}
	}
	for o := MaxOrder; o >= a.granule; o-- {
		if page := z.lists[mixed][o]; page != 0 {
			a.carveLocked(page, page, o)
			return page
		}
	}
	return 0
}
