package rcuhash

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/fuzztape"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
)

// fuzzed is a map with its model: a Go map, and the values found under a guard,
// which must not change.
type fuzzed[K comparable, V any] struct {
	t    *testing.T
	a    *page.Allocator
	m    *Map[K, V]
	want map[K]uint64
	val  func(uint64) V
	num  func(*V) (uint64, bool) // false: torn
	next uint64
	away bool
	bad  bool // allocations fail on purpose

	guard rcu.Guard
	held  bool
	seen  map[*V]uint64
}

func (m *fuzzed[K, V]) do(fn func()) {
	if m.away {
		testkit.Elsewhere(fn)
	} else {
		fn()
	}
}

func (m *fuzzed[K, V]) put(k K, f gfp.Flags, pinned bool) {
	m.next++
	ok := false
	m.do(func() {
		if pinned {
			s := preempt.DisableIRQ()
			defer s.Restore()
		}
		ok = m.m.PutFlags(k, m.val(m.next), f|gfp.NoWarn)
	})
	if ok {
		m.want[k] = m.next
	} else if m.a.Stats().Limit == 0 && f.CanLock() && !m.bad {
		m.t.Fatalf("no limit, and no memory for %v", k)
	}
}

func (m *fuzzed[K, V]) delete(k K, irq bool) {
	_, had := m.want[k]
	did := !had
	m.do(func() {
		if irq {
			preempt.Hardirq(func() { did = m.m.Delete(k) })
		} else {
			did = m.m.Delete(k)
		}
	})
	if did != had {
		m.t.Fatalf("Delete(%v) is %v", k, did)
	}
	delete(m.want, k)
}

func (m *fuzzed[K, V]) is(k K, v *V) {
	want, ok := m.want[k]
	if !ok && v == nil {
		return
	}
	if !ok || v == nil {
		m.t.Fatalf("Get(%v) found %v, want %d, %v", k, v, want, ok)
	}
	if got, whole := m.num(v); got != want || !whole {
		m.t.Fatalf("Get(%v) found %v, want %d", k, *v, want)
	}
	if m.held {
		m.seen[v] = want
	}
}

func (m *fuzzed[K, V]) get(k K, irq bool) {
	m.do(func() {
		g := rcu.ReadLock()
		if irq {
			preempt.Hardirq(func() { m.m.Get(g, k) })
		}
		m.is(k, m.m.Get(g, k))
		g.Unlock()
	})
}

func (m *fuzzed[K, V]) unlock() {
	for v, want := range m.seen {
		if got, whole := m.num(v); got != want || !whole {
			m.t.Fatalf("the value %d became %v under the guard", want, *v)
		}
	}
	clear(m.seen)
	m.held = false
	m.do(m.guard.Unlock)
}

// stored notes that k has the next value, unless that was refused for a reason.
func (m *fuzzed[K, V]) stored(k K, ok bool, what string) {
	if ok {
		m.want[k] = m.next
	} else if m.a.Stats().Limit == 0 && !m.bad {
		m.t.Fatalf("no limit, and no memory for %s(%v)", what, k)
	}
}

func (m *fuzzed[K, V]) putIfAbsent(k K) {
	m.next++
	_, had := m.want[k]
	stored, ok := false, false
	m.do(func() { stored, ok = m.m.PutIfAbsent(k, m.val(m.next)) })
	switch {
	case stored && (had || !ok):
		m.t.Fatalf("PutIfAbsent(%v) stored, ok %v; it was there: %v", k, ok, had)
	case ok && stored == had:
		m.t.Fatalf("PutIfAbsent(%v) is %v; it was there: %v", k, stored, had)
	case !had:
		m.stored(k, stored, "PutIfAbsent")
	}
}

// prepareFor makes the size class of an entry, which a section may not.
func prepareFor[K comparable](x *index[K], k K, vlen int) {
	klen := 0
	if x.shape.kind == stringKey {
		klen = len(text(&k))
	}
	_ = x.heap.Prepare(x.shape.sizeFor(klen, vlen)) // or Swap will be refused
}

func (m *fuzzed[K, V]) swap(k K) {
	m.next++
	prepareFor(&m.m.x, k, 0)
	m.do(func() {
		rcu.Read(func(g rcu.Guard) {
			old, ok := m.m.Swap(g, k, m.val(m.next))
			if ok {
				m.is(k, old)
			} else if old != nil {
				m.t.Fatalf("a refused Swap(%v) found something", k)
			}
			m.stored(k, ok, "Swap")
		})
	})
}

// take removes k by LoadAndDelete, or by CompareAndDelete.
func (m *fuzzed[K, V]) take(k K, compare bool) {
	m.do(func() {
		rcu.Read(func(g rcu.Guard) {
			old := m.m.Get(g, k)
			m.is(k, old)
			if !compare {
				if got := m.m.LoadAndDelete(g, k); got != old {
					m.t.Fatalf("LoadAndDelete(%v) is %p, Get was %p", k, got, old)
				}
			} else if m.m.CompareAndDelete(g, k, old) != (old != nil) {
				m.t.Fatalf("CompareAndDelete(%v, %p) is not right", k, old)
			}
			delete(m.want, k)
		})
	})
}

// compute does op to k; between, the entry changes if that is not nil.
func (m *fuzzed[K, V]) compute(k K, op Op, between func()) {
	m.next++
	ok, calls, saw := false, 0, false
	m.do(func() {
		ok = m.m.Compute(k, func(old *V) (V, Op) {
			m.is(k, old)
			saw = old != nil
			if calls++; calls == 1 && between != nil {
				n := m.next
				between()
				m.next = max(n, m.next) + 1
			}
			return m.val(m.next), op
		})
	})
	switch {
	case op == Replace:
		m.stored(k, ok, "Compute")
	case !ok:
		m.t.Fatalf("Compute(%v, %d), which takes no memory, is false", k, op)
	case op == Remove && saw: // a key that was absent then is left alone
		delete(m.want, k)
	}
}

// batch looks up n keys at once.
func (m *fuzzed[K, V]) batch(key func(int) K, from, n int) {
	ks, vs := make([]K, n), make([]*V, n)
	for i := range ks {
		ks[i] = key((from + i*3) % 100)
	}
	m.do(func() {
		rcu.Read(func(g rcu.Guard) {
			m.m.GetBatch(g, ks, vs)
			for i, k := range ks {
				m.is(k, vs[i])
			}
		})
	})
}

// faults makes every second object allocation fail, and every page allocation.
func (m *fuzzed[K, V]) faults(on bool) {
	var a, b fault.Attr
	if on {
		a, b = fault.Attr{Probability: 100, Interval: 2}, fault.Attr{Probability: 100}
	}
	fault.Slab.Set(a)
	fault.Page.Set(b)
	m.bad = on
}

// all checks the whole map against the model.
func (m *fuzzed[K, V]) all(stop int, all bool) {
	got := map[K]uint64{}
	n := 0
	see := func(k K, v *V) bool {
		m.is(k, v)
		got[k], _ = m.num(v)
		n++
		return n != stop
	}
	if all {
		rcu.Read(func(g rcu.Guard) { m.m.All(g)(see) })
	} else {
		m.m.Range(see)
	}
	if stop > 0 {
		if n != min(stop, len(m.want)) {
			m.t.Fatalf("Range stopped after %d keys, want %d of %d", n, stop, len(m.want))
		}
		return
	}
	if n != len(got) || !maps.Equal(got, m.want) {
		m.t.Fatalf("Range: %v, want %v", got, m.want)
	}
}

// fuzzPages returns an allocator whose waits are short.
func fuzzPages(t *testing.T, limit int64) *page.Allocator {
	t.Helper()
	a, err := page.New(page.Config{Limit: limit, Reserve: 1 << 30, ReclaimTimeout: 100 * time.Microsecond, Name: "fuzz"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func fuzzMap[K comparable, V any](t *testing.T, tp *fuzztape.Tape, key func(int) K, val func(uint64) V, num func(*V) (uint64, bool)) {
	limit := []int64{0, 256 << 10, 2 << 20}[tp.Arg(3)]
	a := fuzzPages(t, limit)
	m := &fuzzed[K, V]{t: t, a: a, want: map[K]uint64{}, seen: map[*V]uint64{}, val: val, num: num}
	size := []int{0, 1, 8, 1000}[tp.Arg(4)]
	open := func() {
		m.faults(false)
		var err error
		if m.m, err = New[K, V](size, WithAllocator(a)); err != nil {
			t.Fatal(err)
		}
	}
	closed := func() {
		if m.held {
			m.unlock()
		}
		if err := m.m.Close(); err != nil {
			t.Fatal(err)
		}
		clear(m.want)
	}
	open()
	defer m.faults(false)
	flags := []gfp.Flags{gfp.NoWait, gfp.Kernel, gfp.Atomic, gfp.NoLocks}
	for op := range tp.Ops("ppPqdDtigurRbcofaslmkvnMCxA") {
		switch op {
		case 'p':
			k := key(tp.Arg(64))
			m.put(k, flags[tp.Arg(len(flags))], false)
		case 'P': // many
			from, n := tp.Arg(64), tp.Arg(32)
			for i := range n * n {
				m.put(key((from+i)%1000), gfp.NoWait, false)
			}
		case 'M': // not so many
			from, n := tp.Arg(64), tp.Arg(32)
			for i := range n * n {
				m.delete(key((from+i)%1000), i%2 == 0)
			}
		case 'a':
			m.putIfAbsent(key(tp.Arg(64)))
		case 's':
			m.swap(key(tp.Arg(64)))
		case 'l':
			m.take(key(tp.Arg(64)), false)
		case 'm':
			m.take(key(tp.Arg(64)), true)
		case 'k':
			m.compute(key(tp.Arg(64)), []Op{Keep, Replace, Remove}[tp.Arg(3)], nil)
		case 'v':
			k := key(tp.Arg(64))
			m.compute(k, []Op{Keep, Replace, Remove}[tp.Arg(3)], func() {
				away := m.away
				m.away = true
				m.put(k, gfp.NoWait, false)
				m.away = away
			})
		case 'n':
			m.batch(key, tp.Arg(64), tp.Arg(40))
		case 'C':
			m.do(m.m.Clear)
			clear(m.want)
		case 'x':
			if !m.held {
				checkIndex(t, &m.m.x)
			}
		case 'A':
			m.all(tp.Arg(9), true)
		case 'q':
			m.put(key(tp.Arg(64)), gfp.NoLocks, m.m.Prepare(0, 1, 64) == nil && m.m.x.shape.kind != stringKey)
		case 'd', 'D':
			m.delete(key(tp.Arg(64)), op == 'D')
		case 't', 'i':
			m.get(key(tp.Arg(64)), op == 'i')
		case 'g':
			if !m.held {
				m.do(func() { m.guard = rcu.ReadLock() })
				m.held = true
			}
		case 'u':
			if m.held {
				m.unlock()
			}
		case 'r':
			m.all(0, false)
		case 'R':
			m.all(1+tp.Arg(9), false)
		case 'b':
			if !m.held {
				m.do(m.m.Barrier)
			}
		case 'c':
			closed()
			open()
		case 'f':
			m.faults(!m.bad)
		case 'o':
			m.away = !m.away
		}
		if m.m.Len() != len(m.want) {
			t.Fatalf("Len is %d, want %d", m.m.Len(), len(m.want))
		}
		if s := a.Stats(); limit > 0 && s.Peak > limit {
			t.Fatalf("above the limit: %+v", s)
		}
	}
	m.all(0, false)
	for k := range maps.Clone(m.want) {
		m.get(k, false)
	}
	m.faults(false)
	if m.held {
		m.unlock()
	}
	checkIndex(t, &m.m.x)
	closed()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

// FuzzMap runs operations of one goroutine, on changing Ps, on a map and on a
// Go map. A tape begins with the type of keys and values, limit and size; the
// operations, on key K:
//
//	pKF  PutFlags     PKN  N*N keys from K on   qK  PutFlags with gfp.NoLocks
//	dK   Delete       DK   in an interrupt      tK  Get         iK  in an interrupt
//	g    ReadLock; values found from now on must stay           u   Unlock
//	r    Range        RN   Range, stopped       b   Barrier     c   Close and New
//	o    here and on another P by turns         f   allocations fail by turns
//	aK   PutIfAbsent      sK   Swap             lK  LoadAndDelete
//	mK   CompareAndDelete kKO  Compute: 0 Keep, 1 Replace, 2 Remove
//	vKO  the same, and another goroutine puts K in between
//	MKN  N*N times Delete, from K on            nKN GetBatch of N keys
//	AN   All, stopped after N, or not (0)       C   Clear      x   look at every bucket
func FuzzMap(f *testing.F) {
	one := func(n uint64) uint64 { return n }
	isOne := func(v *uint64) (uint64, bool) { return *v, true }
	type wide [100]uint64
	many := func(n uint64) (v wide) {
		for i := range v {
			v[i] = n * uint64(i+1)
		}
		return v
	}
	isMany := func(v *wide) (uint64, bool) { return v[0], *v == many(v[0]) }
	type pair struct {
		a uint8
		b uint64
	}
	type name string
	f.Fuzz(func(t *testing.T, b []byte) {
		testkit.Procs(t, 3)
		tp := fuzztape.New(b, 512)
		switch tp.Arg(5) {
		case 0:
			fuzzMap(t, tp, func(i int) uint64 { return uint64(i) }, one, isOne)
		case 1: // from empty to long; no two are alike
			fuzzMap(t, tp, func(i int) string {
				return strings.Repeat("k", i*i%1200) + fmt.Sprint(i)[:min(i, 1)*len(fmt.Sprint(i))]
			}, one, isOne)
		case 2:
			fuzzMap(t, tp, func(i int) pair { return pair{uint8(i), uint64(i) << 40} }, many, isMany)
		case 3:
			fuzzMap(t, tp, func(i int) name { return name(fmt.Sprint(i)) }, many, isMany)
		case 4:
			fuzzMap(t, tp, func(i int) [0]byte { return [0]byte{} }, one, isOne) // one key
		}
	})
}
