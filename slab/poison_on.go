//go:build poison || asan

package slab

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// With -tags poison (and with -asan) every object is followed, and its memory
// is marked, so that misuse is found and said with the stacks of those who
// allocated and freed the object.
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
//	quarantined ─ its turn has come ─→ free  and on to sheaves, depot, slab
//
// The state is a word of its own, out of line, and a spin lock at the same
// time (busy), taken pinned and for one transition. So the second of two
// frees always finds the first, in any context and at once. Red zones are
// looked at when an object is freed, reclaimed, leaves the quarantine, is
// allocated and when its slab becomes pages; poison when it leaves the
// quarantine and after that.
//
// Sheaves, depot and fallback chain are those of the plain build. Free frees,
// in place of its object, the one that leaves the quarantine for it; the
// worker puts what it reclaimed into the quarantine in place of the depot.
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

// poisoned is the part of a cache that only such builds have.
type poisoned struct {
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
// cache.mu, but for the objects, and stays when the slab became pages.
type slabInfo struct{ objects []object }

// object is what is known of one object. Everything is protected by state.
type object struct {
	state       atomic.Uint32
	asked       uint32 // bytes asked for
	alloc, free track
}

const (
	stFresh uint32 = iota // since its slab was made
	stFree
	stAllocated
	stPending
	stQuarantined
	stBusy
)

// track is who did something to an object.
type track struct {
	g     uint64 // number of the goroutine
	stack uint32 // number of its stack, 0: none
	rcu   bool   // by FreeRCU
}

// The bytes. As an address each of them, repeated, faults on amd64 and arm64.
const (
	byteFresh      = 0xf5 // never allocated
	byteNew        = 0xc5 // allocated and not written
	byteQuarantine = 0xfb // freed, in quarantine
	byteFree       = 0xfd // freed, may be allocated
	byteZone       = 0xfa // red zone between objects
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

func (c *cache) poisonInit(asked uintptr) {
	c.poison.asked = max(asked, 1)
	c.poison.lead, c.poison.pitch = slotOf(c.size)
	c.poison.noGuards = c.onReclaim != nil // the hook deals in offsets, which guarded objects have none of
	c.poison.quarantine.init(c.size)
	c.poison.guard.mu.Init("slab.guarded.mu")
	registry.Store(c.id, c)
}

// poisonRetire forgets a cache that was closed without leaks.
func (c *cache) poisonRetire() { registry.Delete(c.id) }

// take locks the object, pinned.
func (o *object) take() (state uint32, p preempt.Pinned) {
	p = preempt.Disable()
	for i := 0; ; i++ {
		state = o.state.Load()
		if state != stBusy && o.state.CompareAndSwap(state, stBusy) {
			return state, p
		}
		if i < 100 {
			sys.Pause(10)
		} else {
			sys.Yield()
		}
	}
}

// put unlocks the object in its new state.
func (o *object) put(state uint32, p preempt.Pinned) {
	o.state.Store(state)
	p.Enable()
}

// info returns what is known of the slab that begins at page head, or nil.
func (c *cache) info(head uint32) *slabInfo {
	if leaf := c.poison.slabs[head>>tableBits].Load(); leaf != nil {
		return leaf[head&(1<<tableBits-1)].Load()
	}
	return nil
}

// objectAt returns the object whose place has the unit off, and where that
// object begins. nil: no object's place, or not a slab of this cache.
func (c *cache) objectAt(off uint32) (o *object, start uint32) {
	head := c.head(off)
	if head >= c.core.Opened() || c.core.Meta(head).Owner != c.id {
		return nil, 0
	}
	first := head << (12 - unitShift)
	i := uintptr(off-first) * unit / c.poison.pitch
	info := c.info(head)
	if info == nil || i >= uintptr(len(info.objects)) {
		return nil, 0
	}
	return &info.objects[i], first + uint32((i*c.poison.pitch+c.poison.lead)/unit)
}

// poisonSlab marks a new slab's memory. mu is held.
func (c *cache) poisonSlab(head uint32) {
	leaf := c.poison.slabs[head>>tableBits].Load()
	if leaf == nil {
		leaf = new(tableLeaf)
		c.poison.slabs[head>>tableBits].Store(leaf)
	}
	leaf[head&(1<<tableBits-1)].Store(&slabInfo{make([]object, c.perSlab)})
	p := c.pointer(head << (12 - unitShift))
	for i := range uintptr(c.perSlab) {
		c.mark(unsafe.Add(p, i*c.poison.pitch+c.poison.lead), c.size, byteFresh, true)
	}
}

// poisonDrop looks at the objects of a slab that becomes pages. mu is held.
func (c *cache) poisonDrop(head uint32) {
	info := c.info(head)
	first := head << (12 - unitShift)
	for i := range info.objects {
		c.inspect(&info.objects[i], first+uint32((uintptr(i)*c.poison.pitch+c.poison.lead)/unit), "return of the slab")
	}
	sys.AsanUnpoison(c.pointer(first), 4096<<c.order)
}

// mark fills an object's first asked bytes with b; beyond them the padding, and
// with zones the red zones around. The object is the caller's.
func (c *cache) mark(p unsafe.Pointer, asked uintptr, b byte, zones bool) {
	c.expose(p)
	fill(p, asked, b)
	fill(unsafe.Add(p, asked), c.size-asked, bytePad)
	if zones {
		fill(unsafe.Add(p, -c.poison.lead), c.poison.lead, byteZone)
		fill(unsafe.Add(p, c.size), c.poison.pitch-c.poison.lead-c.size, byteZone)
	}
	live := uintptr(0)
	if b == byteNew || b == 0 {
		live = asked
	}
	c.conceal(p, live)
}

// expose lets ASan accept accesses to the object's whole place, and conceal
// only to its first live bytes.
func (c *cache) expose(p unsafe.Pointer) {
	sys.AsanUnpoison(unsafe.Add(p, -c.poison.lead), c.poison.pitch)
}

func (c *cache) conceal(p unsafe.Pointer, live uintptr) {
	sys.AsanPoison(unsafe.Add(p, -c.poison.lead), c.poison.lead, sys.AsanZone)
	end := c.poison.pitch - c.poison.lead
	if live == 0 {
		sys.AsanPoison(p, c.size, sys.AsanFreed)
		live = c.size
	}
	sys.AsanPoison(unsafe.Add(p, live), end-live, sys.AsanZone)
}

// poisonAlloc is an allocation of asked bytes; 0: an object of the cache's
// type.
func (c *cache) poisonAlloc(f gfp.Flags, asked uintptr) unsafe.Pointer {
	if c.closed.Load() {
		panic("quiesce: slab: use of closed cache " + c.name)
	}
	if asked == 0 {
		asked = c.poison.asked
	}
	by := here()
	if p := c.guardAlloc(f, asked, by); p != nil {
		return p
	}
	var off uint32
	if p := c.allocAnyhow(f); p != nil {
		off = uint32(c.unitOf(p))
	} else if off = c.poison.quarantine.pop(); off != 0 {
		c.release(off) // memory is short
	} else {
		return nil
	}
	o, _ := c.objectAt(off)
	p := c.pointer(off)
	st, pin := o.take()
	if st != stFree && st != stFresh {
		o.put(st, pin)
		c.misused("object-handed-out-twice", "Allocation", p, by)
		panic(fmt.Sprintf("quiesce: slab: %p handed out twice by cache %s", p, c.name))
	}
	found := c.examine(o, st, p, "Alloc", by)
	o.asked, o.alloc, o.free = uint32(asked), by, track{}
	b := byte(byteNew)
	if f&gfp.Zero != 0 {
		b = 0
	}
	c.mark(p, asked, b, false)
	o.put(stAllocated, pin)
	c.emit(found)
	return p
}

func (c *cache) poisonAllocBulk(f gfp.Flags, dst []unsafe.Pointer) int {
	for i := range dst {
		if dst[i] = c.poisonAlloc(f, 0); dst[i] == nil {
			return i
		}
	}
	return len(dst)
}
