package rcuhash

import (
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/nodes"
	"quiesce/internal/pages"
	"quiesce/page"
	"quiesce/rcu"
)

// What package cache needs of a map: package internal/nodes declares it, this file
// provides it.

func init() {
	nodes.Of = func(m any) nodes.Index { return m.(interface{ nodes() nodes.Index }).nodes() }
	nodes.WithHead = func(h nodes.Head) any { return Option(func(c *config) { c.head = h }) }
}

func (m *Map[K, V]) nodes() nodes.Index { return (*bridge[K])(&m.x) }
func (m *Bytes[K]) nodes() nodes.Index  { return (*bridge[K])(&m.x) }

// bridge is an index as internal/nodes sees it.
type bridge[K comparable] index[K]

func (b *bridge[K]) x() *index[K] { return (*index[K])(b) }

func (b *bridge[K]) Hash(k unsafe.Pointer) uint64         { return b.x().hash((*K)(k)) }
func (b *bridge[K]) Find(k unsafe.Pointer) unsafe.Pointer { return b.x().get((*K)(k)) }
func (b *bridge[K]) Free(n unsafe.Pointer)                { b.freeNode(n) }
func (b *bridge[K]) Retire(n unsafe.Pointer)              { b.retire(n) }
func (b *bridge[K]) Size(n unsafe.Pointer) int            { return b.shape.size(n) + b.headOf(n) }
func (b *bridge[K]) ValueAt() uintptr                     { return b.shape.valAt }

func (b *bridge[K]) Value(n unsafe.Pointer) (unsafe.Pointer, int) {
	v := b.shape.value(n)
	return unsafe.Pointer(unsafe.SliceData(v)), len(v)
}

func (b *bridge[K]) KeyOf(n, k unsafe.Pointer) { *(*K)(k) = b.x().keyOf(n) }

// lens returns the lengths of a key, if that varies.
func (b *bridge[K]) lens(k unsafe.Pointer) int {
	if b.shape.kind == stringKey {
		return len(text((*K)(k)))
	}
	return 0
}

func (b *bridge[K]) TooLarge(k unsafe.Pointer, vlen int) bool {
	klen := b.lens(k)
	return klen > maxSize || vlen > maxValue || b.shape.sizeFor(klen, vlen)+b.head.Most > page.Size<<page.MaxOrder
}

func (b *bridge[K]) New(k unsafe.Pointer, vlen, head int, flags uint32) unsafe.Pointer {
	if b.TooLarge(k, vlen) {
		return nil
	}
	s, klen := &b.shape, b.lens(k)
	n := b.allocNode(head, s.sizeFor(klen, vlen), gfp.Flags(flags))
	if n != nil {
		writeKey(s, n, (*K)(k), vlen)
	}
	return n
}

// writeKey writes the key of a new node, and the lengths that it has.
func writeKey[K comparable](s *shape, n unsafe.Pointer, k *K, vlen int) {
	switch {
	case s.lens:
		t := text(k)
		at := unsafe.Add(n, setLengths(n, len(t), vlen))
		copy(unsafe.Slice((*byte)(at), len(t)), t)
	case s.vlen:
		*(*uint32)(n) = uint32(vlen)
		*(*K)(unsafe.Add(n, s.keyAt)) = *k
	case s.kind == stringKey:
		t := text(k)
		*(*uint32)(n) = uint32(len(t))
		copy(unsafe.Slice((*byte)(unsafe.Add(n, s.keyAt)), len(t)), t)
	default:
		*(*K)(unsafe.Add(n, s.keyAt)) = *k
	}
}

func (b *bridge[K]) Install(h uint64, k, n unsafe.Pointer, absent bool) (old unsafe.Pointer, stored, ok bool) {
	x := b.x()
	old, stored, ok = x.install(h, (*K)(k), n, condition{absent: absent}, gfp.NoLocks|gfp.NoWarn)
	if stored {
		size, keys := x.varying(n), int64(1)
		if old != nil {
			size, keys = size-x.varying(old), 0
		}
		x.counts.add(shardOf(uint32(h)), keys, size)
	}
	return old, stored, ok
}

// shardOf makes of the part of a hash that Remove has what counts.add chooses by.
func shardOf(hash uint32) uint64 { return uint64(hash) << 32 }

func (b *bridge[K]) Holds(hash uint32, n unsafe.Pointer) bool {
	t, h := b.open("Holds"), uint64(hash)
	first, meta := b.begin(t, h)
	for first != nil {
		if in, _ := b.slotOf(first, n); in != nil {
			return true
		}
		t, first, meta = b.missed(t, h, first, meta)
	}
	return false
}

// slotOf returns the bucket and the slot of node n in a chain, or nil and -1. Only
// where the chain is locked nothing moves.
func (b *bridge[K]) slotOf(in *bucket, n unsafe.Pointer) (*bucket, int) {
	r := b.refOf(n)
	for ; in != nil; in = b.next(in) {
		for s := range slots {
			if loadRef(&in.refs[s]) == r { // ord:entry
				return in, s
			}
		}
	}
	return nil, -1
}

func (b *bridge[K]) Remove(hash uint32, n unsafe.Pointer) bool {
	l := b.lockFor(uint64(hash))
	in, slot := b.slotOf(l.b, n)
	if in == nil {
		b.unlock(l)
		return false
	}
	in.remove(slot)
	// Further buckets of chains can't be evicted: they leave as soon as they may,
	// with some room in the first so that they don't come back at once.
	gone := b.gatherLocked(l.b, slots-2)
	b.unlock(l)
	b.retireChain(gone)
	b.counts.add(shardOf(hash), -1, -b.varying(n))
	return true
}

func (b *bridge[K]) Grow() bool {
	keys, _ := b.counts.sum()
	b.x().resized(keys)
	return !b.table.Load().crowded(keys) // ord:table
}

func (b *bridge[K]) MakeRoom(again bool) bool {
	if again {
		b.x().awaitRoom()
		return b.stock()
	}
	return b.x().makeRoom(gfp.NoWait) || b.stock()
}

func (b *bridge[K]) NodeBytes() int64 { return b.bytes() - b.counts.lines.Load()*int64(bucketSize) } // ord:stat

func (b *bridge[K]) Heap() any { return b.heap }

func (b *bridge[K]) Barrier() {
	b.barrier()
	b.heap.Shrink()
	if b.tables != b.heap {
		b.tables.Barrier()
		b.tables.Shrink()
	}
}

func (b *bridge[K]) Len() int { return b.len() }

func (b *bridge[K]) Memory() (n int64) {
	n = pages.HeapBytes(b.heap)
	if b.tables != b.heap {
		n += pages.HeapBytes(b.tables)
	}
	return n + b.counts.paged.Load()*int64(bucketSize) // ord:stat
}

func (b *bridge[K]) Walk(fn func(n unsafe.Pointer), after func() bool) {
	var w walk
	for more := true; more; {
		rcu.Read(func(rcu.Guard) {
			t := b.open("All")
			for n := 0; more && n < sectionKeys; n += len(w.nodes) + 1 {
				if more = b.x().step(&w, t); more {
					for _, node := range w.nodes {
						fn(node)
					}
				}
			}
		})
		more = after() && more
	}
}
