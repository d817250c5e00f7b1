package rcuhash

import (
	"errors"
	"fmt"
	"unsafe"

	"quiesce/internal/pages"
	"quiesce/lock"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/slab"
)

// smallMap is up to how many bytes, going by the size given to New, a map has no
// heap of its own: a heap costs several KiB. Untuned.
const smallMap = 64 << 10

// smallMaps is the heap that the small maps of an allocator share. It is closed
// with the last of them, so that the allocator can be closed.
type smallMaps struct {
	mu   lock.Mutex
	heap *slab.Heap // protected by mu, as is the next
	maps int
}

// smallMapsOf returns that of an allocator.
func smallMapsOf(core *pages.Core) *smallMaps {
	if s := core.SmallMaps.Load(); s != nil { // ord:publish
		return s.(*smallMaps)
	}
	s := new(smallMaps)
	s.mu.Init("rcuhash.small.mu")
	core.SmallMaps.CompareAndSwap(nil, s)     // ord:publish
	return core.SmallMaps.Load().(*smallMaps) // ord:publish
}

// join returns the heap, for one map more.
func (s *smallMaps) join(a *page.Allocator) *slab.Heap {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.maps == 0 {
		s.heap = newHeap(a, "small-maps")
	}
	s.maps++
	return s.heap
}

// newHeap makes a heap for what maps refer to by its offset.
func newHeap(a *page.Allocator, name string) *slab.Heap {
	h := slab.NewHeap(a, slab.FineClasses(), slab.HeapName(name))
	pages.Unguarded(h)
	return h
}

// leave is called for a map that is closed.
func (s *smallMaps) leave() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.maps--; s.maps > 0 {
		return nil
	}
	return s.heap.Close()
}

// forget is leave for a map that was dropped. The heap is dropped with the last of them.
func (s *smallMaps) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.maps--; s.maps == 0 {
		s.heap = nil
	}
}

// openHeap gives the map a heap, that for small maps or its own, with the size
// classes that it needs.
func (x *core) openHeap(size int) error {
	node := 64 // of unknown size: a guess
	sizes := []int{bucketSize, smallBuckets << x.shift()}
	if x.shape.kind != stringKey && !x.shape.vlen {
		node = x.shape.fixed() + x.head.Least
		sizes = append(sizes, node)
	}
	if size <= smallMap/node && !x.owned() {
		x.small = smallMapsOf(pages.CoreOf(x.pages))
		x.heap = x.small.join(x.pages)
	} else {
		x.heap = newHeap(x.pages, x.label)
	}
	x.tables = x.heap
	if x.owned() {
		x.tables = newHeap(x.pages, x.label+"-table")
		sizes, tables := sizes[2:], sizes[:2]
		return x.prepare(x.tables.Prepare(tables...), x.heap.Prepare(sizes...))
	}
	return x.prepare(x.heap.Prepare(sizes...))
}

// prepare ends openHeap.
func (x *core) prepare(errs ...error) error {
	if err := errors.Join(errs...); err != nil {
		_ = x.closeHeap() // nothing was allocated
		return fmt.Errorf("rcuhash: %w", err)
	}
	return nil
}

// closeHeap ends the map's use of its heap, which has nothing more of the map.
func (x *core) closeHeap() error {
	if x.small != nil {
		return x.small.leave()
	}
	err := x.heap.Close()
	if x.tables != x.heap {
		err = errors.Join(err, x.tables.Close())
	}
	return err
}

// freeAll gives all memory back: the nodes and the buckets of the last table.
func (x *core) freeAll(t *table) error {
	if wholesale && x.small == nil {
		rcu.Synchronize() // for readers that have a value
		x.freeTable(t)
		err := pages.DiscardHeap(x.heap)
		if x.tables != x.heap {
			err = errors.Join(err, pages.DiscardHeap(x.tables))
		}
		return err
	}
	x.freeEach(t)
	return x.closeHeap()
}

// freeEach frees the nodes and the buckets of the last table one by one.
func (x *core) freeEach(t *table) {
	for i := range t.mask + 1 {
		if b := t.bucketAt(x.base, i); b != nil {
			c, rest := b, x.second(b)
			if x.isWide() {
				c = rest
			}
			for ; c != nil; c = x.next(c) {
				for s := range slots {
					x.retire(x.node(c, s))
				}
			}
			x.retireChain(rest)
		}
	}
	if t.isSmall() {
		x.retireSmall(t)
	} else {
		rcu.Synchronize()
		x.freeTable(t)
	}
}

// retireSmall frees the buckets of a small table after a grace period.
func (x *core) retireSmall(t *table) {
	x.counts.lines.Add(-x.linesOf(smallBuckets)) // ord:stat
	x.tables.KfreeRCUSized(unsafe.Pointer(t.bucketAt(x.base, 0)), smallBuckets<<x.shift())
}
