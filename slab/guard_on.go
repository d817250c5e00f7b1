//go:build !poison && !asan && !race

package slab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"quiesce/internal/fault"
	"quiesce/internal/pages"
	"quiesce/internal/sys"
	"quiesce/page"
)

// The pool of guard pages: guard.go has the argument.

// samples is the pool; nil: there was no SampleGuards. It is made once.
var samples atomic.Pointer[samplePool]

// sampling protects the making of the pool and of the hook. Nothing is locked under it.
var sampling sync.Mutex

type samplePool struct {
	mem    unsafe.Pointer // immutable, as all up to least: what is reserved
	base   uintptr        // page of cell 0; every second page is a cell's
	page   uintptr        // bytes of a page, of the system's or more
	cells  []sampleCell
	least  int          // cells at rest that are kept
	every  atomic.Int64 // 0: none
	left   atomic.Int64 // allocations to the next sample
	hooked atomic.Bool  // faults are reported

	mu   sync.Mutex // a leaf, for tasks
	ring []uint32   // cells at rest, the oldest first; protected by mu, as are the next two
	head int
	n    int

	freed   atomic.Uint32 // stack of cells that wait to be protected: 1 + the first's number
	closing atomic.Bool   // a goroutine protects them, or was started to

	sampled, noCell, noMemory atomic.Uint64
}

// sampleCell is what is known of a page. The state's lock protects what comes before
// next, but for reads by the page's owner.
type sampleCell struct {
	lockedState
	byRCU bool
	p     unsafe.Pointer // the object; nil until first used
	size  uintptr        // of the object
	owner *cache
	alloc happened
	free  happened

	next uint32 // on a stack of cells: 1 + the number, 0 at its end; the owner's
}

// The states of a cell.
const (
	_ uint32 = iota // at rest, and never used
	sampleAllocated
	sampleRetired // given to FreeRCU
	sampleFreed   // and maybe at rest
)

// happened records who did something to an object.
type happened struct {
	g   uint64 // number of the goroutine
	n   int
	pcs [24]uintptr // n of them
}

// rightNow records the caller of the package.
func rightNow() (h happened) {
	h.g = sys.Goid()
	h.n = runtime.Callers(3, h.pcs[:])
	return h
}

func (h *happened) stack() string { return renderStack(h.pcs[:h.n]) }

func sampleGuards(cfg GuardConfig) error {
	sampling.Lock()
	defer sampling.Unlock()
	g := samples.Load() // ord:publish
	if g == nil {
		if cfg.Every == 0 && cfg.Slots == 0 {
			return nil
		}
		if cfg.Slots == 0 {
			cfg.Slots = guardSlotsDefault
		}
		var err error
		if g, err = newSamplePool(cfg.Slots); err != nil {
			return fmt.Errorf("slab: SampleGuards: %w", err)
		}
		samples.Store(g) // ord:publish
	}
	if cfg.Slots != 0 && cfg.Slots != len(g.cells) {
		return fmt.Errorf("slab: SampleGuards: there are %d slots, for good", len(g.cells))
	}
	g.left.Store(0)                 // ord:hint
	g.every.Store(int64(cfg.Every)) // ord:hint
	return nil
}

func newSamplePool(n int) (*samplePool, error) {
	if !sys.CanProtect {
		return nil, errors.ErrUnsupported
	}
	sys.FindGoid()
	pg := max(page.Size, uintptr(os.Getpagesize()))
	size := uintptr(2*n+1) * pg
	mem, err := sys.Reserve(size)
	if err != nil {
		return nil, err
	}
	pages.AddRange(mem, size)
	g := &samplePool{mem: mem, base: uintptr(mem) + pg, page: pg, least: n / 4, n: n}
	g.cells, g.ring = make([]sampleCell, n), make([]uint32, n)
	for i := range g.ring {
		g.ring[i] = uint32(i)
	}
	faultRange.base, faultRange.page, faultRange.info = g.base, pg, make([]faultInfo, n)
	return g, nil
}

func (g *samplePool) pageOf(i uint32) unsafe.Pointer {
	return unsafe.Add(g.mem, uintptr(2*i+1)*g.page)
}

// cellOf returns the cell whose page, or the one after it, p points into.
func (g *samplePool) cellOf(p unsafe.Pointer) (i uint32, ok bool) {
	if g == nil {
		return 0, false
	}
	i = uint32((uintptr(p) - g.base) / (2 * g.page))
	return i, uintptr(p)-g.base < uintptr(len(g.cells))*2*g.page
}

// due reports whether it is time for a sample.
func (g *samplePool) due() bool {
	every := g.every.Load() // ord:hint
	if every <= 1 {
		return every == 1
	}
	if g.left.Add(-1) > 0 { // ord:hint
		return false
	}
	g.left.Store(1 + rand.Int64N(2*every-1)) // ord:hint
	return true
}

// take takes the cell that was at rest longest.
//
// Context: task; not pinned.
func (g *samplePool) take() (i uint32, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n <= g.least {
		return 0, false
	}
	i = g.ring[g.head]
	g.head = (g.head + 1) % len(g.ring)
	g.n--
	return i, true
}

// putBack undoes a take, or puts a cell to rest that was used.
func (g *samplePool) putBack(i uint32, used bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.head + g.n
	if !used {
		g.head = (g.head + len(g.ring) - 1) % len(g.ring)
		at = g.head
	}
	g.ring[at%len(g.ring)] = i
	g.n++
}

// open takes a cell for a cache's object, and makes its page accessible.
//
// Context: task; not pinned.
func (g *samplePool) open(c *cache) (i uint32, ok bool) {
	if i, ok = g.take(); !ok {
		g.noCell.Add(1) // ord:stat
		return 0, false
	}
	if ok = c.core.Charge(int64(g.page)); ok {
		if ok = sys.Open(g.pageOf(i), g.page) == nil; !ok { // too many mappings
			c.core.Uncharge(int64(g.page))
		}
	}
	if !ok {
		g.noMemory.Add(1) // ord:stat
		g.putBack(i, false)
		return 0, false
	}
	return i, true
}

// protect ends the life of a freed object, whose page the caller owns.
//
// Context: task; not pinned.
func (g *samplePool) protect(i uint32) {
	s, f := &g.cells[i], &faultRange.info[i]
	if g.hooked.Load() { // ord:hint
		text := s.free.stack()
		f.freeText.Store(&text) // ord:fault-info
	}
	f.freeG.Store(s.free.g) // ord:fault-info
	how := uint32(1)
	if s.byRCU {
		how = 2
	}
	f.how.Store(how) // ord:fault-info
	at := g.pageOf(i)
	closed := sys.Protect(at, g.page) == nil
	_ = sys.Discard(at, g.page) // with mlockall and before Linux 5.18 the memory stays
	s.owner.core.Uncharge(int64(g.page))
	if closed {
		g.putBack(i, true)
	} // else it is out of use: better than an object that looks protected
}

// protectLater has a goroutine protect a page of the caller's. The cache waits for it
// when it is closed.
//
// Context: any.
func (g *samplePool) protectLater(i uint32) {
	s := &g.cells[i]
	s.owner.hold()
	for {
		h := g.freed.Load() // ord:wake-guards
		s.next = h
		if g.freed.CompareAndSwap(h, i+1) { // ord:wake-guards
			break
		}
	}
	fault.Delay("wake-guards")
	if claim(&g.closing) { // ord:wake-guards
		sys.Go(g.protectFreed)
	}
}

// protectFreed is the goroutine that protects the pages of objects that were freed in
// raw atomic contexts.
func (g *samplePool) protectFreed() {
	for {
		for h := g.freed.Swap(0); h != 0; { // ord:wake-guards
			i := h - 1
			c := g.cells[i].owner
			h = g.cells[i].next
			g.protect(i)
			c.release()
		}
		g.closing.Store(false) // ord:wake-guards
		fault.Delay("wake-guards")
		if g.freed.Load() == 0 || !claim(&g.closing) { // ord:wake-guards
			return
		}
	}
}

func readGuardStats() GuardStats {
	g := samples.Load() // ord:publish
	if g == nil {
		return GuardStats{}
	}
	g.mu.Lock()
	live := len(g.cells) - g.n
	g.mu.Unlock()
	return GuardStats{
		Every: int(g.every.Load()), Slots: len(g.cells), Live: live, Bytes: int64(live) * int64(g.page), // ord:stat
		Sampled: g.sampled.Load(), NoSlot: g.noCell.Load(), NoMemory: g.noMemory.Load(), // ord:stat
	}
}
