package slab

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fuzztape"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
)

// fuzzedHeap is the model of a Heap: blocks of bytes that differ from their
// neighbours' in every byte checked.
type fuzzedHeap struct {
	t    *testing.T
	h    *Heap
	live []fuzzBlock
	away bool
	mark byte
	used int

	guard rcu.Guard
	held  bool
	limbo []fuzzBlock // freed by RCU under the guard
}

type fuzzBlock struct {
	p    unsafe.Pointer
	size int
	mark byte
}

// each calls fn for the bytes checked: the first and last 16, and some
// between.
func (b fuzzBlock) each(fn func(*byte)) {
	for i := 0; i < b.size; i++ {
		if i >= 16 && i < b.size-16 {
			i = min(i+b.size/16, b.size-16)
		}
		fn((*byte)(unsafe.Add(b.p, i)))
	}
}

func (b fuzzBlock) intact() bool {
	ok := true
	b.each(func(p *byte) { ok = ok && *p == b.mark })
	return ok
}

func (m *fuzzedHeap) do(fn func()) {
	if m.away {
		testkit.Elsewhere(fn)
	} else {
		fn()
	}
}

// overlaps checks a new block against all others.
func (m *fuzzedHeap) overlaps(b fuzzBlock) {
	for _, all := range [][]fuzzBlock{m.live, m.limbo} {
		for _, o := range all {
			if uintptr(b.p) < uintptr(o.p)+uintptr(o.size) && uintptr(o.p) < uintptr(b.p)+uintptr(b.size) {
				m.t.Fatalf("%d bytes at %p were handed out, and %d at %p are in use", b.size, b.p, o.size, o.p)
			}
		}
	}
}

func (m *fuzzedHeap) alloc(size int, f gfp.Flags) {
	if m.used+size > 16<<20 || len(m.live) > 2000 {
		return
	}
	var p unsafe.Pointer
	m.do(func() { p = m.h.Kmalloc(size, f|gfp.NoWarn) })
	if size < 1 || size > maxSize {
		if p != nil {
			m.t.Fatalf("Kmalloc of %d bytes returned %p", size, p)
		}
		return
	}
	if p == nil {
		if m.h.pages.Stats().Limit == 0 && f.CanLock() {
			m.t.Fatalf("no limit, and no %d bytes", size)
		}
		return
	}
	m.mark = m.mark%255 + 1
	b := fuzzBlock{p, size, m.mark}
	if uintptr(p)%16 != 0 {
		m.t.Fatalf("%d bytes at %p: misaligned", size, p)
	}
	m.overlaps(b)
	if f&gfp.Zero != 0 && !(fuzzBlock{p, size, 0}).intact() {
		m.t.Fatalf("%d bytes at %p: not zero", size, p)
	}
	b.each(func(p *byte) { *p = b.mark })
	m.live = append(m.live, b)
	m.used += size
}

func (m *fuzzedHeap) lost(i int) fuzzBlock {
	b := m.live[i]
	m.live[i] = m.live[len(m.live)-1]
	m.live = m.live[:len(m.live)-1]
	m.used -= b.size
	if !b.intact() {
		m.t.Fatalf("%d bytes at %p were overwritten", b.size, b.p)
	}
	return b
}

func (m *fuzzedHeap) freeBulk(n int) {
	ps := []unsafe.Pointer{nil}
	for ; n > 0 && len(m.live) > 0; n-- {
		ps = append(ps, m.lost(n%len(m.live)).p)
	}
	m.do(func() { m.h.KfreeBulk(ps) })
}

func (m *fuzzedHeap) freeRCU(i, how int) {
	b := m.lost(i)
	if m.held {
		m.limbo = append(m.limbo, b)
	}
	m.do(func() {
		switch how {
		case 0:
			m.h.KfreeRCU(b.p)
		case 1:
			m.h.KfreeRCUSized(b.p, b.size)
		case 2:
			preempt.Hardirq(func() { m.h.KfreeRCU(b.p) })
		case 3:
			pin := preempt.Disable()
			m.h.KfreeRCUSized(b.p, b.size)
			pin.Enable()
		}
	})
}

func (m *fuzzedHeap) unlock() {
	for _, b := range m.limbo {
		if !b.intact() {
			m.t.Fatalf("%d bytes at %p were overwritten under a guard", b.size, b.p)
		}
	}
	m.limbo = nil
	m.held = false
	m.do(m.guard.Unlock)
}

// unreported keeps the reports of what is wrong on purpose out of the output
// until restore is called.
func unreported() (restore func()) { return SetReporter(func(string) {}) }

// misuse frees what no Kmalloc returned, which must panic at once.
func (m *fuzzedHeap) misuse(kind int) {
	defer unreported()()
	p := unsafe.Pointer(m) // Go's heap
	switch kind {
	case 1:
		p = m.h.core.Base // page 0
	case 2:
		p = unsafe.Add(m.h.core.Base, m.h.core.Size-page.Size) // never handed out
	}
	testkit.Panics(m.t, func() { m.h.Kfree(p) }, "quiesce/slab: Kfree of foreign pointer")
	testkit.Panics(m.t, func() { m.h.KfreeRCU(p) }, "quiesce/slab: KfreeRCU of foreign pointer")
}

// classes checks that the figures have the class of every live block.
func (m *fuzzedHeap) classes() {
	out := map[int]int{}
	for _, s := range m.h.Stats() {
		out[s.ObjectSize] = s.Out
	}
	live := map[int]int{}
	for _, b := range m.live {
		live[int(classSize(class(uintptr(b.size))))]++
	}
	for size, n := range live {
		if out[size] < n {
			m.t.Fatalf("%d objects of %d bytes are live, and %d out of their slabs", n, size, out[size])
		}
	}
}

// FuzzKmalloc runs operations of one goroutine, on changing Ps, on a Heap and
// on a model of it. A tape begins with the limit; the operations:
//
//	aSF  Kmalloc of one of the sizes   kXYF Kmalloc of a made-up size
//	fI   Kfree of block I              FN   KfreeBulk of N, mixed
//	rIH  KfreeRCU or KfreeRCUSized, in context H
//	g    ReadLock   u  Unlock          b Barrier   s Shrink
//	xK   a bad free of kind K          o here and on another P by turns
func FuzzKmalloc(f *testing.F) {
	notSampled(f) // close frees to a Heap that is closed, which finds no such object
	sizes := []int{1, 8, 16, 17, 64, 128, 129, 160, 161, 1000, 4096, 4097, 5120, 32768, 100_000, 1 << 20, 2 << 20, 2<<20 + 1, 0, -1}
	flags := []gfp.Flags{gfp.NoWait, gfp.Atomic, gfp.NoLocks, gfp.Kernel | gfp.Zero, gfp.NoLocks | gfp.Zero}
	f.Fuzz(func(t *testing.T, b []byte) {
		testkit.Procs(t, 3)
		tp := fuzztape.New(b, 512)
		limit := []int64{0, 1 << 20, 8 << 20}[tp.Arg(3)]
		a := fuzzPages(t, limit, 200e3) // 200 µs
		m := &fuzzedHeap{t: t, h: NewHeap(a)}
		for op := range tp.Ops("akfFrgubsxo") {
			n := len(m.live)
			switch op {
			case 'a':
				size := sizes[tp.Arg(len(sizes))]
				m.alloc(size, flags[tp.Arg(len(flags))])
			case 'k':
				size := tp.Arg(256)
				size = size*tp.Arg(256) + 1
				m.alloc(size, flags[tp.Arg(len(flags))])
			case 'f':
				if i := tp.Arg(n); n > 0 {
					p := m.lost(i).p
					m.do(func() { m.h.Kfree(p) })
				}
			case 'F':
				m.freeBulk(tp.Arg(256))
			case 'r':
				if i := tp.Arg(n); n > 0 {
					m.freeRCU(i, tp.Arg(4))
				}
			case 'g':
				if !m.held {
					m.guard = farReader()
					m.held = true
				}
			case 'u':
				if m.held {
					m.unlock()
				}
			case 'b':
				if !m.held {
					m.do(m.h.Barrier)
				}
			case 's':
				m.do(m.h.Shrink)
			case 'x':
				m.misuse(tp.Arg(3))
			case 'o':
				m.away = !m.away
			}
			m.classes()
			if s := a.Stats(); limit > 0 && s.Peak > limit {
				t.Fatalf("above the limit: %+v", s)
			}
		}
		if m.held {
			m.unlock()
		}
		m.close()
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// close closes the Heap with what is live: the error names the first class
// that has some, and how many. After a free of the rest, nothing is left.
func (m *fuzzedHeap) close() {
	least, n := 1<<30, 0
	for _, b := range m.live {
		switch size := int(classSize(class(uintptr(b.size)))); {
		case size < least:
			least, n = size, 1
		case size == least:
			n++
		}
	}
	if n > 0 {
		defer unreported()()
	}
	err := m.h.Close()
	if n == 0 {
		if err != nil {
			m.t.Fatal(err)
		}
		return
	}
	if want := fmt.Sprintf("cache kmalloc-%d closed with %d objects", least, n); err == nil || !strings.Contains(err.Error(), want) {
		m.t.Fatalf("Close returned %v, want %q", err, want)
	}
	for _, c := range m.h.caches() {
		if c.slabs.inuse > 0 || guarded(c) {
			c.closed.Store(false)
		}
	}
	m.freeBulk(len(m.live))
	for _, c := range m.h.caches() {
		if !c.closed.Load() {
			if err := c.close(); err != nil {
				m.t.Fatal(err)
			}
		}
	}
}
