package rcuhash

import (
	"fmt"
	"math/bits"
	"reflect"
	"runtime"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/sys"
	"quiesce/page"
	"quiesce/rcu"
)

// init makes an empty index for nodes of a shape.
func (x *index[K]) init(size int, s shape, opts []Option) error {
	cfg := config{name: "map"}
	for _, o := range opts {
		o(&cfg)
	}
	if cfg.pages == nil {
		cfg.pages = page.Default()
	}
	if size < 0 || size > maxSize {
		return fmt.Errorf("rcuhash: size %d is out of range, want 0 to %d", size, maxSize)
	}
	if err := checkKey(reflect.TypeFor[K]()); err != nil {
		return err
	}
	x.shape = s
	x.seeds = newSeeds()
	x.pages, x.head = cfg.pages, cfg.head
	if wideBuckets && s.kind == wordKey && s.small && !x.owned() && !cfg.narrow {
		x.shape.kind, x.shape.keyAt = wideKey, entryKey
	}
	x.base = pages.CoreOf(cfg.pages).Base
	x.dep.Init("rcuhash.bucket")
	if x.label = cfg.name; !x.owned() {
		x.label = known.Enter(&x.core, cfg.name)
	}
	if err := x.openHeap(size); err != nil {
		x.forget()
		return err
	}
	if !x.firstTable(max(smallBuckets/2, x.bucketsFor(size))) {
		_ = x.closeHeap()
		x.forget()
		return fmt.Errorf("rcuhash: no memory for %d keys", size)
	}
	if !x.owned() { // a cache closes its own
		runtime.SetFinalizer(x, (*index[K]).forgotten)
	}
	return nil
}

// firstTable makes a table of live buckets, at least so many.
func (x *index[K]) firstTable(buckets int) bool {
	n := uint64(1) << (bits.Len(uint(buckets)) - 1)
	if buckets <= blockBuckets {
		n = 1 << bits.Len(uint(buckets-1))
		if n > smallBuckets/2 {
			n = max(n, runBuckets)
		}
		buckets = int(n)
	}
	t := x.newTable(n, n, int64(buckets))
	t.cursor.Store(int64(buckets) - int64(t.n)) // ord:cursor
	for i := range uint64(buckets) {
		if !x.ensure(t, i, gfp.Kernel|gfp.NoWarn) {
			x.freeTable(t)
			return false
		}
		by := n // its parent, or itself, is split
		if i < n && i+n >= uint64(buckets) {
			by = n / 2
		}
		t.bucketAt(x.base, i).becomeLive(by, i)
	}
	t.ready(uint64(buckets))
	if t.n >= largeBuckets {
		x.counts.widen()
	}
	x.table.Store(t) // ord:table
	return true
}

// freeTable frees the blocks of a table that nobody uses.
func (x *core) freeTable(t *table) {
	for i := uint64(0); i < 2*t.n; {
		first, n := t.blockOf(i)
		if off := t.dir[first].at.Load(); off != 0 { // ord:run
			x.freeBlock(unsafe.Add(x.base, off), n)
		}
		i += uint64(n)
	}
}

// lookupKey is lookup for a string key that the caller has as bytes.
func (x *core) lookupKey(k []byte) unsafe.Pointer {
	if x.shape.kind != stringKey {
		panic("quiesce/rcuhash: GetKey of a map whose keys are not strings")
	}
	return x.lookupString(unsafe.String(unsafe.SliceData(k), len(k)), "GetKey")
}

// store installs node n, and counts it. It frees n if that was not stored, and
// returns the node that was in its place otherwise.
func (x *index[K]) store(h uint64, k *K, n unsafe.Pointer, cond condition, f gfp.Flags) (old unsafe.Pointer, stored, ok bool) {
	size := x.varying(n)
	for old, stored, ok = x.install(h, k, n, cond, f); !ok && x.makeRoom(f); {
		old, stored, ok = x.install(h, k, n, cond, f)
	}
	if !stored {
		x.freeNode(n)
		return nil, false, ok
	}
	x.stored(h, old, size, f)
	return old, true, true
}

// stored counts a node of that varying size, which is in place of old or, if
// that is nil, of none, and grows the map as far as f allows.
func (x *index[K]) stored(h uint64, old unsafe.Pointer, size int64, f gfp.Flags) {
	if old != nil {
		if size -= x.varying(old); size != 0 {
			x.counts.add(h, 0, size)
		}
		return
	}
	if keys := x.counts.add(h, 1, size); x.table.Load().crowded(keys) { // ord:table
		x.grow(keys, f&^gfp.Kernel|gfp.NoWarn)
	}
}

// retireOld retires the node of a value that was replaced. n may be nil. Wide buckets
// see to theirs.
func (x *core) retireOld(n unsafe.Pointer) {
	if !x.isWide() {
		x.retire(n)
	}
}

// delete removes the entry of k, if it is old or old is nil, and retires its
// node. It returns that, or nil.
func (x *index[K]) delete(h uint64, k *K, old unsafe.Pointer) unsafe.Pointer {
	if x.isWide() {
		return x.deleteWide(h, integer(k), old, false)
	}
	n := x.remove(h, k, old)
	if n == nil {
		return nil
	}
	if keys := x.counts.add(h, -1, -x.varying(n)); x.table.Load().isSparse(keys) { // ord:table
		x.shrink(keys)
	}
	x.retire(n)
	return n
}

// resized grows or shrinks the map after a change that made it so many keys.
func (x *index[K]) resized(keys int64) {
	switch t := x.table.Load(); { // ord:table
	case t.crowded(keys):
		x.grow(keys, gfp.NoWait|gfp.NoWarn)
	case t.isSparse(keys):
		x.shrink(keys)
	}
}

// varies reports whether nodes differ in size.
func (x *core) varies() bool { return x.shape.kind == stringKey || x.shape.vlen || x.owned() }

// varying returns the size of a node, or 0 if all have the same.
func (x *core) varying(n unsafe.Pointer) int64 {
	if !x.varies() {
		return 0
	}
	return int64(alignUp(uintptr(x.shape.size(n)+x.headOf(n)), 16))
}

// keyOf returns the key of a node; a string is copied.
func (x *index[K]) keyOf(n unsafe.Pointer) (k K) {
	if x.shape.kind == stringKey {
		*(*string)(unsafe.Pointer(&k)) = string([]byte(x.shape.key(n)))
		return k
	}
	return *(*K)(unsafe.Add(n, x.shape.keyAt))
}

// sectionKeys is about how many keys a section of Range has. Untuned.
const sectionKeys = 64

// sections calls fn for every node, in a read-side section each for a few.
func (x *index[K]) sections(fn func(k K, n unsafe.Pointer) bool) {
	var w walk
	for more := true; more; {
		rcu.Read(func(rcu.Guard) {
			s := pages.BeginSection()
			defer s.End()
			t := x.open("Range")
			for n := 0; more && n < sectionKeys; n += len(w.nodes) + 1 {
				if more = x.step(&w, t); !more {
					return
				}
				for i, node := range w.nodes {
					if more = fn(x.keyIn(&w, i), node); !more {
						return
					}
				}
			}
		})
	}
}

// barrier waits until what was retired before is free.
func (x *core) barrier() {
	x.waitFreed()
	x.heap.Barrier()
}

func (x *core) len() int {
	keys, _ := x.counts.sum()
	return int(keys)
}

func (x *core) bytes() int64 {
	keys, n := x.counts.sum()
	if !x.varies() && !x.isWide() {
		n = keys * int64(alignUp(uintptr(x.shape.fixed()), 16))
	}
	return n + x.counts.lines.Load()*int64(bucketSize) // ord:stat
}

// clear removes all entries, a bucket at a time.
func (x *index[K]) clear() {
	var nodes []unsafe.Pointer
	for pos, ended := uint64(0), false; !ended; {
		h := bits.Reverse64(pos)
		l := x.lockFor(h)
		_, _, size := l.t.cover(x.base, h)
		if x.isWide() {
			x.clearWide(l)
		} else {
			gone := x.emptyLocked(l.b, &nodes)
			x.unlock(l)
			x.retireChain(gone)
		}
		for _, n := range nodes {
			x.counts.add(x.hashOf(n), -1, -x.varying(n))
			x.retire(n)
		}
		nodes = nodes[:0]
		width := uint64(1) << (64 - bits.TrailingZeros64(size))
		pos = pos&^(width-1) + width
		ended = pos == 0
	}
	for range x.table.Load().live() { // ord:table
		keys, _ := x.counts.sum()
		x.shrink(keys)
	}
}

// emptyLocked removes all entries of a locked chain. It returns the buckets that
// have left it, linked.
func (x *core) emptyLocked(b *bucket, nodes *[]unsafe.Pointer) (gone *bucket) {
	for c := b; c != nil; c = x.next(c) {
		for s := range slots {
			if n := x.node(c, s); n != nil {
				*nodes = append(*nodes, n)
				c.remove(s)
			}
		}
	}
	gone = x.next(b)
	storeRef(&b.over, 0) // ord:overflow
	return gone
}

func (x *index[K]) close() error {
	for x.resizing.Load() || x.waiting.Load() > 0 { // it may be making a table; ord:resizing
		sys.Sleep(100_000)
	}
	t := x.table.Swap(nil) // ord:table
	if t == nil {
		return ErrClosed
	}
	runtime.SetFinalizer(x, nil)
	x.forget()
	x.waitFreed()
	err := x.freeAll(t)
	x.counts.reset()
	if err != nil {
		return fmt.Errorf("rcuhash: %w", err)
	}
	return nil
}
