package properties

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"quiesce/gfp"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/rcuhash"
	"quiesce/slab"
)

// piece is allocated memory, of any kind.
type piece struct {
	p    unsafe.Pointer
	size int
	mark byte
	free func()
}

func (p *piece) bytes() []byte { return unsafe.Slice((*byte)(p.p), p.size) }

// limitMachine has everything that takes memory on one allocator.
type limitMachine struct {
	a      *page.Allocator
	small  *slab.Cache[[2]uint64]
	middle *slab.Cache[[40]uint64]
	heap   *slab.Heap
	table  *rcuhash.Map[uint32, [12]uint64]
	held   []*piece
	keys   map[uint32]uint64 // version of each; 0: not there
	mark   byte
}

func (m *limitMachine) take(t *rapid.T, p unsafe.Pointer, size int, free func()) {
	n := &piece{p: p, size: size, free: free}
	for _, o := range m.held {
		if uintptr(p) < uintptr(o.p)+uintptr(o.size) && uintptr(o.p) < uintptr(p)+uintptr(size) {
			t.Fatalf("%d bytes at %p overlap %d at %p", size, p, o.size, o.p)
		}
	}
	m.mark++
	n.mark = m.mark
	for i, b := 0, n.bytes(); i < len(b); i += 13 {
		b[i] = n.mark
	}
	m.held = append(m.held, n)
}

func intact(t *rapid.T, p *piece) {
	for i, b := 0, p.bytes(); i < len(b); i += 13 {
		if b[i] != p.mark {
			t.Fatalf("%d bytes at %p: byte %d is %d in place of %d", p.size, p.p, i, b[i], p.mark)
		}
	}
}

// takeObject allocates an object of the cache, to be freed by RCU or directly.
func takeObject[T any](t *rapid.T, m *limitMachine, c *slab.Cache[T], f gfp.Flags, byRCU bool) {
	if p := c.Alloc(f); p != nil {
		free := func() { c.Free(p) }
		if byRCU {
			free = func() { c.FreeRCU(p) }
		}
		m.take(t, unsafe.Pointer(p), int(unsafe.Sizeof(*p)), free)
	}
}

func (m *limitMachine) alloc(t *rapid.T) {
	f := rapid.SampledFrom([]gfp.Flags{gfp.NoWait, gfp.Atomic, gfp.NoLocks}).Draw(t, "flags") | gfp.NoWarn
	later := rapid.Bool().Draw(t, "by RCU")
	kind := rapid.SampledFrom([]string{"small", "middle", "heap", "pages"}).Draw(t, "kind")
	for range rapid.IntRange(1, 50).Draw(t, "n") {
		switch kind {
		case "small":
			takeObject(t, m, m.small, f, later)
		case "middle":
			takeObject(t, m, m.middle, f, later)
		case "heap":
			size := rapid.IntRange(1, 20_000).Draw(t, "size")
			if p := m.heap.Kmalloc(size, f); p != nil {
				free := func() { m.heap.Kfree(p) }
				if later {
					free = func() { m.heap.KfreeRCU(p) }
				}
				m.take(t, p, size, free)
			}
		case "pages":
			order := rapid.IntRange(0, 5).Draw(t, "order")
			if p := m.a.Alloc(order, f); p != nil {
				m.take(t, p, page.Size<<order, func() { m.a.Free(p, order) })
			}
		}
	}
}

func (m *limitMachine) free(t *rapid.T) {
	if len(m.held) == 0 {
		t.Skip()
	}
	for range rapid.IntRange(1, 60).Draw(t, "n") {
		if len(m.held) == 0 {
			return
		}
		i := rapid.IntRange(0, len(m.held)-1).Draw(t, "piece")
		m.drop(t, i)
	}
}

func (m *limitMachine) drop(t *rapid.T, i int) {
	p := m.held[i]
	m.held[i] = m.held[len(m.held)-1]
	m.held = m.held[:len(m.held)-1]
	intact(t, p)
	p.free()
}

func (m *limitMachine) put(t *rapid.T) {
	from := rapid.Uint32Range(0, 2000).Draw(t, "from")
	for k := from; k < from+uint32(rapid.IntRange(1, 300).Draw(t, "n")); k++ {
		m.keys[k]++
		v := [12]uint64{uint64(k), m.keys[k]}
		if !m.table.PutFlags(k, v, gfp.NoWait|gfp.NoWarn) {
			m.keys[k]--
		}
	}
}

func (m *limitMachine) look(t *rapid.T) {
	g := rcu.ReadLock()
	defer g.Unlock()
	for k, n := range m.keys {
		v := m.table.Get(g, k)
		if (v != nil) != (n > 0) || v != nil && *v != [12]uint64{uint64(k), n} {
			t.Fatalf("key %d: %v, want version %d", k, v, n)
		}
	}
}

// Everything that takes memory from one allocator stays within its limit and
// out of the others' memory. What one of them freed, another can get: with
// everything freed, a gfp.Kernel allocation of half the limit does not fail.
func TestMemoryUnderOneLimitGoesFromHandToHand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(3<<20, 12<<20).Draw(t, "limit")
		a, err := page.New(page.Config{Limit: limit, Reserve: 1 << 30, Name: "limit"})
		if err != nil {
			t.Fatal(err)
		}
		m := &limitMachine{a: a, keys: map[uint32]uint64{}, heap: slab.NewHeap(a)}
		var err1, err2, err3 error
		m.small, err1 = slab.NewCache[[2]uint64]("small", slab.WithAllocator(a), slab.WithSheaf(rapid.IntRange(1, 1008).Draw(t, "sheaf")))
		m.middle, err2 = slab.NewCache[[40]uint64]("middle", slab.WithAllocator(a), slab.WithDepot(rapid.Int64Range(0, 1<<20).Draw(t, "depot")))
		m.table, err3 = rcuhash.New[uint32, [12]uint64](rapid.IntRange(1, 1000).Draw(t, "buckets"), rcuhash.WithAllocator(a))
		for _, err := range []error{err1, err2, err3} {
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if s := a.Stats(); s.Peak > limit {
					t.Fatalf("above the limit: %+v", s)
				}
			},
			"alloc": m.alloc,
			"free":  m.free,
			"put":   m.put,
			"look":  m.look,
			"delete": func(t *rapid.T) {
				k := rapid.Uint32Range(0, 2300).Draw(t, "key")
				if m.table.Delete(k) != (m.keys[k] > 0) {
					t.Fatalf("Delete(%d), version %d", k, m.keys[k])
				}
				m.keys[k] = 0
			},
			"shrink": func(t *rapid.T) {
				for _, fn := range []func(){m.small.Shrink, m.middle.Shrink, m.heap.Shrink, func() { a.Shrink() }} {
					if rapid.Bool().Draw(t, "this") {
						fn()
					}
				}
			},
			"hand over": func(t *rapid.T) {
				for len(m.held) > 0 {
					m.drop(t, 0)
				}
				m.handOver(t, limit)
			},
		})
		for len(m.held) > 0 {
			m.drop(t, 0)
		}
		m.look(t)
		for what, close := range map[string]func() error{"small": m.small.Close, "middle": m.middle.Close, "heap": m.heap.Close, "map": m.table.Close} {
			if err := close(); err != nil {
				t.Fatal(what, err)
			}
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// handOver makes one user take half the limit when only the map has anything. What
// the others freed is in their sheaves, depots and pending arrays: the user's
// gfp.Kernel has to get it from there.
func (m *limitMachine) handOver(t *rapid.T, limit int64) {
	for k := range m.keys {
		m.table.Delete(k)
		m.keys[k] = 0
	}
	var ps []unsafe.Pointer
	start := time.Now()
	size := rapid.SampledFrom([]int{320, 5000, 16384}).Draw(t, "unit")
	for got := 0; got < int(limit/2); got += size {
		p := m.heap.Kmalloc(size, gfp.Kernel|gfp.NoWarn)
		if p == nil {
			t.Fatalf("%d bytes of a limit of %d handed out, and no more after %v: %s", got, limit, time.Since(start), fmt.Sprintf("%+v", m.a.Stats()))
		}
		ps = append(ps, p)
	}
	if rapid.Bool().Draw(t, "back by RCU") {
		for _, p := range ps {
			m.heap.KfreeRCU(p)
		}
	} else {
		m.heap.KfreeBulk(ps)
	}
}
