package rcuhash

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

func newBytes[K comparable](t testing.TB, size int, limit int64) *Bytes[K] {
	t.Helper()
	a := newPages(t, limit)
	m, err := NewBytes[K](size, WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(m.Close(), a.Close()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// getBytes returns a copy of the value.
func getBytes[K comparable](m *Bytes[K], k K) (v []byte, ok bool) {
	g := rcu.ReadLock()
	defer g.Unlock()
	v, ok = m.Get(g, k)
	return bytes.Clone(v), ok
}

// pattern is a value that can be told from others.
func pattern(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + seed)
	}
	return b
}

// Keys and values of every length come back as they were put, and a replacement
// has the new length.
func TestBytesOfEveryLength(t *testing.T) {
	lens := []int{0, 1, 3, 4, 5, 15, 16, 100, 254, 255, 256, 4096, 70_000, 1 << 20, 2<<20 - 70_000 - 8}
	t.Run("string keys", func(t *testing.T) {
		m := newBytes[string](t, 0, 0)
		for _, kl := range []int{0, 1, 4, 21, 253, 254, 255, 256, 257, 70_000} {
			k := strings.Repeat("k", kl)
			for i, n := range lens {
				if testing.Short() && n == 1<<20 && kl != 0 && kl != 255 && kl != 70_000 {
					continue
				}
				if !m.Put(k, pattern(n, i)) {
					t.Fatalf("no memory for a key of %d bytes and a value of %d", kl, n)
				}
				if v, ok := getBytes(m, k); !ok || !bytes.Equal(v, pattern(n, i)) {
					t.Fatalf("a key of %d bytes, a value of %d: got %d bytes, %v", kl, n, len(v), ok)
				}
				exact(t, fmt.Sprint(kl, n), &m.x)
			}
		}
		if m.Len() != 10 {
			t.Errorf("Len %d", m.Len())
		}
		rcu.Read(func(g rcu.Guard) {
			for k, v := range m.All(g) {
				if k != strings.Repeat("k", len(k)) || !bytes.Equal(v, pattern(lens[len(lens)-1], len(lens)-1)) {
					t.Errorf("All: a key of %d bytes, a value of %d", len(k), len(v))
				}
			}
		})
	})
	t.Run("integer keys", func(t *testing.T) { fixedKeys(t, lens, func(i int) uint64 { return uint64(i) }) })
	t.Run("1 byte", func(t *testing.T) { fixedKeys(t, lens, func(i int) uint8 { return uint8(i) }) })
	t.Run("2 bytes", func(t *testing.T) { fixedKeys(t, lens, func(i int) int16 { return int16(-i) }) })
	t.Run("struct keys", func(t *testing.T) { fixedKeys(t, lens, func(i int) point { return point{uint8(i), 1} }) })
}

func fixedKeys[K comparable](t *testing.T, lens []int, key func(int) K) {
	m := newBytes[K](t, 0, 0)
	for i, n := range lens {
		for _, k := range []int{0, i + 1} {
			if !m.Put(key(k), pattern(n, i)) {
				t.Fatalf("no memory for %d bytes", n)
			}
		}
		if v, ok := getBytes(m, key(0)); !ok || !bytes.Equal(v, pattern(n, i)) {
			t.Fatalf("a value of %d bytes: got %d, %v", n, len(v), ok)
		}
	}
	for i, n := range lens {
		if v, ok := getBytes(m, key(i+1)); !ok || !bytes.Equal(v, pattern(n, i)) {
			t.Fatalf("a value of %d bytes: got %d, %v", n, len(v), ok)
		}
	}
	exact(t, "full", &m.x)
}

// A node is at most 2 MiB, with its lengths. More is refused, and changes nothing.
func TestBytesRefusesWhatIsTooLong(t *testing.T) {
	const most = 2 << 20
	s, i := newBytes[string](t, 0, 0), newBytes[uint64](t, 0, 0)
	for _, c := range []struct{ key, lens int }{{0, 4}, {254, 4}, {255, 8}, {70_000, 8}} {
		k := strings.Repeat("k", c.key)
		long := make([]byte, most-c.key-c.lens+1)
		if !s.Put(k, long[1:]) {
			t.Errorf("a key of %d bytes and a value of %d were refused", c.key, len(long)-1)
		}
		refused(t, s, k, long)
		refused(t, s, k+"new", long)
	}
	long := make([]byte, most-16+1)
	if !i.Put(1, long[1:]) {
		t.Error("an integer key and as much as fits were refused")
	}
	refused(t, i, 1, long)
	refused(t, i, 2, long)
	refused(t, i, 2, make([]byte, 1<<24))
	refused(t, i, 2, make([]byte, 1<<24+5))
	refused(t, s, "x", make([]byte, 1<<24+5))
	refused(t, s, strings.Repeat("k", 3<<20), nil)
	refused(t, s, strings.Repeat("k", 1<<24), nil)
}

// refused checks that every way to store v is refused.
func refused[K comparable](t *testing.T, m *Bytes[K], k K, v []byte) {
	t.Helper()
	before, had := getBytes(m, k)
	n := m.Len()
	if m.Put(k, v) || m.PutFlags(k, v, gfp.NoWait) || m.PutFlags(k, v, gfp.NoLocks) {
		t.Error("Put took it")
	}
	if stored, ok := m.PutIfAbsent(k, v); stored || ok && !had {
		t.Errorf("PutIfAbsent: %v, %v", stored, ok)
	}
	rcu.Read(func(g rcu.Guard) {
		if old, ok := m.Swap(g, k, v); old != nil || ok {
			t.Error("Swap took it")
		}
	})
	if m.Compute(k, func([]byte) ([]byte, Op) { return v, Replace }) {
		t.Error("Compute took it")
	}
	if after, has := getBytes(m, k); has != had || !bytes.Equal(after, before) || m.Len() != n {
		t.Error("the map has changed")
	}
}

// The operations of Bytes are those of Map.
func TestBytesOperations(t *testing.T) {
	t.Run("string", func(t *testing.T) {
		bytesOperations(t, func(i int) string { return strings.Repeat("s", i%3*130) + fmt.Sprint(i) })
	})
	t.Run("integer", func(t *testing.T) { bytesOperations(t, func(i int) uint64 { return uint64(i) << 40 }) })
	t.Run("1 byte", func(t *testing.T) { bytesOperations(t, func(i int) int8 { return int8(i) }) })
	t.Run("struct", func(t *testing.T) { bytesOperations(t, func(i int) point { return point{uint8(i), 1} }) })
}

func bytesOperations[K comparable](t *testing.T, key func(int) K) {
	m := newBytes[K](t, 0, 0)
	want := map[K]string{}
	for i := range 100 {
		k := key(i)
		want[k] = fmt.Sprint("value ", i)
		if stored, ok := m.PutIfAbsent(k, []byte(want[k])); !stored || !ok {
			t.Errorf("PutIfAbsent(%v): %v, %v", k, stored, ok)
		}
		if stored, ok := m.PutIfAbsent(k, nil); stored || !ok {
			t.Errorf("PutIfAbsent(%v) of a present key: %v, %v", k, stored, ok)
		}
	}
	if v, ok := getBytes(m, key(101)); v != nil || ok {
		t.Errorf("an absent key: %v, %v", v, ok)
	}
	rcu.Read(func(g rcu.Guard) {
		if old, ok := m.Swap(g, key(1), []byte("swapped")); string(old) != "value 1" || !ok {
			t.Errorf("Swap: %q, %v", old, ok)
		}
		if old, ok := m.Swap(g, key(110), []byte("new")); old != nil || !ok {
			t.Errorf("Swap of an absent key: %q, %v", old, ok)
		}
		if old, ok := m.LoadAndDelete(g, key(2)); string(old) != "value 2" || !ok {
			t.Errorf("LoadAndDelete: %q, %v", old, ok)
		}
		if old, ok := m.LoadAndDelete(g, key(2)); old != nil || ok {
			t.Errorf("LoadAndDelete of an absent key: %q, %v", old, ok)
		}
	})
	want[key(1)], want[key(110)] = "swapped", "new"
	delete(want, key(2))
	if !m.Delete(key(3)) || m.Delete(key(3)) {
		t.Error("Delete")
	}
	delete(want, key(3))
	if !m.Put(key(4), nil) || !m.Put(key(5), []byte{}) {
		t.Error("an empty value was refused")
	}
	want[key(4)], want[key(5)] = "", ""
	rcu.Read(func(g rcu.Guard) {
		if v, ok := m.Get(g, key(4)); v == nil || !ok {
			t.Errorf("an empty value: %v, %v", v, ok)
		}
	})
	if len(want) != m.Len() {
		t.Errorf("Len %d, want %d", m.Len(), len(want))
	}
	seen := map[K]string{}
	m.Range(func(k K, v []byte) bool { seen[k] = string(v); return true })
	rcu.Read(func(g rcu.Guard) {
		n := 0
		for k, v := range m.All(g) {
			if n++; want[k] != string(v) || seen[k] != string(v) {
				t.Errorf("All: %v is %q, Range says %q, want %q", k, v, seen[k], want[k])
			}
		}
		if n != len(want) {
			t.Errorf("All: %d keys, want %d", n, len(want))
		}
		for _, n := range []int{0, 1, 15, 16, 17, 100} {
			ks, vs := make([]K, n), make([][]byte, n)
			for i := range ks {
				ks[i], vs[i] = key(i*7%120), []byte("old")
			}
			m.GetBatch(g, ks, vs)
			for i, k := range ks {
				if s, ok := want[k]; s != string(vs[i]) || ok != (vs[i] != nil) {
					t.Errorf("GetBatch of %d: %v is %q, want %q", n, k, vs[i], s)
				}
			}
		}
	})
	m.Clear()
	if m.Len() != 0 {
		t.Errorf("Len %d after Clear", m.Len())
	}
	exact(t, "cleared", &m.x)
}

// Compute of Bytes: the new value may be a part of the old one, and have any
// length; fn is called again for memory, or if the entry has changed, and what it
// returned last is what is stored.
func TestBytesCompute(t *testing.T) {
	t.Run("string", func(t *testing.T) { bytesCompute(t, "key", "other") })
	t.Run("long string", func(t *testing.T) { bytesCompute(t, strings.Repeat("k", 300), "") })
	t.Run("integer", func(t *testing.T) { bytesCompute[uint32](t, 1, 2) })
}

func bytesCompute[K comparable](t *testing.T, k, other K) {
	m := newBytes[K](t, 0, 0)
	is := func(what, want string) {
		t.Helper()
		if v, ok := getBytes(m, k); string(v) != want || !ok {
			t.Errorf("%s: %q, %v; want %q", what, v, ok, want)
		}
	}
	do := func(what string, want bool, fn func(old []byte) ([]byte, Op)) {
		t.Helper()
		if m.Compute(k, fn) != want {
			t.Errorf("%s: not %v", what, want)
		}
	}
	do("Keep of an absent key", true, func(old []byte) ([]byte, Op) {
		if old != nil {
			t.Errorf("fn sees %q", old)
		}
		return []byte("x"), Keep
	})
	do("Remove of an absent key", true, func([]byte) ([]byte, Op) { return nil, Remove })
	if m.Len() != 0 {
		t.Error("there is a key")
	}
	do("Replace of an absent key", true, func(old []byte) ([]byte, Op) {
		if old != nil {
			t.Errorf("fn sees %q", old)
		}
		return []byte("one two three"), Replace
	})
	is("a new key", "one two three")
	do("", true, func(old []byte) ([]byte, Op) { return old[4:7], Replace })
	is("a part of the old value", "two")
	do("", true, func(old []byte) ([]byte, Op) { return old, Replace })
	is("the old value", "two")
	do("", true, func(old []byte) ([]byte, Op) { return append(old[:len(old):len(old)], "-more"...), Replace })
	is("more", "two-more")
	do("", true, func(old []byte) ([]byte, Op) { return old[:0], Replace })
	is("an empty value", "")
	do("", true, func(old []byte) ([]byte, Op) {
		if old == nil {
			t.Error("an empty value is nil")
		}
		return nil, Replace
	})
	is("nil", "")

	calls := 0
	do("", true, func([]byte) ([]byte, Op) { // of another length each time, for a while
		calls++
		return pattern(100*min(calls, 5), 3), Replace
	})
	is("a length that was not expected", string(pattern(500, 3)))
	if calls != 6 {
		t.Errorf("%d calls, want 6", calls)
	}

	calls = 0
	do("", true, func(old []byte) ([]byte, Op) {
		if calls++; calls <= 3 {
			testkit.Elsewhere(func() { m.PutFlags(k, pattern(calls, calls), gfp.NoWait) })
		}
		return append([]byte("saw "), old...), Replace
	})
	is("replaced in between", "saw "+string(pattern(3, 3)))

	calls = 0
	do("", true, func(old []byte) ([]byte, Op) {
		if calls++; calls == 1 {
			testkit.Elsewhere(func() { m.Delete(k) })
		}
		return nil, Remove
	})
	if v, ok := getBytes(m, k); ok || calls != 2 || m.Len() != 0 {
		t.Errorf("deleted in between, and removed: %q, %v after %d calls", v, ok, calls)
	}
	m.Put(other, []byte("other"))
	do("Remove", true, func([]byte) ([]byte, Op) { return nil, Remove })
	if m.Len() != 1 {
		t.Error("the other key is gone")
	}
	exact(t, "in the end", &m.x)
}
