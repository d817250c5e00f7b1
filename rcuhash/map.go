package rcuhash

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/internal/nodes"
	"quiesce/internal/offheap"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/slab"
)

// ErrClosed is the error of Close on a map that is already closed.
var ErrClosed = errors.New("rcuhash: map already closed")

// Map is a hash map from K to V, outside the Go heap. Its methods are safe for
// concurrent use, except Close.
type Map[K comparable, V any] struct {
	x index[K]
}

type config struct {
	pages  *page.Allocator
	name   string
	head   nodes.Head // see internal/nodes
	narrow bool       // no wide buckets
}

// Option configures a map made by New or NewBytes.
type Option func(*config)

// WithAllocator makes the map take its memory from a instead of [page.Default].
// An allocator with a limit bounds the memory of the map.
func WithAllocator(a *page.Allocator) Option { return func(c *config) { c.pages = a } }

// WithName names the map in statistics. Without it the name is "map"; a second map
// of a name is called name#2.
func WithName(name string) Option { return func(c *config) { c.name = name } }

// maxSize bounds the size that New accepts.
const maxSize = 1 << 30

// New makes a map that has room for about size keys. It grows when there are
// more, and does not shrink below that. size 0 is fine: such a map begins with
// 512 bytes.
//
// K is a string type or a type without Go pointers; V holds no Go pointers (use
// [64]byte, not []byte or string; [Bytes] has values of any length). Key and
// value, with 4 bytes for the length of a string key, take at most 2 MiB
// together.
//
// Context: task; not pinned.
func New[K comparable, V any](size int, opts ...Option) (*Map[K, V], error) {
	if err := offheap.Check(reflect.TypeFor[V]()); err != nil {
		return nil, fmt.Errorf("rcuhash: value type: %w", err)
	}
	var k K
	var v V
	s := shape{kind: kindOf(reflect.TypeFor[K]()), keyLen: unsafe.Sizeof(k)}
	if s.kind == stringKey {
		s.valAt = alignUp(4, unsafe.Alignof(v))
		s.keyAt = s.valAt + unsafe.Sizeof(v)
		if s.keyAt >= page.Size<<page.MaxOrder {
			return nil, fmt.Errorf("rcuhash: value type: %d bytes, want less than %d with the key", unsafe.Sizeof(v), page.Size<<page.MaxOrder)
		}
	} else {
		s.keyAt = alignUp(unsafe.Sizeof(v), unsafe.Alignof(k))
	}
	s.small = unsafe.Sizeof(v) <= entryKey
	m := new(Map[K, V])
	if err := m.x.init(size, s, opts); err != nil {
		return nil, err
	}
	return m, nil
}

// Get returns a pointer to the value of k, or nil if k is not in the map. The
// value is not copied: it stays valid and unchanged until g is unlocked, and
// must not be written to. The guard proves that the caller is in a read-side
// critical section (see [rcu.ReadLock]).
//
// Context: any.
func (m *Map[K, V]) Get(g rcu.Guard, k K) *V {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	x := &m.x.core
	if x.shape.kind > wideKey {
		return m.getOther(k)
	}
	// This is lookupWord and lookupWide once more: as calls they take a quarter longer.
	word := integer(&k)
	t := x.table.Load() // ord:table
	if t == nil {
		x.open("Get") // panics
	}
	h := x.seeds.mix(word)
	i := h & peekWord(unsafe.Pointer(&t.start))                                             // ord:hint
	begin := peekWord(unsafe.Add(unsafe.Pointer(unsafe.SliceData(t.begin)), i>>runShift*8)) // ord:run
	base := x.base
	if x.isWide() {
		b := (*bucket)(unsafe.Add(base, begin+i<<wideShift))
		meta := atomic.LoadUint64(&b.meta) // first: see begin; ord:entry,live,moved
		for c := wideCandidates(peekWord(unsafe.Pointer(b)), (h>>57|0x80)*everyByte); c != 0; c &= c - 1 {
			if e := b.entryOf(c); peekWord(unsafe.Add(e, entryKey)) == word { // ord:wide-slot
				return (*V)(e)
			}
		}
		if x.isWithoutWide(t, h, b, meta) {
			return nil
		}
		return (*V)(x.lookFurtherWide(word, t, h, b, meta))
	}
	b := unsafe.Add(base, begin+i<<bucketShift)
	meta := atomic.LoadUint64(&(*bucket)(b).meta) // first: see begin; ord:entry,live,moved
	for c := candidates(peekWord(b), meta, (h>>57|0x80)*everyByte); c != 0; c &= c - 1 {
		r := peekRef(unsafe.Add(b, unsafe.Offsetof((*bucket)(b).refs)+uintptr(slotOf(c))*unsafe.Sizeof(ref(0)))) // ord:entry
		if n := (*node[K, V])(unsafe.Add(base, uintptr(r)<<4)); r != 0 && integer(&n.key) == word {
			return &n.value
		}
	}
	return (*V)(x.lookFurther(word, t, h, (*bucket)(b), meta))
}

// getOther is Get of a key that is no integer of 8 bytes.
//
//go:noinline
func (m *Map[K, V]) getOther(k K) *V { return m.valueOf(m.x.get(&k)) }

// node is what the memory of a node with a fixed key has: see shape.
type node[K comparable, V any] struct {
	value V
	key   K
}

// GetKey is Get of a string key that the caller has as bytes, which are not
// copied. It panics if K is not a string type.
//
// Context: any.
func (m *Map[K, V]) GetKey(g rcu.Guard, k []byte) *V {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	return m.valueOf(m.x.lookupKey(k))
}

// GetBatch sets vs[i] to what Get returns for ks[i]. It is faster than so many
// calls of Get in a map that is larger than the processor's caches, because the
// look-ups wait for memory at the same time. It panics if vs is shorter than ks.
//
// Context: any.
func (m *Map[K, V]) GetBatch(g rcu.Guard, ks []K, vs []*V) {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	t := m.x.open("GetBatch")
	checkBatch(len(ks), len(vs))
	var b batch
	for len(ks) > 0 {
		n := min(len(ks), batchKeys)
		if m.x.isWide() {
			m.x.lookupBatchWide(t, words(ks[:n]), &b)
		} else {
			m.x.lookupBatch(t, ks[:n], &b)
		}
		for i, node := range b.node[:n] {
			vs[i] = m.valueOf(node)
		}
		ks, vs = ks[n:], vs[n:]
	}
}

// valueOf returns the value of a node, or nil.
func (m *Map[K, V]) valueOf(n unsafe.Pointer) *V {
	if n == nil {
		return nil
	}
	return (*V)(unsafe.Add(n, m.x.shape.valAt))
}

// nodeOf returns the node of a value, or nil.
func (m *Map[K, V]) nodeOf(v *V) unsafe.Pointer {
	if v == nil {
		return nil
	}
	return unsafe.Add(unsafe.Pointer(v), -int(m.x.shape.valAt))
}

// newNode returns a node of k without a value, or nil.
func (m *Map[K, V]) newNode(k *K, f gfp.Flags) unsafe.Pointer {
	klen := 0
	if m.x.shape.kind == stringKey {
		if klen = len(text(k)); klen > maxSize {
			return nil
		}
	}
	n := m.x.allocNode(0, m.x.shape.sizeFor(klen, 0), f)
	if n == nil {
		return nil
	}
	at := unsafe.Add(n, m.x.shape.keyAt)
	if m.x.shape.kind == stringKey {
		*(*uint32)(n) = uint32(klen)
		copy(unsafe.Slice((*byte)(at), klen), text(k))
	} else {
		*(*K)(at) = *k
	}
	return n
}

// Put sets the value of k. If there is no memory for it, Put returns false and
// leaves the map unchanged. It may wait for memory.
//
// Context: task; not pinned, not in a read-side section.
func (m *Map[K, V]) Put(k K, v V) bool { return m.PutFlags(k, v, gfp.Kernel) }

// PutFlags is Put with flags for the allocation. With [gfp.NoLocks] it never
// sleeps and never waits for memory. The first key of a size makes the size
// class, which sleeps: call Prepare beforehand.
//
// Context: as the flags allow (see package gfp); any with gfp.NoLocks.
func (m *Map[K, V]) PutFlags(k K, v V, f gfp.Flags) bool {
	x := &m.x
	if x.table.Load() == nil { // ord:table
		x.open("Put") // panics
	}
	if x.isWide() {
		word, v := integer(&k), wordOf(&v)
		h := x.seeds.mix(word)
		old, _, ok := x.putWide(h, word, v, condition{}, f)
		return ok && old != nil || x.putWideEnds(h, word, v, ok, f)
	}
	return m.putOther(k, v, f)
}

// putOther is PutFlags for a map without wide buckets.
//
//go:noinline
func (m *Map[K, V]) putOther(k K, v V, f gfp.Flags) bool {
	old, _, ok := m.put(&k, &v, condition{}, f)
	m.x.retire(old)
	return ok
}

// put stores a new node of k, if the condition holds.
func (m *Map[K, V]) put(k *K, v *V, cond condition, f gfp.Flags) (old unsafe.Pointer, stored, ok bool) {
	h := m.x.hash(k)
	if m.x.isWide() {
		return m.x.storeWide(h, integer(k), wordOf(v), cond, f)
	}
	m.x.approach(h)
	n := m.newNode(k, f)
	if n == nil {
		return nil, false, false
	}
	*m.valueOf(n) = *v
	return m.x.store(h, k, n, cond, f)
}

// PutIfAbsent sets the value of k if k is not in the map, and reports whether it
// did. ok is false if there is no memory for it; then the map is unchanged. It
// may wait for memory.
//
// Context: task; not pinned, not in a read-side section.
func (m *Map[K, V]) PutIfAbsent(k K, v V) (stored, ok bool) {
	m.x.open("PutIfAbsent")
	_, stored, ok = m.put(&k, &v, condition{absent: true}, gfp.Kernel)
	return stored, ok
}

// Swap is Put that returns the value that was there, or nil. That stays readable
// until g is unlocked. It does not wait for memory, because the caller's own
// section may be what keeps it from being freed. The first string key of a size
// makes the size class, which sleeps: call Prepare beforehand.
//
// Context: task; not pinned.
func (m *Map[K, V]) Swap(g rcu.Guard, k K, v V) (old *V, ok bool) {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	m.x.open("Swap")
	n, _, ok := m.put(&k, &v, condition{}, gfp.NoWait)
	m.x.retireOld(n)
	return m.valueOf(n), ok
}

// Delete removes k and reports whether it was in the map.
//
// Context: any.
func (m *Map[K, V]) Delete(k K) bool {
	m.x.open("Delete")
	return m.x.delete(m.x.hash(&k), &k, nil) != nil
}

// LoadAndDelete removes k and returns its value, which stays readable until g is
// unlocked, or nil.
//
// Context: any.
func (m *Map[K, V]) LoadAndDelete(g rcu.Guard, k K) *V {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	m.x.open("LoadAndDelete")
	return m.valueOf(m.x.delete(m.x.hash(&k), &k, nil))
}

// CompareAndDelete removes k if its value is still the very one that Get returned
// under g, and reports whether it did. A value that was replaced by an equal one is
// another one. (Of an entry in a wide bucket that has moved since, all that is known is
// that the values are equal.)
//
// Context: any.
func (m *Map[K, V]) CompareAndDelete(g rcu.Guard, k K, old *V) bool {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	m.x.open("CompareAndDelete")
	if m.x.isWide() {
		return old != nil && m.x.deleteWide(m.x.hash(&k), integer(&k), unsafe.Pointer(old), true) != nil
	}
	return old != nil && m.x.delete(m.x.hash(&k), &k, m.nodeOf(old)) != nil
}

// All returns an iterator over the keys and their values, for one section of the
// caller: the values stay valid until g is unlocked, and no grace period ends
// until then, so that a long loop holds the memory of all that is freed
// while it runs. [Map.Range] does not. A key that is in the map from before the first
// step to the end is seen once, whether the map grows or shrinks; one that comes
// or goes may be seen. String keys are copies on the Go heap. The loop may use
// the map, as fn of Range may.
//
// Context: any that the loop allows.
func (m *Map[K, V]) All(g rcu.Guard) iter.Seq2[K, *V] {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	t := m.x.open("All")
	return func(yield func(K, *V) bool) {
		for w := (walk{}); m.x.step(&w, t); {
			for i, n := range w.nodes {
				if !yield(m.x.keyIn(&w, i), m.valueOf(n)) {
					return
				}
			}
		}
	}
}

// Range calls fn for every key until fn returns false. The value is in place, as
// in Get, and valid until fn returns. A key is seen as All sees it. Range is in a
// read-side section while fn runs, and in a new one every few keys, so that it
// holds up no grace period for long. fn may use the map, and may change it in
// ways that such a section allows: Delete, and PutFlags with [gfp.NoLocks]. A Put
// works while there is memory. At the limit it is refused at once: what it would
// wait for waits for the section. Collect such changes and make them after Range.
// String keys are copies on the Go heap.
//
// Context: any that fn allows.
func (m *Map[K, V]) Range(fn func(k K, v *V) bool) {
	m.x.open("Range")
	m.x.sections(func(k K, n unsafe.Pointer) bool { return fn(k, m.valueOf(n)) })
}

// Len returns the number of keys. While others change the map, it is
// approximate.
//
// Context: any.
func (m *Map[K, V]) Len() int { return m.x.len() }

// Bytes returns the memory that the keys and values, with the table, take, in
// bytes. What waits for a grace period is not in it.
//
// Context: any.
func (m *Map[K, V]) Bytes() int64 { return m.x.bytes() }

// Clear removes all keys. Those that are put while it runs may stay.
//
// Context: task; not pinned.
func (m *Map[K, V]) Clear() {
	m.x.open("Clear")
	m.x.clear()
}

// Prepare makes the size classes for string keys of these lengths in bytes, so
// that PutFlags of such a key with [gfp.NoLocks] works in a raw atomic context.
// Maps with other keys have one size, which New prepares.
//
// Context: task; not pinned.
func (m *Map[K, V]) Prepare(lens ...int) error {
	m.x.open("Prepare")
	for _, l := range lens {
		if err := m.x.heap.Prepare(m.x.shape.sizeFor(l, 0)); err != nil {
			return fmt.Errorf("rcuhash: %w", err)
		}
	}
	return nil
}

// Barrier waits until the memory of all that was removed or replaced before the
// call is reclaimed.
//
// Context: task; not pinned, not in a read-side section.
func (m *Map[K, V]) Barrier() {
	m.x.open("Barrier")
	m.x.barrier()
}

// Stats returns the statistics of the size classes that hold the nodes and the
// first buckets. Maps that were made for less than 64 KiB share a heap in each
// allocator: theirs are those of all of them.
//
// Context: task; not pinned.
func (m *Map[K, V]) Stats() []slab.CacheStats { return m.x.heap.Stats() }

// Close frees the nodes and the buckets. The caller must make sure that no
// other goroutine uses the map, now or later: an operation on a closed map
// panics, except Len and Bytes, which are 0, and Stats. Close returns [ErrClosed]
// if the map is already closed, and an error that names the leaked nodes if it
// finds any, which would be a bug of this package. The memory of a map that is dropped
// without Close is freed after a garbage collection, with a line to slog's default logger.
//
// Context: task; not pinned, not in a read-side section.
func (m *Map[K, V]) Close() error { return m.x.close() }
