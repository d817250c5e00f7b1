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
	"quiesce/internal/depcheck"
	"quiesce/internal/offheap"
	"quiesce/lock"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/slab"
)

// ErrClosed is the error of Close on a map that is already closed.
var ErrClosed = errors.New("rcuhash: map already closed")

// Map is a hash map from K to V, outside the Go heap. Its methods are safe for
// concurrent use, except Close.
type Map[K comparable, V any] struct {
	// Immutable after New.
	seed     maphash.Seed
	heap     *slab.Heap
	pages    *page.Allocator
	segments []unsafe.Pointer // blocks of buckets
	order    int              // of a segment
	mask     uint64           // number of buckets - 1
	keyAt    uintptr          // offset of the key in a node
	str      bool             // K has kind string

	stripes [stripes]stripe
}

// stripes is the number of writers that can run at the same time. Untuned.
const stripes = 256

type stripe struct {
	mu  lock.Raw
	len atomic.Int64 // keys in the stripe's buckets; changed with mu held
	_   [64]byte
}

// node is an element of a bucket's list. The key follows it, at Map.keyAt.
type node[V any] struct {
	next slab.Pointer[node[V]]
	hash uint64
	klen uint32 // length of a string key in bytes
	val  V
}

type bucket[V any] = slab.Pointer[node[V]]

type config struct{ pages *page.Allocator }

// Option configures a map made by New.
type Option func(*config)

// WithAllocator makes the map take its memory from a instead of [page.Default].
// An allocator with a limit bounds the memory of the map.
func WithAllocator(a *page.Allocator) Option { return func(c *config) { c.pages = a } }

// maxSize bounds the number of buckets, which then take 8 GiB.
const maxSize = 1 << 30

// New makes a map for about size keys. It allocates the buckets at once; their
// number is the next power of two. More keys than size make lists longer and
// look-ups slower, nothing else.
//
// K is a string type or a type without Go pointers; V holds no Go pointers (use
// [64]byte, not []byte or string). Value, key and 24 bytes of overhead take at
// most 2 MiB together.
//
// Context: task; not pinned.
func New[K comparable, V any](size int, opts ...Option) (*Map[K, V], error) {
	cfg := config{}
	for _, o := range opts {
		o(&cfg)
	}
	if cfg.pages == nil {
		cfg.pages = page.Default()
	}
	if size < 0 || size > maxSize {
		return nil, fmt.Errorf("rcuhash: size %d is out of range, want 0 to %d", size, maxSize)
	}
	kt := reflect.TypeFor[K]()
	m := &Map[K, V]{
		seed:  maphash.MakeSeed(),
		pages: cfg.pages,
		heap:  slab.NewHeap(cfg.pages),
		str:   kt.Kind() == reflect.String,
	}
	if err := offheap.Check(reflect.TypeFor[V]()); err != nil {
		return nil, fmt.Errorf("rcuhash: value type: %w", err)
	}
	var n node[V]
	m.keyAt = unsafe.Sizeof(n)
	if m.str {
		if m.keyAt >= page.Size<<page.MaxOrder {
			return nil, fmt.Errorf("rcuhash: value type: %d bytes, want less than %d with the key", unsafe.Sizeof(n.val), page.Size<<page.MaxOrder)
		}
	} else {
		if err := offheap.Check(kt); err != nil {
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
			return nil, fmt.Errorf("rcuhash: no memory for %d buckets", buckets)
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

// bucket returns the bucket of a hash. A closed map has no segments, and the
// check of the index, which there has to be, finds that: operations call bucket
// before they pin or lock anything.
func (m *Map[K, V]) bucket(h uint64, op string) *bucket[V] {
	i := h & m.mask
	per := uint64(m.perSegment())
	if i/per >= uint64(len(m.segments)) {
		panic(closedUse(op))
	}
	return (*bucket[V])(unsafe.Add(m.segments[i/per], i%per*8))
}

// closedUse is what an operation on a closed map panics with: a string, which
// the runtime can print even where the caller is pinned.
func closedUse(op string) string {
	return "quiesce/rcuhash: " + op + " of a closed map"
}

// stripe returns the stripe of a hash. It is chosen by bits of the bucket's
// number, so that a bucket belongs to one stripe.
func (m *Map[K, V]) stripe(h uint64) *stripe { return &m.stripes[h&m.mask%stripes] }

// bytes returns a key of kind string as a string.
func bytes[K comparable](k *K) string { return *(*string)(unsafe.Pointer(k)) }

// is reports whether n is the node of key k, whose hash is h.
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
	h := m.hash(k)
	for n := m.bucket(h, "Get").LoadRaw(); n != nil; n = n.next.LoadRaw() { // ord:link
		if m.is(n, h, &k) {
			return &n.val
		}
	}
	return nil
}

// findLocked returns the node of k, whose bucket is link, and the link to it.
// If k is not in the map, the node is nil and the link is the last one of the
// list. The stripe is locked.
func (m *Map[K, V]) findLocked(link *bucket[V], h uint64, k *K) (*bucket[V], *node[V]) {
	for {
		n := link.LoadProtected(true) // ord:link
		if n == nil || m.is(n, h, k) {
			return link, n
		}
		link = &n.next
	}
}

// size returns the size of a node in bytes.
func (m *Map[K, V]) size(klen uint32) int {
	if m.str {
		return int(m.keyAt) + int(klen)
	}
	var k K
	return int(m.keyAt + unsafe.Sizeof(k))
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
	klen := 0
	if m.str {
		klen = len(bytes(&k))
	}
	if klen > maxSize {
		return false
	}
	h := m.hash(k)
	b := m.bucket(h, "Put")
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
	link, old := m.findLocked(b, h, &k)
	if old != nil {
		n.next.Store(old.next.LoadProtected(true)) // ord:link
	} else {
		n.next.Store(nil) // ord:link
		s.len.Add(1)      // ord:stat
	}
	link.Store(n) // publish the node; pairs with Get's loads; ord:link
	s.mu.UnlockIRQ()
	m.retire(old)
	return true
}

// Delete removes k and reports whether it was in the map.
//
// Context: any.
func (m *Map[K, V]) Delete(k K) bool {
	h := m.hash(k)
	b := m.bucket(h, "Delete")
	s := m.stripe(h)
	s.mu.LockIRQ()
	link, old := m.findLocked(b, h, &k)
	if old != nil {
		link.Store(old.next.LoadProtected(true)) // old keeps its link for readers that are on it; ord:link
		s.len.Add(-1)                            // ord:stat
	}
	s.mu.UnlockIRQ()
	m.retire(old)
	return old != nil
}

// retire frees an unlinked node after a grace period. It does not wait.
func (m *Map[K, V]) retire(n *node[V]) {
	if n != nil {
		m.heap.KfreeRCUSized(unsafe.Pointer(n), m.size(n.klen))
	}
}

// Range calls fn for every key until fn returns false. A key that is put or
// deleted while Range runs may or may not be seen. String keys are copies on the
// Go heap; values are in place, as in Get. fn may use the map, and may change it
// in ways that the read-side section allows: Delete, and PutFlags with
// [gfp.NoLocks].
//
// Context: any that fn allows.
func (m *Map[K, V]) Range(g rcu.Guard, fn func(k K, v *V) bool) {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	for i := range m.mask + 1 {
		for n := m.bucket(i, "Range").LoadRaw(); n != nil; n = n.next.LoadRaw() { // ord:link
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

// Len returns the number of keys. While others change the map, it is
// approximate.
//
// Context: any.
func (m *Map[K, V]) Len() int {
	n := int64(0)
	for i := range m.stripes {
		n += m.stripes[i].len.Load() // ord:stat
	}
	return int(n)
}

// Prepare makes the size classes for string keys of these lengths in bytes, so
// that PutFlags of such a key with [gfp.NoLocks] works in a raw atomic context.
// Maps with other keys have one size, which New prepares.
//
// Context: task; not pinned.
func (m *Map[K, V]) Prepare(lens ...int) error {
	m.bucket(0, "Prepare")
	for _, l := range lens {
		if err := m.heap.Prepare(m.size(uint32(l))); err != nil {
			return fmt.Errorf("rcuhash: %w", err)
		}
	}
	return nil
}

// Barrier waits until the memory of every node that was unlinked before the
// call is reclaimed.
//
// Context: task; not pinned, not in a read-side section.
func (m *Map[K, V]) Barrier() {
	m.bucket(0, "Barrier")
	m.heap.Barrier()
}

// Stats returns the statistics of the size classes that hold the nodes.
//
// Context: task; not pinned.
func (m *Map[K, V]) Stats() []slab.CacheStats { return m.heap.Stats() }

// Close frees the nodes and the buckets. The caller must make sure that no
// other goroutine uses the map, now or later: an operation on a closed map
// panics, except Len, which is 0, and Stats. Close returns [ErrClosed] if the
// map is already closed, and an error that names the leaked nodes if it finds
// any, which would be a bug of this package.
//
// Context: task; not pinned, not in a read-side section.
func (m *Map[K, V]) Close() error {
	if m.segments == nil {
		return ErrClosed
	}
	for i := range m.mask + 1 {
		b := m.bucket(i, "Close")
		for n := b.Swap(nil); n != nil; { // ord:link
			next := n.next.LoadProtected(true) // ord:link
			m.retire(n)
			n = next
		}
	}
	err := m.heap.Close()
	m.freeSegments()
	for i := range m.stripes {
		m.stripes[i].len.Store(0) // ord:stat
	}
	if err != nil {
		return fmt.Errorf("rcuhash: %w", err)
	}
	return nil
}
