package metamorphic

import (
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"quiesce/gfp"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/rcuhash"
)

// keysPerThread of a map; key i belongs to thread i%threads.
const keysPerThread = 16

// table is a map whose keys are numbers.
type table interface {
	put(key int, n uint64, f gfp.Flags) bool
	get(g rcu.Guard, key int) (p unsafe.Pointer, size int) // nil: not there
	delete(key int) bool
	all(g rcu.Guard, fn func(key int, n uint64, whole bool))
	renew()
	Len() int
	Barrier()
	Close() error
}

type tableOf[K comparable, V any] struct {
	*rcuhash.Map[K, V]
	make func() *rcuhash.Map[K, V]
	keys [threads * keysPerThread]K // made beforehand: fmt may block, and the caller may be pinned
	back map[K]int
}

// newTable's maps have few buckets and so long lists.
func newTable[K comparable, V any](a *page.Allocator, key func(int) K) *tableOf[K, V] {
	t := &tableOf[K, V]{back: map[K]int{}}
	for i := range t.keys {
		t.keys[i] = key(i)
		t.back[t.keys[i]] = i
	}
	t.make = func() *rcuhash.Map[K, V] {
		for range 1000 { // some fail on purpose
			if m, err := rcuhash.New[K, V](4, rcuhash.WithAllocator(a)); err == nil {
				return m
			}
		}
		panic("no map")
	}
	t.renew()
	return t
}

func newWords(a *page.Allocator) table {
	return newTable[string, [6]uint64](a, func(i int) string {
		return fmt.Sprint(strings.Repeat("x", i%3*100), i)
	})
}

func newNumbers(a *page.Allocator) table {
	return newTable[uint64, [2]uint64](a, func(i int) uint64 { return uint64(i) << 32 })
}

func (t *tableOf[K, V]) renew() { t.Map = t.make() }

func (t *tableOf[K, V]) put(key int, n uint64, f gfp.Flags) bool {
	var v V
	stamp(unsafe.Pointer(&v), int(unsafe.Sizeof(v)), n)
	return t.PutFlags(t.keys[key], v, f)
}

func (t *tableOf[K, V]) get(g rcu.Guard, key int) (unsafe.Pointer, int) {
	v := t.Get(g, t.keys[key])
	return unsafe.Pointer(v), int(unsafe.Sizeof(*v))
}

func (t *tableOf[K, V]) delete(key int) bool { return t.Delete(t.keys[key]) }

func (t *tableOf[K, V]) all(g rcu.Guard, fn func(int, uint64, bool)) {
	for k, v := range t.All(g) {
		n, whole := stamped(unsafe.Pointer(v), int(unsafe.Sizeof(*v)))
		fn(t.back[k], n, whole)
	}
}

// digest is the whole map, in the order of keys.
func digest(tb table) string {
	var s []string
	g := rcu.ReadLock()
	tb.all(g, func(key int, n uint64, whole bool) {
		s = append(s, fmt.Sprintf("%02d:%d", key, n))
		if !whole {
			s = append(s, wrong+"a torn value")
		}
	})
	g.Unlock()
	slices.Sort(s)
	return strings.Join(s, " ")
}

// found reads a key under a guard of its own.
func found(tb table, key int) string {
	g := rcu.ReadLock()
	defer g.Unlock()
	p, size := tb.get(g, key)
	if p == nil {
		return "nil"
	}
	n, whole := stamped(p, size)
	if !whole {
		return fmt.Sprint(wrong, "torn value ", n)
	}
	return fmt.Sprint(n)
}

func (t *thread) doTable(tb table, o op) string {
	key := o.a%keysPerThread*threads + t.id
	switch o.verb {
	case "put":
		if t.quota[o.kind] >= 4*keysPerThread {
			return "quota"
		}
		t.quota[o.kind]++
		before := found(tb, key)
		c := contexts[o.b%7] // the key's size class may be new, so no Softirq
		ok := false
		c.run(func() { ok = tb.put(key, t.n, c.flags|gfp.NoWarn) })
		if !ok {
			if now := found(tb, key); now != before {
				return wrong + "a refused Put changed " + before + " to " + now
			}
			if !t.w.persist(func() bool { return tb.put(key, t.n, gfp.Kernel|gfp.NoWarn) }) {
				return wrong + "starved"
			}
		}
		return before
	case "delete":
		ok := false
		contexts[o.b].run(func() { ok = tb.delete(key) })
		return fmt.Sprint(ok)
	case "get":
		return found(tb, key)
	case "find":
		if g := t.guard(); g != nil {
			if p, size := tb.get(g.g, key); p != nil {
				return g.remember(p, size)
			}
			return "nil"
		}
		return ""
	case "glance":
		if g := t.guard(); g != nil {
			other := (t.id + 1 + o.b%(threads-1)) % threads
			if p, size := tb.get(g.g, o.a%keysPerThread*threads+other); p != nil {
				if r := g.remember(p, size); strings.HasPrefix(r, wrong) {
					return r
				}
			}
		}
		return ""
	}
	panic("no operation " + o.String())
}
