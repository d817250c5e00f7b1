package slab

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/testkit"
	"quiesce/preempt"
	"quiesce/rcu"
)

// fuzzed is the model of a cache: the live objects with their stamps, and the
// limbo of those given to FreeRCU, whose content must stay, and which must not be allocated again,
// while a guard is held that was taken before.
type fuzzed[T any] struct {
	t      *testing.T
	c      *Cache[T]
	opts   []Option
	live   []*T
	stamps map[*T]uint64 // of live objects
	next   uint64        // stamp
	guards [2]rcu.Guard
	held   uint8 // bit i: guards[i] is held
	away   bool  // the next operations run on another P
	waits  int   // allocations that waited for memory in vain
	faulty bool  // allocations fail on purpose
	hogs   []unsafe.Pointer

	mu    sync.Mutex
	limbo map[*T]limbo // protected by mu
	early string       // protected by mu: the reclaimer broke a grace period
}

type limbo struct {
	stamp uint64
	held  uint8
}

func (m *fuzzed[T]) do(fn func()) {
	if m.away {
		testkit.Elsewhere(fn)
	} else {
		fn()
	}
}

// open makes the cache.
func (m *fuzzed[T]) open() {
	hook := withHook(func(offs []uint32) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, off := range offs {
			if l, ok := m.limbo[(*T)(m.c.c.pointer(off))]; ok {
				m.early = fmt.Sprintf("object %#x is reclaimed while guards %b are held", l.stamp, l.held)
			}
		}
	})
	c, err := NewCache[T]("fuzz", append(m.opts, hook)...)
	if err != nil {
		m.t.Fatal(err)
	}
	m.c = c
}

func fuzzWords[T any](p *T) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(p)), unsafe.Sizeof(*p)/8)
}

// stamp marks the object's first words, its last and some between.
func stamp(w []uint64, s uint64) {
	for i := 0; i < len(w); i += 1 + i/8 {
		w[i] = s + uint64(i)
	}
	w[len(w)-1] = ^s
}

func stamped(w []uint64, s uint64) bool {
	for i := 0; i < len(w)-1; i += 1 + i/8 {
		if w[i] != s+uint64(i) {
			return false
		}
	}
	return w[len(w)-1] == ^s
}

// got takes a new object into the model.
func (m *fuzzed[T]) got(p *T, f gfp.Flags) {
	if s, ok := m.stamps[p]; ok {
		m.t.Fatalf("%p was handed out and is live with stamp %#x", p, s)
	}
	m.mu.Lock()
	l, ok := m.limbo[p]
	m.mu.Unlock()
	if ok {
		m.t.Fatalf("%p was handed out while guards %b are held that may have seen it", p, l.held)
	}
	w := fuzzWords(p)
	if f&gfp.Zero != 0 {
		for i, v := range w {
			if v != 0 {
				m.t.Fatalf("word %d is %#x, and gfp.Zero was asked for", i, v)
			}
		}
	}
	m.next += 1 << 32
	stamp(w, m.next)
	m.stamps[p] = m.next
	m.live = append(m.live, p)
}

// lost takes object i out of the model; rcu: into limbo, if a guard is held.
func (m *fuzzed[T]) lost(i int, rcu bool) *T {
	p := m.live[i]
	m.live[i] = m.live[len(m.live)-1]
	m.live = m.live[:len(m.live)-1]
	s := m.stamps[p]
	delete(m.stamps, p)
	if !stamped(fuzzWords(p), s) {
		m.t.Fatalf("live object %#x at %p was overwritten", s, p)
	}
	if rcu && m.held != 0 {
		m.mu.Lock()
		m.limbo[p] = limbo{s, m.held}
		m.mu.Unlock()
	}
	return p
}

func (m *fuzzed[T]) alloc(f gfp.Flags) bool {
	if m.waits >= 3 && f.CanSleep() {
		f = f&^gfp.Kernel | gfp.Atomic
	}
	var p *T
	m.do(func() { p = m.c.Alloc(f | gfp.NoWarn) })
	if p == nil {
		m.refused(f)
		return false
	}
	m.got(p, f)
	return true
}

func (m *fuzzed[T]) refused(f gfp.Flags) {
	if f.CanSleep() {
		m.waits++
	}
	if m.c.c.pages.Stats().Limit == 0 && f.CanLock() && !m.faulty {
		m.t.Fatal("no limit, and no object")
	}
}

func (m *fuzzed[T]) allocBulk(n int, f gfp.Flags) {
	if f.CanSleep() {
		f = f&^gfp.Kernel | gfp.Atomic
	}
	dst := make([]*T, n)
	m.do(func() { n = m.c.AllocBulk(f|gfp.NoWarn, dst) })
	if n < len(dst) {
		m.refused(f)
	}
	for _, p := range dst[:n] {
		m.got(p, f)
	}
}

func (m *fuzzed[T]) freeBulk(i, n int) {
	var ps []*T
	for ; n > 0 && len(m.live) > 0; n-- {
		if n%7 == 0 {
			ps = append(ps, nil)
		}
		ps = append(ps, m.lost(i%len(m.live), false))
	}
	m.do(func() { m.c.FreeBulk(ps) })
}

// freeRCU frees object i; how: as a goroutine, in an interrupt, pinned.
func (m *fuzzed[T]) freeRCU(i, how int) {
	p := m.lost(i, true)
	m.do(func() {
		switch how {
		case 0:
			m.c.FreeRCU(p)
		case 1:
			preempt.Hardirq(func() { m.c.FreeRCU(p) })
		case 2:
			s := preempt.DisableIRQ()
			m.c.FreeRCU(p)
			s.Restore()
		}
	})
}

// pinned frees an object in a pinned section, which must not get it back
// within the section.
func (m *fuzzed[T]) pinned(i int) {
	p := m.lost(i, true)
	var got [4]*T
	m.do(func() {
		pin := preempt.Disable()
		m.c.FreeRCU(p)
		for i := range got {
			got[i] = m.c.Alloc(gfp.NoLocks | gfp.NoWarn)
		}
		pin.Enable()
	})
	for _, q := range got {
		if q == p {
			m.t.Fatalf("%p was handed out in the pinned section that freed it", p)
		}
		if q != nil {
			m.got(q, 0)
		}
	}
}

func (m *fuzzed[T]) unlock(i int) {
	m.mu.Lock()
	for p, l := range m.limbo {
		if !stamped(fuzzWords(p), l.stamp) {
			m.t.Errorf("object %#x was overwritten while guards %b are held", l.stamp, l.held)
		}
		if l.held &^= 1 << i; l.held == 0 {
			delete(m.limbo, p)
		} else {
			m.limbo[p] = l
		}
	}
	m.mu.Unlock()
	m.held &^= 1 << i
	m.do(m.guards[i].Unlock) // on whatever P
}

func (m *fuzzed[T]) unlockAll() {
	for i := range m.guards {
		if m.held&(1<<i) != 0 {
			m.unlock(i)
		}
	}
}

func (m *fuzzed[T]) barrier() {
	m.do(m.c.Barrier)
	if s := m.c.Stats(); s.RCUArrays != s.Reused+s.Bulk || s.Fallback != s.FallbackFreed || s.Pending != 0 {
		m.t.Fatalf("after Barrier: %+v", s)
	}
}

// close closes the cache with what is live, which it must count, and once
// more after that was freed.
func (m *fuzzed[T]) close() {
	m.unlockAll()
	n := len(m.live)
	if n > 0 {
		defer unreported()()
	}
	err := m.c.Close()
	if n == 0 && err != nil {
		m.t.Fatal(err)
	}
	if n > 0 {
		if want := fmt.Sprintf("closed with %d objects", n); err == nil || !strings.Contains(err.Error(), want) {
			m.t.Fatalf("Close returned %v, want %q", err, want)
		}
		m.c.c.closed.Store(false)
		m.freeBulk(0, n)
		if err := m.c.Close(); err != nil {
			m.t.Fatal(err)
		}
	}
}

// available checks that unused memory can be allocated.
func (m *fuzzed[T]) available() {
	m.unlockAll()
	m.freeBulk(0, len(m.live))
	m.free()
	m.faults(0)
	m.barrier()
	for range 100 {
		if p := m.c.Alloc(gfp.Kernel | gfp.NoWarn); p != nil {
			m.c.Free(p)
			return
		}
	}
	m.t.Fatalf("nothing is live, and no memory: %+v, %+v", m.c.Stats(), m.c.c.pages.Stats())
}

// faults has every few allocations fail: objects, pages, or both.
func (m *fuzzed[T]) faults(kind int) {
	attrs := [4][2]fault.Attr{
		1: {{Probability: 100, Interval: 2}, {}},
		2: {{}, {Probability: 100, Interval: 2}},
		3: {{Probability: 100, Interval: 3}, {Probability: 100}},
	}
	fault.Slab.Set(attrs[kind][0])
	fault.Page.Set(attrs[kind][1])
	m.faulty = kind != 0
}

// hog takes the pages that are left; FreeRCU must do without.
func (m *fuzzed[T]) hog() {
	for m.c.c.pages.Stats().Limit > 0 {
		p := m.c.c.pages.Alloc(0, gfp.Atomic|gfp.NoWarn)
		if p == nil {
			return
		}
		m.hogs = append(m.hogs, p)
	}
}

func (m *fuzzed[T]) free() {
	for _, p := range m.hogs {
		m.c.c.pages.Free(p, 0)
	}
	m.hogs = nil
}
