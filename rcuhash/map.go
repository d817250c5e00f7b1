package rcuhash

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"reflect"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/lock"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/slab"
)

// Map is a hash map from K to V. Its methods may be called by any number of
// goroutines.
type Map[K comparable, V any] struct {
	// Immutable after New.
	seed     maphash.Seed
	heap     *slab.Heap
	pages    *page.Allocator
	segments []unsafe.Pointer // blocks of buckets
	order    int              // of a segment
	mask     uint64           // number of buckets - 1
	keyAt    uintptr          // offset of the key in a node
	str      bool             // K is a kind of string

	stripes [stripes]stripe
}

// stripes is the number of writers that can work at a time. Untuned.
const stripes = 256

type stripe struct {
	mu  lock.Raw
	len atomic.Int64 // keys in the stripe's buckets; written under mu
	_   [64]byte
}

// node is what a list is made of. The key follows at Map.keyAt.
type node[V any] struct {
	next slab.Pointer[node[V]]
	hash uint64
	klen uint32 // bytes of a string key
	val  V
}

type bucket[V any] = slab.Pointer[node[V]]

type config struct{ pages *page.Allocator }

// Option changes how New makes a map.
type Option func(*config)

// WithAllocator takes memory from a instead of page.Default().
func WithAllocator(a *page.Allocator) Option { return func(c *config) { c.pages = a } }

// maxSize bounds the number of buckets: 8 GiB of them.
const maxSize = 1 << 30

// New makes a map meant for about size keys: the number of buckets is the
// next power of two, and their memory is taken at once. K is a string or a
// type without Go pointers; V holds no Go pointers. A node, which is value,
// key and 24 bytes, has at most 2 MiB. Unpinned.
func New[K comparable, V any](size int, opts ...Option) (*Map[K, V], error) {
	cfg := config{}
	for _, o := range opts {
		o(&cfg)
	}
	if cfg.pages == nil {
		cfg.pages = page.Default()
	}
	if size < 0 || size > maxSize {
		return nil, fmt.Errorf("rcuhash: size %d is not within 0 to %d", size, maxSize)
	}
	kt := reflect.TypeFor[K]()
	m := &Map[K, V]{
		seed:  maphash.MakeSeed(),
		pages: cfg.pages,
		heap:  slab.NewHeap(cfg.pages),
		str:   kt.Kind() == reflect.String,
	}
	if err := slab.CheckType(reflect.TypeFor[V]()); err != nil {
		return nil, fmt.Errorf("rcuhash: value type: %w", err)
	}
	var n node[V]
	m.keyAt = unsafe.Sizeof(n)
	if !m.str {
		if err := slab.CheckType(kt); err != nil {
			return nil, fmt.Errorf("rcuhash: key type: %w", err)
		}
		al := uintptr(kt.Align())
		m.keyAt = (m.keyAt + al - 1) &^ (al - 1)
		if err := m.heap.Prepare(int(m.keyAt + kt.Size())); err != nil {
			return nil, fmt.Errorf("rcuhash: %w", err)
		}
	}
	buckets := 1 << bits.Len(uint(max(size, 1)-1))
	m.mask = uint64(buckets - 1)
	for m.order < page.MaxOrder && m.perSegment() < buckets {
		m.order++
	}
	for i := 0; i < buckets; i += m.perSegment() {
		p := m.pages.Alloc(m.order, gfp.Kernel|gfp.Zero|gfp.NoWarn)
		if p == nil {
			m.freeSegments()
			_ = m.heap.Close() // nothing was allocated
			return nil, errors.New("rcuhash: no memory for the buckets")
		}
		m.segments = append(m.segments, p)
	}
	for i := range m.stripes {
		m.stripes[i].mu.Init("rcuhash.stripe.mu")
	}
	return m, nil
}

func (m *Map[K, V]) perSegment() int { return page.Size << m.order / 8 }

func (m *Map[K, V]) freeSegments() {
	for _, p := range m.segments {
		m.pages.Free(p, m.order)
	}
	m.segments = nil
}

func (m *Map[K, V]) hash(k K) uint64 { return maphash.Comparable(m.seed, k) }

func (m *Map[K, V]) bucket(h uint64) *bucket[V] {
	i := h & m.mask
	per := uint64(m.perSegment())
	return (*bucket[V])(unsafe.Add(m.segments[i/per], i%per*8))
}

// stripe is chosen by bits of the bucket's number, so that a bucket has one.
func (m *Map[K, V]) stripe(h uint64) *stripe { return &m.stripes[h&m.mask%stripes] }

// bytes is the text of a key of string kind.
func bytes[K comparable](k *K) string { return *(*string)(unsafe.Pointer(k)) }

func (m *Map[K, V]) is(n *node[V], h uint64, k *K) bool {
	if n.hash != h {
		return false
	}
	at := unsafe.Add(unsafe.Pointer(n), m.keyAt)
	if m.str {
		return unsafe.String((*byte)(at), n.klen) == bytes(k)
	}
	return *(*K)(at) == *k
}

// Get returns the value of k in place, or nil. It stays valid and unchanged
// until the guard is unlocked, and must not be written to. The guard is the
// proof that the caller is in a read-side critical section. Any context.
func (m *Map[K, V]) Get(g rcu.Guard, k K) *V {
	g.Check(1)
	h := m.hash(k)
	for n := m.bucket(h).LoadRaw(); n != nil; n = n.next.LoadRaw() { // ord:link
		if m.is(n, h, &k) {
			return &n.val
		}
	}
	return nil
}

// find returns the node of k and the link that leads to it; at the end of the
// list the node is nil. The stripe is locked.
func (m *Map[K, V]) find(h uint64, k *K) (*bucket[V], *node[V]) {
	link := m.bucket(h)
	for {
		n := link.LoadProtected(true) // ord:link
		if n == nil || m.is(n, h, k) {
			return link, n
		}
		link = &n.next
	}
}

// size is a node's size in bytes.
func (m *Map[K, V]) size(klen uint32) int {
	if m.str {
		return int(m.keyAt) + int(klen)
	}
	var k K
	return int(m.keyAt + unsafe.Sizeof(k))
}

// Put sets the value of k. It returns false, and changes nothing, if there is
// no memory for it. It may wait for memory: unpinned, outside of read-side
// sections.
func (m *Map[K, V]) Put(k K, v V) bool { return m.PutFlags(k, v, gfp.Kernel) }

// PutFlags is Put with flags for the allocation. With gfp.NoLocks it may be
// called in any context, but for the first key of a size, whose size class
// Prepare announces.
func (m *Map[K, V]) PutFlags(k K, v V, f gfp.Flags) bool {
	klen := 0
	if m.str {
		klen = len(bytes(&k))
	}
	if klen > maxSize {
		return false
	}
	h := m.hash(k)
	n := (*node[V])(m.heap.Kmalloc(m.size(uint32(klen)), f))
	if n == nil {
		return false
	}
	n.hash, n.klen, n.val = h, uint32(klen), v
	at := unsafe.Add(unsafe.Pointer(n), m.keyAt)
	if m.str {
		copy(unsafe.Slice((*byte)(at), klen), bytes(&k))
	} else {
		*(*K)(at) = k
	}
	s := m.stripe(h)
	s.mu.LockIRQ()
	link, old := m.find(h, &k)
	if old != nil {
		n.next.Store(old.next.LoadProtected(true)) // ord:link
	} else {
		n.next.Store(nil) // ord:link
		s.len.Add(1)      // ord:stat
	}
	link.Store(n) // publishes the node; pairs with Get's loads; ord:link
	s.mu.UnlockIRQ()
	m.retire(old)
	return true
}

// Delete removes k and reports whether it was there. Any context.
func (m *Map[K, V]) Delete(k K) bool {
	h := m.hash(k)
	s := m.stripe(h)
	s.mu.LockIRQ()
	link, old := m.find(h, &k)
	if old != nil {
		link.Store(old.next.LoadProtected(true)) // old keeps its link for those on it; ord:link
		s.len.Add(-1)                            // ord:stat
	}
	s.mu.UnlockIRQ()
	m.retire(old)
	return old != nil
}

// retire frees an unlinked node after a grace period, in the context of the
// caller.
func (m *Map[K, V]) retire(n *node[V]) {
	if n != nil {
		m.heap.KfreeRCUSized(unsafe.Pointer(n), m.size(n.klen))
	}
}

// Range calls fn for every key until it returns false. Keys put or deleted
// meanwhile may be seen or not. A string key is a copy; the value is in place,
// as Get's. fn may use the map. Contexts: those that fn allows.
func (m *Map[K, V]) Range(g rcu.Guard, fn func(k K, v *V) bool) {
	g.Check(1)
	for i := range m.mask + 1 {
		for n := m.bucket(i).LoadRaw(); n != nil; n = n.next.LoadRaw() { // ord:link
			at := unsafe.Add(unsafe.Pointer(n), m.keyAt)
			var k K
			if m.str {
				*(*string)(unsafe.Pointer(&k)) = string(unsafe.Slice((*byte)(at), n.klen))
			} else {
				k = *(*K)(at)
			}
			if !fn(k, &n.val) {
				return
			}
		}
	}
}

// Len returns the number of keys. Any context.
func (m *Map[K, V]) Len() int {
	n := int64(0)
	for i := range m.stripes {
		n += m.stripes[i].len.Load() // ord:stat
	}
	return int(n)
}

// Prepare makes the size classes for string keys of these lengths, so that
// PutFlags of such a key may be called in a raw atomic context. Unpinned.
func (m *Map[K, V]) Prepare(lens ...int) error {
	for _, l := range lens {
		if err := m.heap.Prepare(m.size(uint32(l))); err != nil {
			return err
		}
	}
	return nil
}

// Barrier waits until the memory of every node unlinked before is reclaimed.
// Unpinned, outside of read-side sections.
func (m *Map[K, V]) Barrier() { m.heap.Barrier() }

// Stats returns the figures of the size classes that hold the nodes.
// Unpinned.
func (m *Map[K, V]) Stats() []slab.CacheStats { return m.heap.Stats() }

// Close frees everything. It reports nodes that are lost, which would be a bug
// here. Nobody may use the map meanwhile or later. Unpinned, outside of
// read-side sections.
func (m *Map[K, V]) Close() error {
	if m.segments == nil {
		return errors.New("rcuhash: map is closed already")
	}
	for i := range m.mask + 1 {
		b := m.bucket(i)
		for n := b.Swap(nil); n != nil; { // ord:link
			next := n.next.LoadProtected(true) // ord:link
			m.retire(n)
			n = next
		}
	}
	err := m.heap.Close()
	m.freeSegments()
	return err
}
