package page

import (
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fuzztape"
	"quiesce/internal/testkit"
	"quiesce/preempt"
)

// fuzzed is the model of an allocator: the blocks handed out.
type fuzzed struct {
	t      *testing.T
	a      *Allocator
	blocks []fuzzBlock
	cached []fuzzBlock      // the reclaimer's to free
	pages  map[uintptr]bool // page addresses of both
	mark   byte
	away   bool // the next operations run on another P
}

type fuzzBlock struct {
	p     unsafe.Pointer
	order int
	b     byte
}

// Reclaim gives half of the cached blocks back.
func (m *fuzzed) Reclaim(int64) {
	for n := (len(m.cached) + 1) / 2; n > 0; n-- {
		b := m.cached[len(m.cached)-1]
		m.cached = m.cached[:len(m.cached)-1]
		m.free(b, m.a.Free)
	}
}

// do runs fn here, or at the same time as this goroutine spins, and so on
// another P.
func (m *fuzzed) do(fn func()) {
	if m.away {
		testkit.Elsewhere(fn)
	} else {
		fn()
	}
}

func (m *fuzzed) alloc(order int, f gfp.Flags, pinned bool) unsafe.Pointer {
	var p unsafe.Pointer
	m.do(func() {
		if pinned {
			pin := preempt.Disable()
			defer pin.Enable()
		}
		p = m.a.Alloc(order, f)
	})
	if p == nil {
		if m.a.limit == 0 && f.CanLock() && uint(order) <= MaxOrder {
			m.t.Fatalf("no limit, and no block of order %d", order)
		}
		return nil
	}
	size := uintptr(Size) << order
	if uint(order) > MaxOrder || (uintptr(p)-uintptr(m.a.core.Base))%size != 0 {
		m.t.Fatalf("order %d: %p is misaligned", order, p)
	}
	if f&gfp.Zero != 0 && !filled(p, order, 0) {
		m.t.Fatalf("order %d: not zero", order)
	}
	for off := uintptr(0); off < size; off += Size {
		if m.pages[uintptr(p)+off] {
			m.t.Fatalf("order %d: the page at %#x has an owner", order, uintptr(p)+off)
		}
		m.pages[uintptr(p)+off] = true
	}
	m.mark++
	fill(p, order, m.mark)
	m.blocks = append(m.blocks, fuzzBlock{p, order, m.mark})
	return p
}

func (m *fuzzed) free(b fuzzBlock, free func(unsafe.Pointer, int)) {
	if !filled(b.p, b.order, b.b) {
		m.t.Errorf("the content of the block of order %d at %p changed", b.order, b.p)
	}
	for off := uintptr(0); off < Size<<b.order; off += Size {
		delete(m.pages, uintptr(b.p)+off)
	}
	free(b.p, b.order)
}

// remove takes a block out of the model's list.
func (m *fuzzed) remove(i int) fuzzBlock {
	b := m.blocks[i]
	m.blocks[i] = m.blocks[len(m.blocks)-1]
	m.blocks = m.blocks[:len(m.blocks)-1]
	return b
}

var foreign [Size]byte

// misuse frees what must not be freed, which must panic and change nothing.
func (m *fuzzed) misuse(kind int) {
	p, order := unsafe.Pointer(&foreign), 0
	if len(m.blocks) > 0 {
		b := m.blocks[0]
		switch kind {
		case 1:
			p, order = b.p, b.order+1
		case 2:
			p, order = unsafe.Add(b.p, 16), b.order
		case 3:
			p, order = b.p, -1
		case 4:
			p, order = unsafe.Add(b.p, Size), b.order // the middle of a block, or a page that
			if m.pages[uintptr(p)] && b.order == 0 {  // may be another block's
				return
			}
		}
	}
	if kind == 5 {
		p = m.a.core.Base
	}
	testkit.Panics(m.t, func() { m.a.Free(p, order) }, "quiesce/page: allocator", "free of")
}

func (m *fuzzed) freeAll() {
	for len(m.blocks) > 0 {
		m.free(m.remove(0), m.a.Free)
	}
	for len(m.cached) > 0 {
		m.Reclaim(0)
	}
}

// check checks the figures against the model.
func (m *fuzzed) check() {
	s := statsAtRest(m.a)
	if s.Limit > 0 && (s.Peak > s.Limit || s.Resident > s.Peak) {
		m.t.Fatalf("above the limit: %+v", s)
	}
	if s.InUse != int64(len(m.pages))*Size || s.Resident != s.Metadata+Size+s.InUse+s.OnLists+s.Deferred+s.FreePopulated {
		m.t.Fatalf("%d pages in use, and %+v", len(m.pages), s)
	}
}

// available checks that unused memory can be allocated.
func (m *fuzzed) available() {
	m.a.Shrink()
	s := m.a.Stats()
	granule := int64(1) << m.a.granule
	if s.Limit == 0 || s.Limit-s.Metadata-Size-s.InUse >= (sectionMeta+2*Size)*granule {
		if m.alloc(0, gfp.Atomic|gfp.NoWarn, false) == nil {
			m.t.Fatalf("no page, and %+v", s)
		}
	}
}

const mostFuzzPages = 6000 // in use at a time

// FuzzPage runs operations of one goroutine, on changing Ps, on an allocator
// and on a model of it. A tape begins with limit and granule; the operations:
//
//	aOF  Alloc of order O with flags F       pO  pinned, gfp.NoLocks
//	fI   Free of block I                     PI  pinned
//	rI   give block I to a reclaimer         xK  a bad Free of kind K
//	s    Shrink      n  a page must be had   e   Free of everything
//	o    here and on another P by turns
func FuzzPage(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		testkit.Procs(t, 3)
		tp := fuzztape.New(b, 1024)
		c := Config{ReclaimTimeout: 200 * time.Microsecond, Reserve: 64 << 20}
		c.Limit = []int64{0, 128 << 10, 512 << 10, 1<<20 + 12345, 8 << 20}[tp.Arg(5)]
		a := newGranule(t, c, tp.Arg(3))
		m := &fuzzed{t: t, a: a, pages: map[uintptr]bool{}}
		a.AddReclaimer(m)
		flags := []gfp.Flags{gfp.NoWait, gfp.Atomic, gfp.Kernel, gfp.NoLocks, gfp.Kernel | gfp.Zero, gfp.Atomic | gfp.Zero, gfp.Atomic | gfp.NoLocks}
		for op := range tp.Ops("aapffPrxsneo") {
			switch op {
			case 'a':
				order := tp.Arg(MaxOrder+3) - 1
				fl := flags[tp.Arg(len(flags))] | gfp.NoWarn
				if order <= MaxOrder && len(m.pages)+1<<max(order, 0) <= mostFuzzPages {
					m.alloc(order, fl, false)
				}
			case 'p':
				m.alloc(tp.Arg(listOrders+1), gfp.NoLocks|gfp.NoWarn, true)
			case 'f', 'P':
				i := tp.Arg(len(m.blocks))
				if len(m.blocks) == 0 {
					continue
				}
				m.free(m.remove(i), func(p unsafe.Pointer, order int) {
					m.do(func() {
						if op == 'P' {
							pin := preempt.Disable()
							defer pin.Enable()
						}
						a.Free(p, order)
					})
				})
			case 'r':
				if i := tp.Arg(len(m.blocks)); len(m.blocks) > 0 {
					m.cached = append(m.cached, m.remove(i))
				}
			case 'x':
				m.misuse(tp.Arg(6))
			case 's':
				m.do(func() { a.Shrink() })
				checkZone(t, a)
			case 'n':
				m.available()
			case 'e':
				m.freeAll()
				checkEmpty(t, a)
			case 'o':
				m.away = !m.away
			}
			m.check()
		}
		a.RemoveReclaimer(m)
		m.freeAll()
		m.check() // the clean-up checks that all is back
	})
}
