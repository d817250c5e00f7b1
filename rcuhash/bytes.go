package rcuhash

import (
	"fmt"
	"iter"
	"reflect"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/rcu"
	"quiesce/slab"
)

// Bytes is a [Map] with values of any length. A value lies in the node, without
// a header, and a reader gets a slice of it: valid until its guard is unlocked,
// and not to be written to.
type Bytes[K comparable] struct {
	x index[K]
}

// NewBytes makes a map that has room for about size keys, as New does. A key and
// its value take at most 2 MiB together, with 4 bytes for the lengths (8, if a
// string key has 255 bytes or more).
//
// Context: task; not pinned.
func NewBytes[K comparable](size int, opts ...Option) (*Bytes[K], error) {
	var k K
	s := shape{kind: kindOf(reflect.TypeFor[K]()), keyLen: unsafe.Sizeof(k)}
	if s.kind == stringKey {
		s.lens = true
	} else {
		s.vlen = true
		s.keyAt = alignUp(4, unsafe.Alignof(k))
		s.valAt = s.keyAt + s.keyLen
	}
	m := new(Bytes[K])
	if err := m.x.init(size, s, opts); err != nil {
		return nil, err
	}
	return m, nil
}

// Get returns the value of k, in place, and whether k is in the map. An empty
// value is not nil.
//
// Context: any.
func (m *Bytes[K]) Get(g rcu.Guard, k K) ([]byte, bool) {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	return m.valueOf(m.x.get(&k))
}

// GetKey is [Map.GetKey].
//
// Context: any.
func (m *Bytes[K]) GetKey(g rcu.Guard, k []byte) ([]byte, bool) {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	return m.valueOf(m.x.lookupKey(k))
}

// GetBatch is [Map.GetBatch]. A value that is not there is nil.
//
// Context: any.
func (m *Bytes[K]) GetBatch(g rcu.Guard, ks []K, vs [][]byte) {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	t := m.x.open("GetBatch")
	checkBatch(len(ks), len(vs))
	var b batch
	for len(ks) > 0 {
		n := min(len(ks), batchKeys)
		m.x.lookupBatch(t, ks[:n], &b)
		for i, node := range b.node[:n] {
			vs[i], _ = m.valueOf(node)
		}
		ks, vs = ks[n:], vs[n:]
	}
}

func (m *Bytes[K]) valueOf(n unsafe.Pointer) ([]byte, bool) {
	if n == nil {
		return nil, false
	}
	return m.x.shape.value(n), true
}

// newNode returns a node of k with room for a value of vlen bytes, or nil.
func (m *Bytes[K]) newNode(k *K, vlen int, f gfp.Flags) unsafe.Pointer {
	klen, s := 0, &m.x.shape
	if m.x.shape.kind == stringKey {
		klen = len(text(k))
	}
	if klen > maxSize || vlen > maxValue {
		return nil
	}
	n := m.x.allocNode(0, s.sizeFor(klen, vlen), f)
	if n == nil {
		return nil
	}
	if m.x.shape.kind == stringKey {
		at := unsafe.Add(n, setLengths(n, klen, vlen))
		copy(unsafe.Slice((*byte)(at), klen), text(k))
	} else {
		*(*uint32)(n) = uint32(vlen)
		*(*K)(unsafe.Add(n, s.keyAt)) = *k
	}
	return n
}

// Put sets the value of k to a copy of v. If there is no memory for it, or both
// are too long, Put returns false and leaves the map unchanged. It may wait for
// memory.
//
// Context: task; not pinned, not in a read-side section.
func (m *Bytes[K]) Put(k K, v []byte) bool { return m.PutFlags(k, v, gfp.Kernel) }

// PutFlags is [Map.PutFlags]; Prepare makes the size classes.
//
// Context: as the flags allow (see package gfp); any with gfp.NoLocks.
func (m *Bytes[K]) PutFlags(k K, v []byte, f gfp.Flags) bool {
	m.x.open("Put")
	old, _, ok := m.put(&k, v, condition{}, f)
	m.x.retire(old)
	return ok
}

func (m *Bytes[K]) put(k *K, v []byte, cond condition, f gfp.Flags) (old unsafe.Pointer, stored, ok bool) {
	h := m.x.hash(k)
	m.x.approach(h)
	n := m.newNode(k, len(v), f)
	if n == nil {
		return nil, false, false
	}
	copy(m.x.shape.value(n), v)
	return m.x.store(h, k, n, cond, f)
}

// PutIfAbsent is [Map.PutIfAbsent].
//
// Context: task; not pinned, not in a read-side section.
func (m *Bytes[K]) PutIfAbsent(k K, v []byte) (stored, ok bool) {
	m.x.open("PutIfAbsent")
	_, stored, ok = m.put(&k, v, condition{absent: true}, gfp.Kernel)
	return stored, ok
}

// Swap is [Map.Swap]. old is nil if k was not in the map.
//
// Context: task; not pinned.
func (m *Bytes[K]) Swap(g rcu.Guard, k K, v []byte) (old []byte, ok bool) {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	m.x.open("Swap")
	n, _, ok := m.put(&k, v, condition{}, gfp.NoWait)
	m.x.retire(n)
	old, _ = m.valueOf(n)
	return old, ok
}

// Compute is [Map.Compute]. old is nil if k is not in the map. The new value is
// copied, and may be part of the old one. For a value of a length that was not
// expected fn is called once more, with memory for it at hand.
//
// Context: task; not pinned, not in a read-side section.
func (m *Bytes[K]) Compute(k K, fn func(old []byte) ([]byte, Op)) bool {
	m.x.open("Compute")
	h := m.x.hash(&k)
	var n unsafe.Pointer // a node of k with a value of length have, or nil
	have, want := -1, -1
	defer func() { m.x.freeNode(n) }()
	return m.x.attempts(h, func() (a attempt) {
		if want >= 0 && have != want {
			m.x.freeNode(n)
			if n = m.newNode(&k, want, gfp.Kernel); n == nil {
				return attempt{done: true}
			}
			have = want
		}
		g := rcu.ReadLock()
		defer g.Unlock()
		old := m.x.lookup(m.x.open("Compute"), h, &k)
		was, _ := m.valueOf(old)
		v, op := fn(was)
		switch {
		case op == Replace && len(v) != have:
			want = len(v)
			return attempt{}
		case op == Replace:
			copy(m.x.shape.value(n), v)
			if a = m.x.swapIn(h, &k, n, old); a.done {
				n = nil
			}
			return a
		case op == Remove && old != nil:
			return m.x.takeOut(h, &k, old)
		}
		return attempt{done: true, ok: true}
	})
}

// Delete removes k and reports whether it was in the map.
//
// Context: any.
func (m *Bytes[K]) Delete(k K) bool {
	m.x.open("Delete")
	return m.x.delete(m.x.hash(&k), &k, nil) != nil
}

// LoadAndDelete is [Map.LoadAndDelete].
//
// Context: any.
func (m *Bytes[K]) LoadAndDelete(g rcu.Guard, k K) ([]byte, bool) {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	m.x.open("LoadAndDelete")
	return m.valueOf(m.x.delete(m.x.hash(&k), &k, nil))
}

// All is [Map.All].
//
// Context: any that the loop allows.
func (m *Bytes[K]) All(g rcu.Guard) iter.Seq2[K, []byte] {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	t := m.x.open("All")
	return func(yield func(K, []byte) bool) {
		for w := (walk{}); m.x.step(&w, t); {
			for _, n := range w.nodes {
				if !yield(m.x.keyOf(n), m.x.shape.value(n)) {
					return
				}
			}
		}
	}
}

// Range is [Map.Range].
//
// Context: any that fn allows.
func (m *Bytes[K]) Range(fn func(k K, v []byte) bool) {
	m.x.open("Range")
	m.x.sections(func(k K, n unsafe.Pointer) bool { return fn(k, m.x.shape.value(n)) })
}

// Len is [Map.Len].
//
// Context: any.
func (m *Bytes[K]) Len() int { return m.x.len() }

// Bytes is [Map.Bytes].
//
// Context: any.
func (m *Bytes[K]) Bytes() int64 { return m.x.bytes() }

// Clear is [Map.Clear].
//
// Context: task; not pinned.
func (m *Bytes[K]) Clear() {
	m.x.open("Clear")
	m.x.clear()
}

// Prepare makes the size classes for a key and a value that have these lengths in
// bytes, so that PutFlags with [gfp.NoLocks] works in a raw atomic context. The
// length of a key that is not a string is not looked at.
//
// Context: task; not pinned.
func (m *Bytes[K]) Prepare(key, value int) error {
	m.x.open("Prepare")
	if err := m.x.heap.Prepare(m.x.shape.sizeFor(key, value)); err != nil {
		return fmt.Errorf("rcuhash: %w", err)
	}
	return nil
}

// Barrier is [Map.Barrier].
//
// Context: task; not pinned, not in a read-side section.
func (m *Bytes[K]) Barrier() {
	m.x.open("Barrier")
	m.x.barrier()
}

// Stats is [Map.Stats].
//
// Context: task; not pinned.
func (m *Bytes[K]) Stats() []slab.CacheStats { return m.x.heap.Stats() }

// Close is [Map.Close].
//
// Context: task; not pinned, not in a read-side section.
func (m *Bytes[K]) Close() error { return m.x.close() }
