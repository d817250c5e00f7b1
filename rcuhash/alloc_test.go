//go:build !race && !poison && !lockdep && !delay && !purego

package rcuhash

import (
	"testing"

	"quiesce/rcu"
)

// No operation allocates on the Go heap. (Debug builds take pages or stacks from
// there, and hash/maphash does with the tag purego.)
func TestOperationsDoNotAllocate(t *testing.T) {
	m, s, b := newMap[uint64, uint64](t, 5000, 0), newMap[string, uint64](t, 5000, 0), newBytes[string](t, 5000, 0)
	other := newMap[point, uint64](t, 5000, 0)
	for k := range uint64(3000) {
		m.Put(k, k)
		other.Put(point{b: k}, k)
	}
	key, buf := []byte("a string key"), make([]byte, 100)
	str := string(key)
	s.Put(str, 1)
	b.Put(str, buf)
	ks, vs := make([]uint64, 100), make([]*uint64, 100)
	for i := range ks {
		ks[i] = uint64(i * 50)
	}
	n := uint64(0)
	under := func(do func(g rcu.Guard)) func() {
		return func() {
			g := rcu.ReadLock()
			do(g)
			g.Unlock()
		}
	}
	for what, do := range map[string]func(){
		"Get": under(func(g rcu.Guard) {
			m.Get(g, 7)
			m.Get(g, 1<<40)
			s.Get(g, str)
			s.Get(g, "no")
			other.Get(g, point{b: 3})
		}),
		"GetKey":      under(func(g rcu.Guard) { s.GetKey(g, key); s.GetKey(g, key[1:]); b.GetKey(g, key) }),
		"GetBatch":    under(func(g rcu.Guard) { m.GetBatch(g, ks, vs) }),
		"Put":         func() { m.Put(7, 8); s.Put(str, 2); other.Put(point{b: 9}, 1); b.Put(str, buf) },
		"Put, Delete": func() { n++; m.Put(n<<40, n); m.Delete(n << 40); s.Delete(str); s.Put(str, 1) },
		"PutIfAbsent": func() { m.PutIfAbsent(7, 1); s.PutIfAbsent(str, 1); m.PutIfAbsent(1<<41, 1); m.Delete(1 << 41) },
		"Swap":        under(func(g rcu.Guard) { m.Swap(g, 7, 1); s.Swap(g, str, 5); b.Swap(g, str, buf) }),
		"LoadAndDelete": under(func(g rcu.Guard) {
			m.LoadAndDelete(g, 9)
			m.CompareAndDelete(g, 10, m.Get(g, 10))
			m.Swap(g, 9, 9)
			m.Swap(g, 10, 9)
		}),
		"Compute": func() {
			m.Compute(7, func(old *uint64) (uint64, Op) { return *old + 1, Replace })
			m.Compute(7, func(old *uint64) (uint64, Op) { return 0, Keep })
			m.Compute(8, func(old *uint64) (uint64, Op) { return 0, Remove })
			s.Compute(str, func(old *uint64) (uint64, Op) { return 1, Replace })
		},
		"Bytes.Compute": func() { b.Compute(str, func(old []byte) ([]byte, Op) { return buf[:50], Replace }) },
		"Len and Bytes": func() { m.Len(); m.Bytes() },
	} {
		if n := testing.AllocsPerRun(200, do); n >= 1 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
}
