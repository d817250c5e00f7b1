//go:build !poison && !asan && !race

package slab

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/sys"
	"quiesce/preempt"
	"quiesce/rcu"
)

// A sampled object, from its allocation to its free: guard.go has the argument.

// sampled is what a cache has for SampleGuards.
type sampled struct {
	never    bool          // immutable: the objects' users keep offsets, or they are too large
	out      atomic.Int32  // objects that are allocated or retired
	deferred atomic.Int32  // of them, those that are retired
	retired  atomic.Uint32 // stack of the cells of retired objects
	waiting  uint32        // cells that were on it, linked; protected by reclaimMu, as is cookie
	cookie   rcu.Cookie    // of waiting
	waits    atomic.Bool   // waiting is not empty; changes under reclaimMu
}

// sampleMade is called for a new cache. never: its objects' users keep offsets.
func (c *cache) sampleMade(never bool) { c.sample.never = never }

// sampledOwner returns the cache of an address in a guard page, or nil.
func sampledOwner(p unsafe.Pointer) *cache {
	g := samples.Load() // ord:publish
	i, ok := g.cellOf(p)
	if !ok {
		return nil
	}
	s := &g.cells[i]
	st, pin := s.lock()
	defer s.unlock(st, pin)
	return s.owner
}

// sampleAlloc returns a guarded object if it is time for one, and otherwise nil.
//
// Context: as the flags say.
func (c *cache) sampleAlloc(f gfp.Flags) unsafe.Pointer {
	g := samples.Load()                                                                                                     // ord:publish
	if g == nil || c.sample.never || c.exact > g.page || !f.CanSleep() || !g.due() || preempt.Atomic() || c.closed.Load() { // ord:closed
		return nil
	}
	i, ok := g.open(c)
	if !ok {
		return nil
	}
	s, at := &g.cells[i], g.pageOf(i)
	by := rightNow()
	p := at
	if g.sampled.Add(1)%2 != 0 { // a multiple of unit before the page's end; ord:stat
		p = unsafe.Add(at, g.page-(c.exact+unit-1)&^(unit-1))
	}
	c.fillAround(g, at, p)
	info := &faultRange.info[i]
	info.name.Store(&c.name)             // ord:fault-info
	info.begin.Store(uint64(uintptr(p))) // ord:fault-info
	info.size.Store(uint64(c.exact))     // ord:fault-info
	info.allocG.Store(by.g)              // ord:fault-info
	info.allocText.Store(nil)            // ord:fault-info
	info.freeText.Store(nil)             // ord:fault-info
	info.how.Store(0)                    // ord:fault-info
	if g.hooked.Load() {                 // ord:hint
		text := by.stack()
		info.allocText.Store(&text) // ord:fault-info
	}
	_, pin := s.lock()
	s.p, s.size, s.owner, s.byRCU, s.alloc, s.free.n, s.free.g = p, c.exact, c, false, by, 0, 0
	s.unlock(sampleAllocated, pin)
	c.sample.out.Add(1) // ord:stat
	return p
}

// marginsOf returns the bytes of a page before and after an object.
func (c *cache) marginsOf(g *samplePool, at, p unsafe.Pointer) (lead, tail uintptr) {
	lead = uintptr(p) - uintptr(at)
	return lead, g.page - lead - c.exact
}

func (c *cache) fillAround(g *samplePool, at, p unsafe.Pointer) {
	lead, tail := c.marginsOf(g, at, p)
	fill(at, lead, byteZone)
	fill(unsafe.Add(p, c.exact), tail, byteZone)
}

// sampleFree frees p if it is in a guard page. If it is no allocated object of this
// cache it reports that and panics.
//
// Context: any.
func (c *cache) sampleFree(p unsafe.Pointer, op string) bool {
	g := samples.Load() // ord:publish
	i, ok := g.cellOf(p)
	if !ok {
		return false
	}
	c.mustBeOpen()
	by := rightNow()
	retire := op == "FreeRCU"
	s := &g.cells[i]
	st, pin := s.lock()
	if st != sampleAllocated || s.p != p || s.owner != c {
		known, start := s.p != nil && s.owner == c, s.p == p
		s.unlock(st, pin)
		what, text := guardMisuse(known, start)
		writeReport(headline(what, userOf(by.pcs[:by.n])) +
			eventText(fmt.Sprintf("%s of addr %#x", op, uintptr(p)), by.g, by.stack()) + g.describe(i, uintptr(p)))
		if uintptr(p)%unit != 0 {
			panic(c.misaligned(p, op))
		}
		panic(fmt.Sprintf("quiesce/slab: "+text, p, c.name))
	}
	s.free, s.byRCU = by, retire
	to := sampleFreed
	if retire {
		to = sampleRetired
	}
	s.unlock(to, pin) // the page is the caller's from here on
	c.checkAround(g, i, op, &by)
	switch {
	case retire:
		c.retireSample(g, i)
	case preempt.Atomic():
		c.sample.out.Add(-1) // ord:stat
		g.protectLater(i)
	default:
		c.sample.out.Add(-1) // ord:stat
		g.protect(i)
	}
	return true
}

// retireSample has an object freed after a grace period.
func (c *cache) retireSample(g *samplePool, i uint32) {
	q, s := &c.sample, &g.cells[i]
	q.deferred.Add(1)            // ord:stat
	c.first.counts.arrays.Add(1) // ord:stat
	for {
		h := q.retired.Load() // ord:stack
		s.next = h
		fault.Delay("stack")
		if q.retired.CompareAndSwap(h, i+1) { // ord:stack
			break
		}
	}
	c.reclaimSoon()
}

// samplesWait reports whether there are objects to free after a grace period.
func (c *cache) samplesWait() bool {
	return c.sample.retired.Load() != 0 || c.sample.waits.Load() // ord:wake-reclaim
}

// collectSamplesLocked takes the retired objects, and returns the cookie that all that
// were taken wait for, or 0 if there are none. reclaimMu is held.
func (c *cache) collectSamplesLocked() rcu.Cookie {
	q := &c.sample
	if first := q.retired.Swap(0); first != 0 { // ord:stack
		g := samples.Load() // ord:publish
		last := first
		for g.cells[last-1].next != 0 {
			last = g.cells[last-1].next
		}
		g.cells[last-1].next, q.waiting = q.waiting, first
		q.waits.Store(true) // ord:wake-reclaim
		fault.Delay("cookie")
		q.cookie = rcu.GetState() // after all were taken; ord:cookie
	}
	if q.waiting == 0 {
		return 0
	}
	return q.cookie
}

// freeSamplesLocked frees what collectSamplesLocked took, if its grace period is over.
// reclaimMu is held.
func (c *cache) freeSamplesLocked() {
	q := &c.sample
	if q.waiting == 0 || !rcu.Poll(q.cookie) {
		return
	}
	g := samples.Load() // ord:publish
	for h := q.waiting; h != 0; {
		i := h - 1
		s := &g.cells[i]
		h = s.next
		by := rightNow()
		c.checkAround(g, i, "the end of its grace period", &by)
		_, pin := s.lock()
		s.unlock(sampleFreed, pin)
		q.deferred.Add(-1)  // ord:stat
		q.out.Add(-1)       // ord:stat
		c.stats.bulk.Add(1) // ord:stat
		g.protect(i)
	}
	q.waiting = 0
	q.waits.Store(false) // ord:wake-reclaim
}

// samplesOut returns how many objects are allocated or retired, how many of them are
// retired, and the memory that they have.
func (c *cache) samplesOut() (out, deferred int, bytes int64) {
	out, deferred = int(max(c.sample.out.Load(), 0)), int(max(c.sample.deferred.Load(), 0)) // ord:stat
	if out > 0 {
		bytes = int64(out) * int64(samples.Load().page) // ord:publish
	}
	return out, min(out, deferred), bytes
}

// firstSample finds an allocated object's address. The cache is closed.
func (c *cache) firstSample() (p unsafe.Pointer) {
	g := samples.Load() // ord:publish
	if g == nil {
		return nil
	}
	for i := range g.cells {
		s := &g.cells[i]
		st, pin := s.lock()
		if st == sampleAllocated && s.owner == c {
			p = s.p
		}
		s.unlock(st, pin)
		if p != nil {
			break
		}
	}
	return p
}

// checkAround reports bytes around an object that were changed, and restores them. The
// caller owns the page.
func (c *cache) checkAround(g *samplePool, i uint32, op string, by *happened) {
	s, at := &g.cells[i], g.pageOf(i)
	lead, tail := c.marginsOf(g, at, s.p)
	c.checkPart(g, i, at, lead, op, by)
	c.checkPart(g, i, unsafe.Add(s.p, c.exact), tail, op, by)
}

func (c *cache) checkPart(g *samplePool, i uint32, lo unsafe.Pointer, n uintptr, op string, by *happened) {
	first, last := differs(lo, n, byteZone)
	if first < 0 {
		return
	}
	at := unsafe.Add(lo, first)
	fill(at, uintptr(last-first+1), byteZone)
	writeReport(headline("slab-out-of-bounds, found", userOf(by.pcs[:by.n])) +
		eventText(fmt.Sprintf("Write of size %d at addr %#x (its end is the last byte changed), found at %s", last-first+1, uintptr(at), op), by.g, by.stack()) +
		g.describe(i, uintptr(at)))
}

// describe returns what is known of a cell's object, and where addr is.
func (g *samplePool) describe(i uint32, addr uintptr) string {
	s := &g.cells[i]
	st, pin := s.lock()
	p, size, c, alloc, free, byRCU := s.p, s.size, s.owner, s.alloc, s.free, s.byRCU
	s.unlock(st, pin)
	if p == nil {
		return "\nThe address is in a guard page next to which there was no object yet.\n"
	}
	text, state := "\n"+eventText("Allocated", alloc.g, alloc.stack()), "allocated"
	if st != sampleAllocated {
		state = "freed"
		what := "Freed"
		switch {
		case st == sampleRetired:
			what = pendingText
		case byRCU:
			what = reclaimedText
		}
		text += "\n" + eventText(what, free.g, free.stack())
	}
	return text + locatedText(addr, uintptr(p), size, state, c.name) + guardedText
}

// describeAt is describe for the object that is nearest to addr, or "".
func describeAt(addr uintptr) (text string, within bool) {
	g := samples.Load() // ord:publish
	if g == nil || addr-uintptr(g.mem) >= uintptr(2*len(g.cells)+1)*g.page {
		return "", false
	}
	i := uint32(nearestGuarded(addr))
	s := &g.cells[i]
	st, pin := s.lock()
	within = addr-uintptr(s.p) < s.size
	s.unlock(st, pin)
	return g.describe(i, addr), within
}

func describeGuarded(p unsafe.Pointer) string {
	text, _ := describeAt(uintptr(p))
	return text
}

// faultText is the report of an access that faulted, with its stack.
func faultText(addr uintptr, access []uintptr) string {
	text, within := describeAt(addr)
	if text == "" {
		return ""
	}
	what := "slab-out-of-bounds"
	if within {
		what = "slab-use-after-free"
	}
	return headline(what, userOf(access)) + eventText(fmt.Sprintf("Access at addr %#x", addr), sys.Goid(), renderStack(access)) + text
}

func reportFaults() error {
	sampling.Lock()
	defer sampling.Unlock()
	g := samples.Load() // ord:publish
	switch {
	case g == nil:
		return fmt.Errorf("slab: ReportFaults: there is no sample: call SampleGuards before")
	case g.hooked.Load(): // ord:hint
		return nil
	}
	if err := sys.OnFault(g.mem, uintptr(2*len(g.cells)+1)*g.page, guardFault); err != nil {
		return fmt.Errorf("slab: ReportFaults: %w", err)
	}
	g.hooked.Store(true) // ord:hint
	return nil
}
