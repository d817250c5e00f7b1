package rcuhash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/page"
	"quiesce/rcu"
)

// get returns a copy of the value.
func get[K comparable, V any](m *Map[K, V], k K) (v V, ok bool) {
	g := rcu.ReadLock()
	defer g.Unlock()
	if p := m.Get(g, k); p != nil {
		return *p, true
	}
	return v, false
}

func TestItDoesWhatAMapDoes(t *testing.T) {
	t.Run("string keys", func(t *testing.T) {
		model(t, func(n int) string { return strings.Repeat("k", n%40) + fmt.Sprint(n) })
	})
	t.Run("empty and long strings", func(t *testing.T) {
		model(t, func(n int) string { return strings.Repeat("x", n*n) })
	})
	t.Run("integer keys", func(t *testing.T) { model(t, func(n int) uint16 { return uint16(n) }) })
	t.Run("struct keys", func(t *testing.T) {
		type key struct {
			a uint8
			b uint64
		}
		model(t, func(n int) key { return key{uint8(n), uint64(n) << 40} })
	})
	t.Run("named string", func(t *testing.T) {
		type name string
		model(t, func(n int) name { return name(fmt.Sprint(n)) })
	})
}

// model runs random operations on a small map with long lists, against a Go
// map.
func model[K comparable](t *testing.T, key func(int) K) {
	m := newMap[K, [3]int](t, 16, 0)
	want := map[K][3]int{}
	rnd := rand.New(rand.NewPCG(1, 2))
	steps := 20_000
	if testing.Short() {
		steps = 5_000
	}
	for i := range steps {
		k, v := key(rnd.IntN(100)), [3]int{i, -i, 7}
		switch rnd.IntN(4) {
		case 0, 1:
			if !m.Put(k, v) {
				t.Fatal("no memory")
			}
			want[k] = v
		case 2:
			_, had := want[k]
			if m.Delete(k) != had {
				t.Fatalf("Delete(%v) is not %v", k, had)
			}
			delete(want, k)
		}
		if v, ok := get(m, k); ok != (want[k] != [3]int{}) || v != want[k] {
			t.Fatalf("step %d: Get(%v) = %v, %v; want %v", i, k, v, ok, want[k])
		}
		if m.Len() != len(want) {
			t.Fatalf("step %d: Len %d, want %d", i, m.Len(), len(want))
		}
	}
	seen := map[K][3]int{}
	m.Range(func(k K, v *[3]int) bool { seen[k] = *v; return true })
	if len(seen) != len(want) {
		t.Fatalf("Range saw %d keys of %d", len(seen), len(want))
	}
	for k, v := range want {
		if seen[k] != v {
			t.Fatalf("Range saw %v: %v, want %v", k, seen[k], v)
		}
	}
	n := 0
	m.Range(func(K, *[3]int) bool { n++; return n < 3 })
	if n != min(3, len(want)) {
		t.Errorf("Range went on after false: %d", n)
	}
}

func TestNewRefusesWhatCanNotWork(t *testing.T) {
	for what, err := range map[string]error{
		"value with a pointer":   err2(New[string, struct{ P *int }](1)),
		"key with a pointer":     err2(New[*int, int](1)),
		"key with a string":      err2(New[struct{ S string }, int](1)),
		"interface key":          err2(New[any, int](1)),
		"negative size":          err2(New[string, int](-1)),
		"more than 2^30 buckets": err2(New[string, int](1<<30 + 1)),
		"node above 2 MiB":       err2(New[int, [2 << 20]byte](1)),
		"the same, string keys":  err2(New[string, [2 << 20]byte](1)),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := New[string, struct{ In struct{ P []byte } }](1); err == nil || !strings.Contains(err.Error(), ".In.P") {
		t.Errorf("the error %v does not name the field", err)
	}
	const slice = "rcuhash: value type: []uint8 holds a Go pointer; use an array such as [N]byte, or an off-heap object (see package slab)"
	if _, err := New[string, []byte](1); err == nil || err.Error() != slice {
		t.Errorf("the error is\n%v\nwant\n%s", err, slice)
	}
}

func err2[A any](_ A, err error) error { return err }

type value struct {
	gen  uint64
	body [8]uint64
}

func filled(gen uint64) (v value) {
	v.gen = gen
	for i := range v.body {
		v.body[i] = gen * uint64(i+1)
	}
	return v
}

func TestPutWithoutMemoryChangesNothing(t *testing.T) {
	a, err := page.New(page.Config{Limit: 1 << 20, ReclaimTimeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New[int, [1000]byte](16, WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for m.PutFlags(n, [1000]byte{1}, gfp.Kernel|gfp.NoWarn) {
		n++
	}
	if m.Len() != n || n == 0 {
		t.Errorf("Len %d after %d puts", m.Len(), n)
	}
	if _, ok := get(m, n); ok {
		t.Error("a key that was refused is there")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := m.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("the second Close: %v, want ErrClosed", err)
	}
}

func TestGetDoesNotAllocate(t *testing.T) {
	m := newMap[string, value](t, 1024, 0)
	m.Put("here", filled(3))
	for _, k := range []string{"here", "not here"} {
		if n := testing.AllocsPerRun(100, func() {
			g := rcu.ReadLock()
			m.Get(g, k)
			g.Unlock()
		}); n != 0 {
			t.Errorf("Get(%q) allocates %v times", k, n)
		}
	}
}
