//go:build poison || asan

package slab

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/option"
	"quiesce/internal/pages"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/preempt"
)

// Guarded objects. Every guardEvery-th allocation gets a page of its own, from
// a range apart from the page allocators': the object ends where the page ends,
// the next page never has access rights, and the object's own page loses them
// when the object is freed. So a stray read or write faults on the spot, and
// the report comes with the trace of the access. (KFENCE's idea.)
//
// Access rights change by system call, so allocations that are pinned or may not
// lock get a slot that another one has made ready, if there is one; a guarded
// object that is freed pinned is poisoned at once and protected by a goroutine.
// The range is never unmapped, and a slot is reused after all others were used.
//
// The memory of guarded objects, guardSlots pages at most, counts towards no
// limit.

const (
	guardSlots = 16384 // two mappings each; Linux allows a process 65530
	// guardMost is the size of the largest object that is guarded.
	guardMost = 4096
	// guardReady is how many accessible slots are kept ready. Untuned.
	guardReady = 64
)

// guardSlot is what is known of a pair of pages. The object's state protects
// it, except for what the fault handler reads, which is atomic.
type guardSlot struct {
	object
	p     unsafe.Pointer // the object; nil until first used
	owner atomic.Pointer[cache]

	*faultInfo // immutable
}

var guards = newGuards()

type guardPool struct {
	base, page uintptr
	mem        unsafe.Pointer
	every      uint64
	tick       atomic.Uint64
	slots      []guardSlot

	mu   lock.Raw
	free []uint32 // protected by mu, as are the next two: a ring of protected slots
	head int
	n    int

	ready    [guardReady]*guardSlot // accessible; protected by mu
	nReady   int                    // protected by mu
	wantMore atomic.Bool            // ready is not full
}

// guardQueue is a cache's guarded objects that wait for a grace period.
type guardQueue struct {
	mu      lock.Raw
	pending []*guardSlot // protected by mu
	waiting []*guardSlot // protected by cache.reclaimMu
	some    atomic.Bool  // pending is not empty
	out     atomic.Int32 // objects allocated or pending
}

func newGuards() *guardPool {
	g := &guardPool{page: max(guardMost, uintptr(os.Getpagesize()))}
	every := option.Count("guard")
	if every == 0 || asanOn || !sys.CanProtect { // ASan sees every access anyway
		return g
	}
	mem, err := sys.Reserve(guardSlots * 2 * g.page)
	if err != nil {
		return g
	}
	pages.AddRange(mem, guardSlots*2*g.page)
	g.mem, g.base, g.every = mem, uintptr(mem), uint64(every)
	g.slots = make([]guardSlot, guardSlots)
	info := make([]faultInfo, guardSlots)
	for i := range info {
		g.slots[i].faultInfo = &info[i]
	}
	faultRange.base, faultRange.page, faultRange.info = g.base, g.page, info
	g.free = make([]uint32, guardSlots)
	for i := range g.free {
		g.free[i] = uint32(i)
	}
	g.n = guardSlots
	g.mu.Init("slab.guards.mu")
	return g
}

func init() {
	for guards.every == 1 && guards.prepare() {
	}
	guards.wantMore.Store(guards.every > 1)
	if guards.every != 0 {
		_ = sys.OnFault(guards.mem, guardSlots*2*guards.page, guardFault) // without it Go's message has to do
	}
}

func (g *guardPool) number(s *guardSlot) uint32 {
	return uint32((uintptr(unsafe.Pointer(s)) - uintptr(unsafe.Pointer(&g.slots[0]))) / unsafe.Sizeof(*s))
}

func (g *guardPool) pageOf(s *guardSlot) unsafe.Pointer {
	return unsafe.Add(g.mem, uintptr(g.number(s))*2*g.page)
}

func (g *guardPool) take() *guardSlot {
	g.mu.LockIRQ()
	defer g.mu.UnlockIRQ()
	if g.n == 0 {
		return nil
	}
	i := g.free[g.head]
	g.head = (g.head + 1) % guardSlots
	g.n--
	return &g.slots[i]
}

// open returns an accessible slot, or nil if none is left or the process has too
// many mappings.
//
// Context: task; not pinned.
func (g *guardPool) open() *guardSlot {
	s := g.take()
	if s != nil && sys.Open(g.pageOf(s), g.page) != nil {
		g.release(s)
		return nil
	}
	return s
}

// prepare makes one more slot ready. It returns false if that is impossible or
// not needed.
//
// Context: task; not pinned.
func (g *guardPool) prepare() bool {
	s := g.open()
	if s == nil {
		return false
	}
	g.mu.LockIRQ()
	fits := g.nReady < guardReady
	if fits {
		g.ready[g.nReady] = s
		g.nReady++
	}
	g.wantMore.Store(g.nReady < guardReady)
	g.mu.UnlockIRQ()
	if !fits && sys.Protect(g.pageOf(s), g.page) == nil {
		g.release(s)
	}
	return fits
}

// takeReady returns a slot that was made ready, or nil if there is none.
//
// Context: any.
func (g *guardPool) takeReady() (s *guardSlot) {
	g.mu.LockIRQ()
	if g.nReady > 0 {
		g.nReady--
		s = g.ready[g.nReady]
		g.wantMore.Store(true)
	}
	g.mu.UnlockIRQ()
	return s
}

func (g *guardPool) release(s *guardSlot) {
	g.mu.LockIRQ()
	g.free[(g.head+g.n)%guardSlots] = g.number(s)
	g.n++
	g.mu.UnlockIRQ()
}

// guardSlotOf returns the slot whose pages p points into, or nil.
func guardSlotOf(p unsafe.Pointer) *guardSlot {
	off := uintptr(p) - guards.base
	if guards.base == 0 || off >= guardSlots*2*guards.page {
		return nil
	}
	return &guards.slots[off/(2*guards.page)]
}

// poisonOwner returns the cache of a guarded object, or nil.
func poisonOwner(p unsafe.Pointer) *cache {
	if s := guardSlotOf(p); s != nil {
		return s.owner.Load()
	}
	return nil
}

// guardEach calls fn for the slots that this cache used last.
func (c *poison) guardEach(fn func(*guardSlot)) {
	for i := range guards.slots {
		if s := &guards.slots[i]; s.owner.Load() == c.cache {
			fn(s)
		}
	}
}

// guardAlloc allocates a guarded object if it is time for one, and otherwise
// returns nil.
func (c *poison) guardAlloc(f gfp.Flags, asked uintptr, by track) unsafe.Pointer {
	g := guards
	if g.every == 0 || asked > guardMost || c.noGuards || g.every > 1 && g.tick.Add(1)%g.every != 0 {
		return nil
	}
	var s *guardSlot
	if !f.CanLock() || preempt.Atomic() {
		s = g.takeReady()
	} else {
		if g.wantMore.Load() {
			g.prepare()
		}
		s = g.open()
	}
	if s == nil {
		return nil
	}
	page := g.pageOf(s)
	_, pin := s.lock()
	room := (asked + unit - 1) &^ (unit - 1)
	p := unsafe.Add(page, g.page-room)
	b := byte(byteNew)
	if f&gfp.Zero != 0 {
		b = 0
	}
	fill(page, g.page-room, byteZone)
	fill(p, asked, b)
	fill(unsafe.Add(p, asked), room-asked, bytePad)
	s.p, s.asked, s.alloc, s.free = p, uint32(asked), by, track{}
	s.owner.Store(c.cache)
	s.name.Store(&c.name)
	s.begin.Store(uint64(uintptr(p)))
	s.size.Store(uint64(asked))
	s.allocText.Store(stackOf(by.stack).render())
	s.allocG.Store(by.g)
	s.how.Store(0)
	s.unlock(stAllocated, pin)
	c.guard.out.Add(1)
	return p
}

// checkGuard is examine for a guarded object: the bytes around it, and after it
// was freed its own.
func (c *poison) checkGuard(s *guardSlot, freed bool, op string, by track) []string {
	page := guards.pageOf(s)
	end := unsafe.Add(page, guards.page)
	e := examination{c: c, o: &s.object, p: s.p, size: uintptr(s.asked), state: stAllocated, op: op, by: by, lo: page, hi: end}
	if freed {
		e.state = stQuarantined
	}
	e.part("slab-out-of-bounds", page, uintptr(s.p)-uintptr(page), byteZone)
	tail := unsafe.Add(s.p, s.asked)
	if freed {
		e.part("slab-use-after-free", s.p, uintptr(s.asked), byteQuarantine)
	}
	e.part("slab-out-of-bounds", tail, uintptr(end)-uintptr(tail), bytePad)
	return e.found
}

// guardFree frees p if it is in the guards' range. If it is no allocated object
// of this cache it reports that and panics.
func (c *poison) guardFree(p unsafe.Pointer, op string, to uint32) bool {
	s := guardSlotOf(p)
	if s == nil {
		return false
	}
	by := callerTrack()
	by.rcu = to == stPending
	if c.closed.Load() {
		panic("quiesce/slab: use of closed cache " + c.name)
	}
	st, pin := s.lock()
	if s.p != p || s.owner.Load() != c.cache || st != stAllocated {
		known := s.p != nil && s.owner.Load() == c.cache
		what, text := guardMisuse(known, s.p == p)
		s.unlock(st, pin)
		c.reportMisuse(what, op, p, by)
		if uintptr(p)%unit != 0 {
			panic(c.misaligned(p, op))
		}
		panic(fmt.Sprintf("quiesce/slab: "+text, p, c.name))
	}
	found := c.checkGuard(s, false, op, by)
	s.free = by
	s.freeText.Store(stackOf(by.stack).render())
	s.freeG.Store(by.g)
	if to == stQuarantined {
		fill(p, uintptr(s.asked), byteQuarantine)
		s.how.Store(1)
	} else {
		s.how.Store(2)
	}
	s.unlock(to, pin)
	c.reportFound(found)
	switch {
	case to == stPending:
		q := &c.guard
		q.mu.LockIRQ()
		q.pending = append(q.pending, s)
		q.some.Store(true)
		q.mu.UnlockIRQ()
		c.first.counts.arrays.Add(1)
		c.startReclaim()
	case preempt.Atomic():
		c.spawn(func() { c.guardClose(s) })
	default:
		c.guardClose(s)
	}
	return true
}

// guardClose protects a freed object.
//
// Context: task; not pinned.
func (c *poison) guardClose(s *guardSlot) {
	by := callerTrack()
	st, pin := s.lock()
	found := c.checkGuard(s, true, "the protection of its page", by)
	s.unlock(st, pin)
	c.guard.out.Add(-1)
	c.reportFound(found)
	if sys.Protect(guards.pageOf(s), guards.page) == nil {
		guards.release(s)
	} // else it is out of use: better than an object that looks protected
}

// guardedOut returns how many guarded objects are allocated or pending.
func (c *poison) guardedOut() int { return int(c.guard.out.Load()) }

func (c *poison) pending() bool { return c.guard.some.Load() }

// takePending takes the guarded objects that wait for a grace period, and
// reports whether there are any. reclaimMu is held.
func (c *poison) takePending() bool {
	q := &c.guard
	if !q.some.Load() {
		return false
	}
	q.mu.LockIRQ()
	q.waiting, q.pending = q.pending, q.waiting[:0]
	q.some.Store(false)
	q.mu.UnlockIRQ()
	return true
}

// gracePeriodEnded frees what takePending took. reclaimMu is held.
func (c *poison) gracePeriodEnded() {
	q := &c.guard
	c.stats.bulk.Add(uint64(len(q.waiting)))
	for _, s := range q.waiting {
		_, pin := s.lock()
		fill(s.p, uintptr(s.asked), byteQuarantine)
		s.unlock(stQuarantined, pin)
		c.guardClose(s)
	}
	clear(q.waiting)
	q.waiting = q.waiting[:0]
}

// describe returns what is known of a guarded object, for reports of bad frees.
// Its bytes may be inaccessible.
func (s *guardSlot) describe(p unsafe.Pointer) string {
	st, pin := s.lock()
	o := object{asked: s.asked, alloc: s.alloc, free: s.free}
	obj, c := s.p, s.owner.Load()
	s.unlock(st, pin)
	if obj == nil {
		return "\nThe address is in a guard page next to which there was no object yet.\n"
	}
	return o.history(st) + c.poison.located(p, obj, uintptr(o.asked), st) + guardedText
}
