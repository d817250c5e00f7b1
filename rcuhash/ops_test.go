package rcuhash

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/rcu"
)

// point is a key with padding, which the hash has to leave out.
type point struct {
	a uint8
	b uint64
}

// Every operation does the same for keys of any kind.
func TestOperations(t *testing.T) {
	type name string
	t.Run("8 bytes", func(t *testing.T) { operations(t, func(i int) uint64 { return uint64(i) << 40 }) })
	t.Run("int", func(t *testing.T) { operations(t, func(i int) int { return -i }) })
	t.Run("4 bytes", func(t *testing.T) { operations(t, func(i int) int32 { return int32(-i) }) })
	t.Run("2 bytes", func(t *testing.T) { operations(t, func(i int) uint16 { return uint16(i) }) })
	t.Run("1 byte", func(t *testing.T) { operations(t, func(i int) int8 { return int8(i - 128) }) })
	t.Run("string", func(t *testing.T) {
		operations(t, func(i int) string { return strings.Repeat("s", i%3*130) + fmt.Sprint(i) })
	})
	t.Run("named string", func(t *testing.T) { operations(t, func(i int) name { return name(fmt.Sprint(i)) }) })
	t.Run("struct", func(t *testing.T) { operations(t, func(i int) point { return point{uint8(i), uint64(i) << 40} }) })
	t.Run("array", func(t *testing.T) { operations(t, func(i int) [3]byte { return [3]byte{1, byte(i), 2} }) })
	t.Run("float", func(t *testing.T) { operations(t, func(i int) float64 { return float64(i) / 8 }) })
	t.Run("bool", func(t *testing.T) {
		m := newMap[bool, int](t, 0, 0)
		m.Put(true, 1)
		if _, ok := get(m, false); ok || m.Len() != 1 {
			t.Error("false is there")
		}
	})
}

// operations checks every operation of a map. There are 256 different keys.
func operations[K comparable](t *testing.T, key func(int) K) {
	has := func(t *testing.T, m *Map[K, uint64], i int, want uint64) {
		t.Helper()
		if v, ok := get(m, key(i)); v != want || ok != (want != 0) {
			t.Errorf("key %d: %d, %v; want %d", i, v, ok, want)
		}
	}
	fresh := func(t *testing.T) *Map[K, uint64] {
		t.Helper()
		m := newMap[K, uint64](t, 0, 0)
		for i := range 20 {
			if !m.Put(key(i), uint64(i+1)) {
				t.Fatal("no memory")
			}
		}
		return m
	}
	t.Run("Put", func(t *testing.T) {
		m := fresh(t)
		for i := range 20 {
			has(t, m, i, uint64(i+1))
		}
		has(t, m, 20, 0)
		if !m.Put(key(3), 99) || m.Len() != 20 {
			t.Errorf("Len %d after a replacement", m.Len())
		}
		has(t, m, 3, 99)
	})
	t.Run("PutIfAbsent", func(t *testing.T) {
		m := fresh(t)
		if stored, ok := m.PutIfAbsent(key(3), 99); stored || !ok {
			t.Errorf("of a present key: %v, %v", stored, ok)
		}
		has(t, m, 3, 4)
		if stored, ok := m.PutIfAbsent(key(30), 99); !stored || !ok {
			t.Errorf("of an absent key: %v, %v", stored, ok)
		}
		has(t, m, 30, 99)
		if m.Len() != 21 {
			t.Errorf("Len %d", m.Len())
		}
	})
	t.Run("Swap", func(t *testing.T) {
		m := fresh(t)
		rcu.Read(func(g rcu.Guard) {
			if old, ok := m.Swap(g, key(3), 99); !ok || old == nil || *old != 4 {
				t.Errorf("of a present key: %v, %v", old, ok)
			}
			if old, ok := m.Swap(g, key(30), 98); !ok || old != nil {
				t.Errorf("of an absent key: %v, %v", old, ok)
			}
		})
		has(t, m, 3, 99)
		has(t, m, 30, 98)
	})
	t.Run("Delete", func(t *testing.T) {
		m := fresh(t)
		if !m.Delete(key(3)) || m.Delete(key(3)) || m.Delete(key(30)) || m.Len() != 19 {
			t.Error("wrong result, or Len")
		}
		has(t, m, 3, 0)
		for i := range 20 {
			m.Delete(key(i))
		}
		if m.Len() != 0 {
			t.Errorf("Len %d", m.Len())
		}
		checkIndex(t, &m.x)
	})
	t.Run("LoadAndDelete", func(t *testing.T) {
		m := fresh(t)
		rcu.Read(func(g rcu.Guard) {
			before := m.Get(g, key(3))
			if v := m.LoadAndDelete(g, key(3)); v == nil || *v != 4 || v != before {
				t.Errorf("of a present key: %v", v)
			}
			if v := m.LoadAndDelete(g, key(3)); v != nil {
				t.Errorf("of an absent key: %v", *v)
			}
		})
		has(t, m, 3, 0)
	})
	t.Run("CompareAndDelete", func(t *testing.T) {
		m := fresh(t)
		rcu.Read(func(g rcu.Guard) {
			old := m.Get(g, key(3))
			m.PutFlags(key(3), 4, gfp.NoWait) // an equal value, but not that one
			if m.CompareAndDelete(g, key(3), old) {
				t.Error("deleted another value than the one it was told")
			}
			if m.CompareAndDelete(g, key(3), nil) || m.CompareAndDelete(g, key(30), nil) {
				t.Error("deleted nil")
			}
			if m.CompareAndDelete(g, key(4), m.Get(g, key(3))) {
				t.Error("deleted a value of another key")
			}
			if !m.CompareAndDelete(g, key(3), m.Get(g, key(3))) || m.Get(g, key(3)) != nil {
				t.Error("did not delete the value it was told")
			}
		})
		if m.Len() != 19 {
			t.Errorf("Len %d", m.Len())
		}
	})
	t.Run("Compute", func(t *testing.T) {
		for _, op := range []Op{Keep, Replace, Remove} {
			for _, i := range []int{3, 30} {
				m, calls, had := fresh(t), 0, uint64(0)
				if i == 3 {
					had = 4
				}
				ok := m.Compute(key(i), func(old *uint64) (uint64, Op) {
					calls++
					if (old == nil) != (had == 0) || old != nil && *old != had {
						t.Errorf("fn sees %v, want %d", old, had)
					}
					return 99, op
				})
				// A new entry may need another call, with memory for a bucket at hand.
				if !ok || calls < 1 || calls > 1 && (op != Replace || had != 0) {
					t.Errorf("op %d, key %d: %v after %d calls", op, i, ok, calls)
				}
				want := [3]uint64{Keep: had, Replace: 99, Remove: 0}[op]
				has(t, m, i, want)
				n := 20
				if had != 0 {
					n--
				}
				if want != 0 {
					n++
				}
				if m.Len() != n {
					t.Errorf("op %d, key %d: Len %d, want %d", op, i, m.Len(), n)
				}
			}
		}
	})
	t.Run("GetBatch", func(t *testing.T) {
		m := fresh(t)
		for _, n := range []int{0, 1, 15, 16, 17, 100} {
			ks, vs := make([]K, n), make([]*uint64, n)
			for j := range ks {
				ks[j] = key(j * 7 % 40) // half of them are there; from 40 on they come again
				vs[j] = new(uint64)
			}
			rcu.Read(func(g rcu.Guard) {
				m.GetBatch(g, ks, vs)
				for j := range ks {
					if want := m.Get(g, ks[j]); vs[j] != want {
						t.Errorf("%d keys: the value of number %d is %p, want %p", n, j, vs[j], want)
					}
				}
			})
		}
	})
	t.Run("All and Range", func(t *testing.T) {
		m := fresh(t)
		want, got := map[K]uint64{}, map[K]uint64{}
		for i := range 20 {
			want[key(i)] = uint64(i + 1)
		}
		rcu.Read(func(g rcu.Guard) {
			for k, v := range m.All(g) {
				if _, again := got[k]; again || v != m.Get(g, k) {
					t.Errorf("All: %v is seen twice, or not where Get finds it", k)
				}
				got[k] = *v
			}
		})
		if !maps.Equal(got, want) {
			t.Errorf("All: %v", got)
		}
		clear(got)
		m.Range(func(k K, v *uint64) bool {
			if _, again := got[k]; again {
				t.Errorf("Range: %v is seen twice", k)
			}
			got[k] = *v
			return true
		})
		if !maps.Equal(got, want) {
			t.Errorf("Range: %v", got)
		}
	})
	t.Run("Clear", func(t *testing.T) {
		m := fresh(t)
		for i := range 256 {
			m.Put(key(i), 7)
		}
		m.Clear()
		for i := range 256 {
			has(t, m, i, 0)
		}
		m.Range(func(k K, _ *uint64) bool { t.Errorf("%v is left", k); return true })
		if m.Len() != 0 {
			t.Errorf("Len %d", m.Len())
		}
		checkIndex(t, &m.x)
		if m.Put(key(1), 5); m.Len() != 1 {
			t.Error("it takes no key any more")
		}
		m.Clear()
		m.Clear() // of an empty one
	})
}

// GetBatch panics rather than to write behind the end of vs.
func TestGetBatchPanicsIfTheValuesAreFewer(t *testing.T) {
	m, b := newMap[int, int](t, 0, 0), newBytes[int](t, 0, 0)
	rcu.Read(func(g rcu.Guard) {
		for _, room := range []int{1, 2} {
			vs, bs := make([]*int, 1, room), make([][]byte, 1, room)
			panics(t, func() { m.GetBatch(g, []int{1, 2}, vs) })
			panics(t, func() { b.GetBatch(g, []int{1, 2}, bs) })
		}
		one := new(int)
		vs := []*int{one, one, one}
		if m.GetBatch(g, []int{1}, vs); vs[0] != nil || vs[1] != one || vs[2] != one {
			t.Error("GetBatch wrote more values than there are keys")
		}
	})
}

func panics(t *testing.T, fn func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	fn()
}

// GetKey finds what Get finds, and is for string keys alone.
func TestGetKey(t *testing.T) {
	type name string
	m, b := newMap[name, int](t, 0, 0), newBytes[string](t, 0, 0)
	for i := range 300 {
		m.Put(name(strings.Repeat("k", i)), i+1)
		b.Put(strings.Repeat("k", i), []byte{byte(i)})
	}
	words, arrays, numbers := newMap[uint64, int](t, 0, 0), newMap[[8]byte, int](t, 0, 0), newBytes[uint64](t, 0, 0)
	rcu.Read(func(g rcu.Guard) {
		for i := range 310 {
			k := []byte(strings.Repeat("k", i))
			if v := m.GetKey(g, k); v != m.Get(g, name(k)) || (v != nil) != (i < 300) {
				t.Errorf("a key of %d bytes: %v", i, v)
			}
			if v, ok := b.GetKey(g, k); ok != (i < 300) || ok && (len(v) != 1 || v[0] != byte(i)) {
				t.Errorf("Bytes, a key of %d bytes: %v", i, v)
			}
		}
		if v := m.GetKey(g, nil); v == nil || *v != 1 {
			t.Error("the empty key is not found as nil")
		}
		const says = "GetKey of a map whose keys are not strings"
		testkit.Panics(t, func() { words.GetKey(g, make([]byte, 8)) }, says)
		testkit.Panics(t, func() { arrays.GetKey(g, make([]byte, 8)) }, says)
		testkit.Panics(t, func() { numbers.GetKey(g, make([]byte, 8)) }, says)
	})
}

// Bytes is exact when nobody writes.
func TestBytesIsWhatNodesAndBucketsTake(t *testing.T) {
	m := newMap[string, uint64](t, 0, 0)
	b := newBytes[int](t, 0, 0)
	check := func(what string) {
		t.Helper()
		exact(t, what, &m.x)
		exact(t, what, &b.x)
	}
	empty, emptyB := m.Bytes(), b.Bytes()
	if empty > 2048 || emptyB > 2048 {
		t.Errorf("empty maps take %d and %d bytes", empty, emptyB)
	}
	check("empty")
	for i := range 3000 {
		m.Put(strings.Repeat("x", i%50)+fmt.Sprint(i), 1)
		b.Put(i, make([]byte, i%300))
	}
	check("full")
	for i := range 3000 {
		b.Put(i, make([]byte, (i+77)%300)) // of another length
		m.PutIfAbsent(strings.Repeat("x", i%50)+fmt.Sprint(i), 2)
		b.Compute(i, func([]byte) ([]byte, Op) { return make([]byte, i%50), Op(i % 3) })
	}
	check("changed")
	m.Clear()
	for i := range 3000 {
		b.Delete(i)
	}
	check("emptied")
	waitResized(t, &m.x)
	waitResized(t, &b.x)
	if m.Bytes() > empty+2*page.Size || b.Bytes() > emptyB+2*page.Size {
		t.Errorf("emptied maps take %d and %d bytes, new ones %d and %d", m.Bytes(), b.Bytes(), empty, emptyB)
	}
}

// exact checks what Bytes says.
func exact[K comparable](t *testing.T, what string, x *index[K]) {
	t.Helper()
	waitResized(t, x)
	checkIndex(t, x)
	want := x.counts.lines.Load() * int64(bucketSize)
	tab := x.table.Load()
	for i := range tab.mask + 1 {
		b := tab.bucketAt(x.base, i)
		if b != nil && x.isWide() {
			b = x.nextWide(b)
		}
		for ; b != nil; b = x.next(b) {
			for s := range slots {
				if n := x.node(b, s); n != nil {
					want += int64(alignUp(uintptr(x.shape.size(n)), 16))
				}
			}
		}
	}
	if got := x.bytes(); got != want {
		t.Errorf("%s: Bytes is %d, want %d", what, got, want)
	}
}

// Stats shows the memory of a map, and none when it is closed.
func TestStatsShowsTheMemory(t *testing.T) {
	m := newMap[int, [100]byte](t, 0, 0)
	for i := range 1000 {
		m.Put(i, [100]byte{})
	}
	out := 0
	for _, s := range m.Stats() {
		out += s.Out
	}
	if out < 1000 {
		t.Errorf("%d objects for 1000 keys", out)
	}
}
