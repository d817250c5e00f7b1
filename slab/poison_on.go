//go:build poison || asan

package slab

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/heapprof"
	"quiesce/internal/sys"
	"quiesce/page"
)

// With -tags poison (and with -asan) every object is tracked and its memory is
// marked, so that misuse is found and reported with the stacks of the calls
// that allocated and freed the object.
//
// # An object's place
//
//	│ lead 16 │ object, size rounded up to 16 │ red zone 16 │   the next place
//	           ← asked for →← padding, red too →
//
// Objects too large for that have the padding only.
//
// # States
//
//	fresh ───────┐
//	free ────────┴─ Alloc ──→ allocated
//	allocated ─ Free ───────→ quarantined    and poisoned
//	allocated ─ FreeRCU ────→ pending        NOT poisoned: readers still read it
//	pending ─── the worker, after the grace period ─→ quarantined
//	quarantined ─ reaches the front ─→ free  and on to sheaves, depot, slab
//
// The state is a word of its own, out of line, and a spin lock at the same
// time (busy), held pinned and for one transition. So the second of two
// frees always finds the first, in any context and at once. Red zones are
// checked when an object is freed, reclaimed, leaves the quarantine, is
// allocated and when its slab becomes pages; poison when it leaves the
// quarantine and after that.
//
// Sheaves, depot and fallback chain are those of the plain build. Free frees,
// in place of its object, the one that leaves the quarantine for it; the
// worker puts what it reclaimed into the quarantine, not into the depot.
//
// # What it costs
//
// A few microseconds for a pair of Alloc and Free, 40 bytes of Go memory for an object
// and its red zones. The quarantine holds QUIESCE=quarantine=… bytes of each
// cache, and lets go of them when memory is short.
const poisonOn = true

// PoisonEnabled reports whether this build checks every object (-tags poison,
// or -asan).
const PoisonEnabled = poisonOn

// poison is what happens to a cache's objects, by event, and the part of a
// cache that only such builds have. Its methods read as the cache's own do.
type poison struct {
	*cache // whose objects these are

	asked       uintptr // size of an object that Alloc returns; immutable
	lead, pitch uintptr // see slotOf; immutable
	noGuards    bool    // immutable

	errors     atomic.Int64 // found so far, as the kernel's slab_errors counts
	quarantine quarantine
	guard      guardQueue
	slabs      [1 << tableBits]atomic.Pointer[tableLeaf] // by number of the first page
}

const tableBits = 12 // two levels of them cover the largest range

type tableLeaf [1 << tableBits]atomic.Pointer[slabInfo]

// slabInfo has what is known of a slab's objects. It is written under
// cache.mu, except for the objects, and stays when the slab becomes pages.
type slabInfo struct{ objects []object }

// object is what is known of one object. state protects everything.
type object struct {
	lockedState
	asked       uint32 // bytes asked for
	alloc, free track
}

const (
	stFresh uint32 = iota // since its slab was made
	stFree
	stAllocated
	stPending
	stQuarantined
)

// track records who did something to an object.
type track struct {
	g     uint64 // number of the goroutine
	stack uint32 // number of its stack, 0: none
	rcu   bool   // by FreeRCU
}

// The bytes, with byteZone. As an address each of them, repeated, faults on amd64 and arm64.
const (
	byteFresh      = 0xf5 // never allocated
	byteNew        = 0xc5 // allocated and not written
	byteQuarantine = 0xfb // freed, in quarantine
	byteFree       = 0xfd // freed, may be allocated
	bytePad        = 0xfc // red zone beyond the size asked for
)

// zone is the least size of a red zone.
const zone = 16

func slotOf(size uintptr) (lead, pitch uintptr) {
	if size+2*zone > maxSize {
		return 0, size
	}
	return zone, size + 2*zone
}

// registry has the caches that are open, by pages.Meta.Owner.
var registry sync.Map

func (c *poison) cacheMade(of *cache, asked uintptr) {
	c.cache = of
	c.asked = max(asked, 1)
	c.lead, c.pitch = slotOf(c.size)
	c.noGuards = c.onReclaim != nil // the hook deals in offsets, which guarded objects have none of
	c.quarantine.init(c.size)
	c.guard.mu.Init("slab.guarded.mu")
	registry.Store(c.id, c.cache)
}

// cacheClosed forgets a cache that was closed without leaks.
func (c *poison) cacheClosed() { registry.Delete(c.id) }

// info returns what is known of the slab that begins at page head, or nil if
// nothing is.
func (c *poison) info(head uint32) *slabInfo {
	if leaf := c.slabs[head>>tableBits].Load(); leaf != nil {
		return leaf[head&(1<<tableBits-1)].Load()
	}
	return nil
}

// objectAt returns the object whose place has the unit off, and where that
// object begins. nil: no object's place, or not a slab of this cache.
func (c *poison) objectAt(off uint32) (o *object, start uint32) {
	head := c.head(off)
	if head >= c.core.Opened() || c.core.Meta(head).Owner != c.id {
		return nil, 0
	}
	i := uintptr(off-firstUnit(head)) * unit / c.pitch
	info := c.info(head)
	if info == nil || i >= uintptr(len(info.objects)) {
		return nil, 0
	}
	return &info.objects[i], c.objectStart(head, i)
}

// objectStart returns where object i of a slab begins.
func (c *poison) objectStart(head uint32, i uintptr) uint32 {
	return firstUnit(head) + uint32((i*c.pitch+c.lead)/unit)
}

// slabMade marks a new slab's memory. cache.mu is held.
func (c *poison) slabMade(head uint32) {
	leaf := c.slabs[head>>tableBits].Load()
	if leaf == nil {
		leaf = new(tableLeaf)
		c.slabs[head>>tableBits].Store(leaf)
	}
	leaf[head&(1<<tableBits-1)].Store(&slabInfo{make([]object, c.perSlab)})
	for i := range uintptr(c.perSlab) {
		c.mark(c.pointer(c.objectStart(head, i)), c.size, byteFresh, true)
	}
}

// slabDropped examines the objects of a slab that becomes pages. cache.mu is
// held.
func (c *poison) slabDropped(head uint32) {
	info := c.info(head)
	for i := range info.objects {
		c.inspect(&info.objects[i], c.objectStart(head, uintptr(i)), "return of the slab")
	}
	sys.AsanUnpoison(c.pointer(firstUnit(head)), page.Size<<c.order)
}

// mark fills an object's first asked bytes with b, and the rest with the
// padding; with zones also the red zones around it. The caller has locked the
// object.
func (c *poison) mark(p unsafe.Pointer, asked uintptr, b byte, zones bool) {
	c.expose(p)
	fill(p, asked, b)
	fill(unsafe.Add(p, asked), c.size-asked, bytePad)
	if zones {
		fill(unsafe.Add(p, -c.lead), c.lead, byteZone)
		fill(unsafe.Add(p, c.size), c.pitch-c.lead-c.size, byteZone)
	}
	live := uintptr(0)
	if b == byteNew || b == 0 {
		live = asked
	}
	c.conceal(p, live)
}

// expose lets ASan accept accesses to the object's whole place, and conceal
// only to its first live bytes.
func (c *poison) expose(p unsafe.Pointer) {
	sys.AsanUnpoison(unsafe.Add(p, -c.lead), c.pitch)
}

func (c *poison) conceal(p unsafe.Pointer, live uintptr) {
	sys.AsanPoison(unsafe.Add(p, -c.lead), c.lead, sys.AsanZone)
	end := c.pitch - c.lead
	if live == 0 {
		sys.AsanPoison(p, c.size, sys.AsanFreed)
		live = c.size
	}
	sys.AsanPoison(unsafe.Add(p, live), end-live, sys.AsanZone)
}

// alloc allocates asked bytes, or with 0 an object of the cache's type.
func (c *poison) alloc(f gfp.Flags, asked uintptr) unsafe.Pointer {
	if c.closed.Load() {
		panic("quiesce/slab: use of closed cache " + c.name)
	}
	if asked == 0 {
		asked = c.asked
	}
	by := callerTrack()
	if p := c.guardAlloc(f, asked, by); p != nil {
		return p
	}
	p := c.allocRaw(f)
	if p == nil {
		return nil
	}
	return c.handOutTo(p, f, asked, by)
}

// allocRaw returns a free object, still as it is.
func (c *poison) allocRaw(f gfp.Flags) unsafe.Pointer {
	p, takes := c.allocFurther(f)
	if takes != nil || heapprof.Exact() {
		c.note(p, takes, f)
	}
	if p != nil {
		return p
	}
	off := c.quarantine.pop()
	if off == 0 {
		return nil
	}
	c.release(off) // memory is short
	return c.pointer(off)
}

// handOut allocates a free object that a Sheaf had in stock.
func (c *poison) handOut(p unsafe.Pointer, f gfp.Flags) unsafe.Pointer {
	return c.handOutTo(p, f, c.asked, callerTrack())
}

// handOutTo allocates a free object of asked bytes.
func (c *poison) handOutTo(p unsafe.Pointer, f gfp.Flags, asked uintptr, by track) unsafe.Pointer {
	off := uint32(c.unitOf(p))
	o, _ := c.objectAt(off)
	st, pin := o.lock()
	if st != stFree && st != stFresh {
		o.unlock(st, pin)
		c.reportMisuse("object-handed-out-twice", "Allocation", p, by)
		panic(fmt.Sprintf("quiesce/slab: %p handed out twice by cache %s", p, c.name))
	}
	found := c.examine(o, st, p, "Alloc", by)
	o.asked, o.alloc, o.free = uint32(asked), by, track{}
	b := byte(byteNew)
	if f&gfp.Zero != 0 {
		b = 0
	}
	c.mark(p, asked, b, false)
	o.unlock(stAllocated, pin)
	c.reportFound(found)
	return p
}

func (c *poison) allocBulk(f gfp.Flags, dst []unsafe.Pointer) int {
	for i := range dst {
		if dst[i] = c.alloc(f, 0); dst[i] == nil {
			return i
		}
	}
	return len(dst)
}
