package slab

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/race"
	"quiesce/page"
)

// Slabs. A slab is a block of pages of the cache's order. Its metadata is
// that of its first page (pages.Meta: Owner, InUse, Next, Prev, Chained), found
// by address arithmetic because blocks are aligned to their size. An object's
// allocation bit is bit number "offset in units" of one bitmap over the whole
// range: set from the moment the object leaves its slab for a sheaf until
// kfree_bulk brings it back. All of it is protected by cache.mu.
//
//	inuse == sum of InUse over the cache's slabs == bits set in them
//	empty holds exactly the slabs with InUse == 0, empties of them
//	partial holds exactly those with 0 < InUse < perSlab

type slabs struct {
	partial uint32 // first of its list, linked by Next and Prev
	empty   uint32 // first of its list
	empties int    // slabs on empty
	count   int    // slabs
	inuse   int    // objects out of their slabs
}

// geometry is how a cache cuts its slabs. Immutable.
type geometry struct {
	size     uintptr  // of an object, a multiple of unit
	order    int      // of a slab
	perSlab  uint32   // objects
	starts   []uint64 // by bitmap word of a slab: the bits where objects begin
	sheafCap uint32
}

// minSlab is the least size of a slab that holds small objects: 8 pages, the
// largest block that page keeps on per-P lists. Untuned.
const minSlab = 32 << 10

// cut chooses the slab order for objects of size bytes: the least order from
// minSlab on that wastes no more than an eighth, or else the one that wastes
// least.
func cut(size uintptr) geometry {
	g := geometry{size: size}
	lead, pitch := slotOf(size)
	best := uintptr(1) << 62
	for order := range page.MaxOrder + 1 {
		b := uintptr(page.Size) << order
		n := b / pitch
		if n == 0 || b < minSlab && order < page.MaxOrder {
			continue
		}
		waste := (b - n*pitch) << 10 / b // of 1024
		if waste < best {
			best, g.order, g.perSlab = waste, order, uint32(n)
		}
		if waste <= 128 {
			break
		}
	}
	g.starts = make([]uint64, (page.Size<<g.order)/unit/64)
	for i := range uintptr(g.perSlab) {
		u := (i*pitch + lead) / unit
		g.starts[u/64] |= 1 << (u % 64)
	}
	g.sheafCap = uint32(min(max(cacheBytes/size, 1), sheafMax))
	return g
}

func (c *cache) head(off uint32) uint32 {
	return off >> (page.Shift - unitShift) &^ (1<<c.order - 1)
}

// word returns the word of a bitmap that holds the bit of unit off.
func word(bitmap unsafe.Pointer, off uint32) *uint64 {
	return (*uint64)(unsafe.Add(bitmap, uintptr(off>>6)*8))
}

// words returns the part of a bitmap that belongs to the slab.
func (c *cache) words(bitmap unsafe.Pointer, head uint32) []uint64 {
	return unsafe.Slice(word(bitmap, head<<(page.Shift-unitShift)), len(c.starts))
}

// take moves objects out of slabs into dst, partly used slabs first, so that
// empty ones can become pages. mu is held.
func (c *cache) take(dst []uint32) int {
	n := 0
	for n < len(dst) {
		head := c.slabs.partial
		if head == 0 {
			head = c.slabs.empty
		}
		if head == 0 {
			break
		}
		m := c.core.Meta(head)
		c.unlink(head, m)
		had := n
		for i, w := range c.words(c.allocBits, head) {
			free := c.starts[i] &^ w
			for free != 0 && n < len(dst) {
				b := bits.TrailingZeros64(free)
				free &= free - 1
				w |= 1 << b
				dst[n] = head<<(page.Shift-unitShift) + uint32(i*64+b)
				n++
			}
			c.words(c.allocBits, head)[i] = w
			if n == len(dst) {
				break
			}
		}
		m.InUse += uint32(n - had)
		c.slabs.inuse += n - had
		c.link(head, m)
	}
	return n
}

// addSlab makes a slab of a block of pages. mu is held.
func (c *cache) addSlab(p unsafe.Pointer) {
	race.SlabMade(p)
	head := c.core.PageOf(p)
	for i := range uint32(1) << c.order {
		m := c.core.Meta(head + i)
		m.Owner, m.InUse, m.Next, m.Prev = c.id, 0, 0, 0
		atomic.StoreUint32(&m.Chained, 0) // ord:chain-slab
	}
	c.link(head, c.core.Meta(head))
	c.slabs.count++
	if poisonOn {
		c.poisonSlab(head)
	}
}

// allocated reports whether an offset is that of an object of this cache that
// is out of its slab. mu is held.
func (c *cache) allocated(off uint32) bool {
	head := c.head(off)
	return head < c.core.Opened() && c.core.Meta(head).Owner == c.id &&
		*word(c.allocBits, off)&(1<<(off&63)) != 0
}

// bulkFree is kfree_bulk: the objects go back to their slabs. mu is held. It
// returns the first offset that is no allocated object of this cache.
func (c *cache) bulkFree(offs []uint32) (bad uint32, ok bool) {
	opened := c.core.Opened()
	for _, off := range offs {
		// As in allocated, with the loads shared: this loop is what a cold
		// flood waits for.
		head := c.head(off)
		if head >= opened {
			return off, false
		}
		m := c.core.Meta(head)
		w, bit := word(c.allocBits, off), uint64(1)<<(off&63)
		if m.Owner != c.id || *w&bit == 0 {
			return off, false
		}
		*w &^= bit
		c.slabs.inuse--
		if m.InUse == c.perSlab || m.InUse == 1 { // it changes lists
			c.unlink(head, m)
			m.InUse--
			c.link(head, m)
			c.shedSlab(head, m)
		} else {
			m.InUse--
		}
	}
	return 0, true
}

// shedSlab gives a slab's pages back if it is empty, enough others are, and it
// is not on the fallback chain. mu is held.
func (c *cache) shedSlab(head uint32, m *pages.Meta) {
	if m.InUse == 0 && c.slabs.empties > c.keepEmpty && atomic.LoadUint32(&m.Chained) == 0 { // ord:chain-slab
		c.dropSlab(head, m)
	}
}

// dropSlab gives an empty slab's pages back. mu is held; page.Free takes no
// lock.
func (c *cache) dropSlab(head uint32, m *pages.Meta) {
	if poisonOn {
		c.poisonDrop(head)
	}
	c.unlink(head, m)
	c.slabs.count--
	c.raceDropSlab(head)
	for i := range uint32(1) << c.order {
		c.core.Meta(head + i).Owner = 0
	}
	c.pages.Free(c.pointer(head<<(page.Shift-unitShift)), c.order)
}

// dropEmpty gives back every empty slab. mu is held.
func (c *cache) dropEmpty() {
	for head := c.slabs.empty; head != 0; {
		m := c.core.Meta(head)
		next := m.Next
		if atomic.LoadUint32(&m.Chained) == 0 { // ord:chain-slab
			c.dropSlab(head, m)
		}
		head = next
	}
}

// list is the list that a slab belongs on; nil: none, it is full.
func (c *cache) list(m *pages.Meta) *uint32 {
	switch m.InUse {
	case 0:
		return &c.slabs.empty
	case c.perSlab:
		return nil
	}
	return &c.slabs.partial
}

// link puts a slab on its list.
func (c *cache) link(head uint32, m *pages.Meta) {
	l := c.list(m)
	if l == nil {
		return
	}
	if l == &c.slabs.empty {
		c.slabs.empties++
	}
	m.Prev, m.Next = 0, *l
	if m.Next != 0 {
		c.core.Meta(m.Next).Prev = head
	}
	*l = head
}

// unlink takes a slab off its list, before InUse changes.
func (c *cache) unlink(head uint32, m *pages.Meta) {
	l := c.list(m)
	if l == nil {
		return
	}
	if l == &c.slabs.empty {
		c.slabs.empties--
	}
	if m.Prev != 0 {
		c.core.Meta(m.Prev).Next = m.Next
	} else {
		*l = m.Next
	}
	if m.Next != 0 {
		c.core.Meta(m.Next).Prev = m.Prev
	}
	m.Next, m.Prev = 0, 0
}

// flush returns a sheaf's objects to their slabs, counts them, and leaves the
// sheaf to the depot, empty. It is the caller's, who is unpinned and holds no
// lock.
//
//go:norace
func (c *cache) flush(n num, count *atomic.Uint64) {
	s := c.sheaf(n)
	c.flushObjects(s.objects(), count)
	s.n = 0
	c.empty.push(c, n)
}

// flushObjects is kfree_bulk with the misuse that it finds turned into a panic.
func (c *cache) flushObjects(offs []uint32, count *atomic.Uint64) {
	c.mu.LockIRQ()
	bad, ok := c.bulkFree(offs)
	c.mu.UnlockIRQ()
	if !ok {
		panic(c.misuse(bad))
	}
	count.Add(uint64(len(offs))) // ord:stat
}

// misuse explains a freed address that is no allocated object.
func (c *cache) misuse(off uint32) string {
	what := "double free"
	if head := c.head(off); head >= c.core.Opened() || c.core.Meta(head).Owner != c.id {
		what = "foreign free"
	} else if u := off - head<<(page.Shift-unitShift); c.starts[u/64]&(1<<(u%64)) == 0 {
		what = "free of a pointer into an object"
	}
	return fmt.Sprintf("quiesce: slab: %s of %p in cache %s", what, c.pointer(off), c.name)
}

// refill serves an allocation that found no object cached, unpinned. It may
// take locks, and waits if the flags allow it.
func (c *cache) refill(f gfp.Flags) unsafe.Pointer {
	if f.CanSleep() {
		f = c.checkMaySleep(f)
	}
	var w waiter
	for {
		if p := c.tryRefill(f); p != nil {
			return p
		}
		if !f.CanSleep() || !w.wait(c) {
			c.failed(f)
			return nil
		}
	}
}

// tryRefill fills a sheaf from the slabs, at most one of them new.
func (c *cache) tryRefill(f gfp.Flags) unsafe.Pointer {
	pf := f&gfp.Atomic | gfp.NoWarn // waiting and warning are refill's
	e := c.empty.pop(c)
	if e == 0 {
		e = c.newSheaf(c.pages.Alloc(0, pf|pages.Unseen))
	}
	var one [1]uint32
	dst := one[:]
	if e != 0 {
		dst = c.sheaf(e).obj[:c.sheafCap]
		if race.Enabled {
			dst = make([]uint32, c.sheafCap)
		}
	}
	c.mu.LockIRQ()
	n := c.take(dst)
	c.mu.UnlockIRQ()
	if n == 0 {
		if p := c.pages.Alloc(c.order, pf); p != nil {
			c.mu.LockIRQ()
			c.addSlab(p)
			n = c.take(dst)
			c.mu.UnlockIRQ()
		}
	}
	if e == 0 {
		if n == 0 {
			return c.fromDepot()
		}
		return c.pointer(one[0])
	}
	// Pops go from the end: turn the order round, so that addresses rise.
	for i, j := 0, n-1; i < j; i, j = i+1, j-1 {
		dst[i], dst[j] = dst[j], dst[i]
	}
	c.sheaf(e).fill(dst, n)
	if n == 0 {
		c.empty.push(c, e)
		return c.fromDepot()
	}
	return c.useSheaf(e)
}

// useSheaf allocates from a filled sheaf of the caller's and leaves it where
// the next allocations find it.
//
//go:norace
func (c *cache) useSheaf(e num) unsafe.Pointer {
	race.Disable()
	s := c.enter()
	c.admit(s)
	if c.sheaf(s.main).n == 0 { // ord:slot-busy
		off := c.install(s, e)
		s.leave()
		race.Enable()
		return c.pointer(off)
	}
	s.leave()
	m := c.sheaf(e)
	m.n--
	off := m.obj[m.n]
	if m.n == 0 {
		c.empty.push(c, e)
	} else {
		c.full.push(c, e)
	}
	race.Enable()
	return c.pointer(off)
}

// fromDepot is a last look for a sheaf that came in meanwhile.
func (c *cache) fromDepot() unsafe.Pointer {
	if e := c.full.pop(c); e != 0 {
		return c.useSheaf(e)
	}
	return nil
}
