package rcuhash

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/fuzztape"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/rcu"
)

// fuzzedBytes is a Bytes with its model. A value is made from its number and its
// length.
type fuzzedBytes[K comparable] struct {
	t    *testing.T
	a    *page.Allocator
	m    *Bytes[K]
	want map[K][]byte
	next int
	away bool
	bad  bool // allocations fail on purpose
}

func (m *fuzzedBytes[K]) do(fn func()) {
	if m.away {
		testkit.Elsewhere(fn)
	} else {
		fn()
	}
}

// value returns the next value, of length n*n*n.
func (m *fuzzedBytes[K]) value(n int) []byte {
	m.next++
	return pattern(n*n*n, m.next)
}

func (m *fuzzedBytes[K]) stored(k K, v []byte, ok bool, what string) {
	if ok {
		m.want[k] = bytes.Clone(v)
	} else if m.a.Stats().Limit == 0 && !m.bad {
		m.t.Fatalf("no limit, and no memory for %s(%v) of %d bytes", what, k, len(v))
	}
}

func (m *fuzzedBytes[K]) is(what string, k K, v []byte, ok bool) {
	want, had := m.want[k]
	if ok != had || !bytes.Equal(v, want) || ok != (v != nil) {
		m.t.Fatalf("%s(%v) found %d bytes, %v; want %d, %v", what, k, len(v), ok, len(want), had)
	}
}

func (m *fuzzedBytes[K]) put(k K, v []byte, f gfp.Flags) {
	ok := false
	m.do(func() { ok = m.m.PutFlags(k, v, f|gfp.NoWarn) })
	if ok || f.CanLock() {
		m.stored(k, v, ok, "PutFlags")
	}
}

func (m *fuzzedBytes[K]) compute(k K, n int, op Op, part bool) {
	v := m.value(n)
	ok := false
	m.do(func() {
		ok = m.m.Compute(k, func(old []byte) ([]byte, Op) {
			m.is("Compute", k, old, old != nil)
			if part {
				v = old[len(old)/3 : len(old)/3*2]
			}
			return v, op
		})
	})
	if part {
		was := m.want[k]
		v = was[len(was)/3 : len(was)/3*2]
	}
	switch {
	case op == Replace:
		m.stored(k, v, ok, "Compute")
	case !ok:
		m.t.Fatalf("Compute(%v, %d), which takes no memory, is false", k, op)
	case op == Remove:
		delete(m.want, k)
	}
}

func (m *fuzzedBytes[K]) all() {
	for _, walk := range []func(fn func(K, []byte) bool){
		m.m.Range,
		func(fn func(K, []byte) bool) { rcu.Read(func(g rcu.Guard) { m.m.All(g)(fn) }) },
	} {
		seen := map[K]bool{}
		walk(func(k K, v []byte) bool {
			if m.is("a walk", k, v, true); seen[k] {
				m.t.Fatalf("a walk saw %v twice", k)
			}
			seen[k] = true
			return true
		})
		if len(seen) != len(m.want) {
			m.t.Fatalf("a walk saw %d keys of %d", len(seen), len(m.want))
		}
	}
	waitResized(m.t, &m.m.x)
	exact(m.t, "fuzzed", &m.m.x)
}

func fuzzBytes[K comparable](t *testing.T, tp *fuzztape.Tape, key func(int) K) {
	limit := []int64{0, 512 << 10, 4 << 20}[tp.Arg(3)]
	a := fuzzPages(t, limit)
	m := &fuzzedBytes[K]{t: t, a: a, want: map[K][]byte{}}
	var err error
	if m.m, err = NewBytes[K]([]int{0, 1, 1000}[tp.Arg(3)], WithAllocator(a)); err != nil {
		t.Fatal(err)
	}
	faults := func(on bool) {
		var a fault.Attr
		if on {
			a = fault.Attr{Probability: 100, Interval: 2}
		}
		fault.Slab.Set(a)
		m.bad = on
	}
	defer faults(false)
	flags := []gfp.Flags{gfp.NoWait, gfp.Kernel, gfp.Atomic, gfp.NoLocks}
	for op := range tp.Ops("pPqaskKdlgGrCbof") {
		switch op {
		case 'p':
			m.put(key(tp.Arg(64)), m.value(tp.Arg(45)), flags[tp.Arg(len(flags))])
		case 'P': // many
			from, n, v := tp.Arg(64), tp.Arg(32), m.value(tp.Arg(6))
			for i := range n * n {
				m.put(key((from+i)%1000), v, gfp.NoWait)
			}
		case 'q': // many go
			from, n := tp.Arg(64), tp.Arg(32)
			for i := range n * n {
				k := key((from + i) % 1000)
				_, had := m.want[k]
				if m.m.Delete(k) != had {
					t.Fatalf("Delete(%v) is not %v", k, had)
				}
				delete(m.want, k)
			}
		case 'a':
			k, v := key(tp.Arg(64)), m.value(tp.Arg(20))
			_, had := m.want[k]
			stored, ok := false, false
			m.do(func() { stored, ok = m.m.PutIfAbsent(k, v) })
			if stored && (had || !ok) || ok && stored == had {
				t.Fatalf("PutIfAbsent(%v): %v, %v; it was there: %v", k, stored, ok, had)
			}
			if !had {
				m.stored(k, v, stored, "PutIfAbsent")
			}
		case 's':
			k, v := key(tp.Arg(64)), m.value(tp.Arg(20))
			prepareFor(&m.m.x, k, len(v))
			rcu.Read(func(g rcu.Guard) {
				old, ok := m.m.Swap(g, k, v)
				if ok {
					m.is("Swap", k, old, old != nil)
				}
				m.stored(k, v, ok, "Swap")
			})
		case 'k':
			m.compute(key(tp.Arg(64)), tp.Arg(20), []Op{Keep, Replace, Remove}[tp.Arg(3)], false)
		case 'K': // a part of the old value
			m.compute(key(tp.Arg(64)), 0, []Op{Keep, Replace, Remove}[tp.Arg(3)], true)
		case 'd':
			k := key(tp.Arg(64))
			_, had := m.want[k]
			did := !had
			m.do(func() { did = m.m.Delete(k) })
			if did != had {
				t.Fatalf("Delete(%v) is %v", k, did)
			}
			delete(m.want, k)
		case 'l':
			k := key(tp.Arg(64))
			rcu.Read(func(g rcu.Guard) {
				v, ok := m.m.LoadAndDelete(g, k)
				m.is("LoadAndDelete", k, v, ok)
			})
			delete(m.want, k)
		case 'g':
			k := key(tp.Arg(64))
			m.do(func() {
				rcu.Read(func(g rcu.Guard) {
					v, ok := m.m.Get(g, k)
					m.is("Get", k, v, ok)
				})
			})
		case 'G':
			ks := make([]K, tp.Arg(40))
			for i := range ks {
				ks[i] = key(i * 3 % 100)
			}
			vs := make([][]byte, len(ks))
			rcu.Read(func(g rcu.Guard) {
				m.m.GetBatch(g, ks, vs)
				for i, k := range ks {
					m.is("GetBatch", k, vs[i], vs[i] != nil)
				}
			})
		case 'r':
			m.all()
		case 'C':
			m.do(m.m.Clear)
			clear(m.want)
		case 'b':
			m.do(m.m.Barrier)
		case 'o':
			m.away = !m.away
		case 'f':
			faults(!m.bad)
		}
		if m.m.Len() != len(m.want) {
			t.Fatalf("Len is %d, want %d", m.m.Len(), len(m.want))
		}
		if s := a.Stats(); limit > 0 && s.Peak > limit {
			t.Fatalf("above the limit: %+v", s)
		}
	}
	faults(false)
	m.all()
	if err := m.m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

// FuzzBytes runs operations of one goroutine, on changing Ps, on a Bytes and on a
// Go map. A tape begins with the type of keys, limit and size; the operations, on
// key K with a value of N*N*N bytes:
//
//	pKNF PutFlags         PKMN M*M keys from K on     qKM  M*M times Delete
//	aKN  PutIfAbsent      sKN  Swap                   kKNO Compute: 0 Keep, 1 Replace, 2 Remove
//	KKO  Compute to a part of the old value           dK   Delete    lK  LoadAndDelete
//	gK   Get              GM   GetBatch of M keys     r    Range, All, and every bucket
//	C    Clear            b    Barrier                o    here and on another P by turns
//	f    allocations fail by turns
func FuzzBytes(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		testkit.Procs(t, 3)
		tp := fuzztape.New(b, 512)
		switch tp.Arg(4) {
		case 0:
			fuzzBytes(t, tp, func(i int) string {
				return strings.Repeat("k", i*i%5000) + fmt.Sprint(i)[:min(i, 1)*len(fmt.Sprint(i))]
			})
		case 1:
			fuzzBytes(t, tp, func(i int) uint64 { return uint64(i) << 40 })
		case 2:
			fuzzBytes(t, tp, func(i int) uint16 { return uint16(i) })
		case 3:
			fuzzBytes(t, tp, func(i int) point { return point{uint8(i), uint64(i)} })
		}
	})
}
