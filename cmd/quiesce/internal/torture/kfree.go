package torture

import (
	"math/rand/v2"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/lock"
	"quiesce/slab"
)

// kobj is an object of the kfree part: a stamp, then words made of it. It is
// of the cache kcache, or of the heap, where sizes differ.
type kobj struct {
	id    atomic.Uint64 // unlike any other's, see kfreer.stamp
	not   atomic.Uint64 // ^id
	words atomic.Uint64 // words of 8 bytes in the object, these three included; ^ id
	first atomic.Uint64 // the first of the words that follow
}

// cached is what kcache has objects of. A kobj lies at its beginning.
type cached struct {
	k    kobj
	rest [4]uint64
}

const (
	kheader     = 3
	kwordsMin   = 4
	kwordsMax   = 512 // 4 KiB
	cachedWords = uint64(unsafe.Sizeof(cached{}) / 8)
)

// word i of an object with that stamp.
func stampWord(id uint64, i uint64) uint64 { return (id ^ i) * 0x9e3779b97f4a7c15 }

func (k *kobj) at(i uint64) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Add(unsafe.Pointer(k), i*8))
}

// ktable has the published objects. Readers and free'ers favour the first
// ones, so that they meet.
type ktable struct{ slot []slab.Pointer[kobj] }

func (t *ktable) pick(x uint32) uint32 {
	if x&3 == 0 {
		return x >> 2 % 16 % uint32(len(t.slot))
	}
	return x >> 2 % uint32(len(t.slot))
}

// kfreer is a thread that allocates, publishes and frees by RCU.
type kfreer struct {
	s     *session
	id    int
	rng   *rand.Rand
	raw   lock.Raw
	n     uint64
	where uint32 // the slot of op
	flags gfp.Flags
	size  uint64 // in words; 0: of kcache
	op    func() // replace, made once
	bulk  []*cached
	sheaf *slab.Sheaf[cached] // of op; nil: the cache itself

	ops, failed, stockErrors counter
	allocated, freed, direct counter // objects: freed by RCU, directly
	by                       [contexts]counter
}

func newKfreer(s *session, id int) *kfreer {
	k := &kfreer{s: s, id: id, rng: s.random("kfree", id)}
	k.op = k.replace
	return k
}

func (k *kfreer) run() {
	for n := 0; !k.s.stop.Load(); n++ {
		k.once()
		if n&255 == 0 {
			k.s.pause()
			if k.rng.IntN(4) == 0 {
				yield()
			}
		}
	}
}

// once replaces one object of the table, in a random context.
func (k *kfreer) once() {
	x := k.rng.Uint64()
	c := k.draw(x)
	if c == inTask && x>>58&31 == 0 {
		k.inBulk(1 + int(x>>59))
		return
	}
	k.by[c].inc()
	k.ops.inc()
	run(c, &k.raw, k.op)
}

// draw decides about an operation, and returns its context.
func (k *kfreer) draw(x uint64) (c int) {
	c = int(x & 15)
	if c >= contexts {
		c = inTask
	}
	k.where = k.s.table.pick(uint32(x >> 8))
	k.size = 0
	if x>>40&3 == 0 {
		k.size = kwordsMin + x>>42%16
		if x>>48&31 == 0 {
			k.size = kwordsMin + x>>42%(kwordsMax-kwordsMin+1)
		}
	}
	k.flags = gfp.NoWarn | [4]gfp.Flags{gfp.NoWait, gfp.Atomic, gfp.Atomic, gfp.NoWait}[x>>54&3]
	switch {
	case atomicContext(c):
		k.flags |= gfp.NoLocks
	case x>>56&3 == 0:
		k.flags |= gfp.NoLocks
	case c == inTask && x>>56&3 == 1:
		k.flags = gfp.Kernel | gfp.NoWarn
	}
	return c
}

// take allocates of kcache. A Sheaf must give what it has in stock.
//
// Context: any.
func (k *kfreer) take() *cached {
	if k.sheaf == nil {
		return k.s.kcache.Alloc(k.flags)
	}
	had := k.sheaf.Len()
	p := k.sheaf.Alloc(k.flags)
	if p == nil && had > 0 {
		k.stockErrors.inc()
	}
	return p
}

// replace is the operation itself, in any context.
func (k *kfreer) replace() {
	s := k.s
	var n *kobj
	if k.size == 0 {
		n = (*kobj)(unsafe.Pointer(k.take()))
	} else {
		n = (*kobj)(s.heap.Kmalloc(int(k.size)*8, k.flags))
	}
	if n == nil {
		k.failed.inc()
		if k.rng.Uint32()&1 == 0 {
			return // half of them free the old one anyway
		}
	} else {
		k.allocated.inc()
		if k.size == 0 {
			k.stamp(n, cachedWords, true)
		} else {
			k.stamp(n, k.size, false)
		}
	}
	if old := s.table.slot[k.where].Swap(n); old != nil {
		k.free(old)
	}
}

// stamp makes the object's words. The lowest bit of an id says where the
// object is from.
func (k *kfreer) stamp(n *kobj, words uint64, fromCache bool) {
	k.n++
	id := uint64(k.id+1)<<48 | k.n<<1
	if fromCache {
		id |= 1
	}
	n.id.Store(id)
	n.not.Store(^id)
	n.words.Store(words ^ id)
	n.at(kheader).Store(stampWord(id, kheader))
	n.at(words - 1).Store(stampWord(id, words-1))
	if words > 2*kwordsMin {
		n.at(words / 2).Store(stampWord(id, words/2))
	}
}

// free passes an unlinked object to FreeRCU.
//
// Context: any.
func (k *kfreer) free(o *kobj) {
	s := k.s
	fromCache := o.id.Load()&1 != 0
	plain := s.ops.freeRCUIsFree
	if s.p.plantUAF && k.rng.IntN(256) == 0 {
		s.planted.Add(1)
		plain = true
	}
	k.freed.inc()
	switch {
	case fromCache && k.sheaf != nil && plain:
		k.sheaf.Free((*cached)(unsafe.Pointer(o)))
	case fromCache && k.sheaf != nil:
		k.sheaf.FreeRCU((*cached)(unsafe.Pointer(o)))
	case fromCache && plain:
		s.kcache.Free((*cached)(unsafe.Pointer(o)))
	case fromCache:
		s.kcache.FreeRCU((*cached)(unsafe.Pointer(o)))
	case plain:
		s.heap.Kfree(unsafe.Pointer(o))
	default:
		s.heap.KfreeRCU(unsafe.Pointer(o))
	}
}

// inBulk allocates and frees objects that no other thread sees.
func (k *kfreer) inBulk(n int) {
	k.bulk = append(k.bulk[:0], make([]*cached, n)...)
	got := k.s.kcache.AllocBulk(k.flags, k.bulk)
	if got < n {
		k.failed.inc()
	}
	for _, o := range k.bulk[:got] {
		k.stamp(&o.k, cachedWords, true)
	}
	for _, o := range k.bulk[:got] {
		if id := o.k.id.Load(); o.k.not.Load() != ^id || id>>48 != uint64(k.id+1) {
			k.s.bulkErrors.Add(1) // two owners
		}
	}
	k.s.kcache.FreeBulk(k.bulk[:got])
	k.allocated.Store(k.allocated.Load() + uint64(got))
	k.direct.Store(k.direct.Load() + uint64(got))
}

// kbegin reads an object of the table, for a reader inside of a section.
func (s *session) kbegin(v *view, t *tally, x uint32) {
	if len(s.table.slot) == 0 {
		return
	}
	v.kwhere = s.table.pick(x)
	if v.kobj = s.table.slot[v.kwhere].Load(); v.kobj != nil {
		v.kid = v.kobj.id.Load()
		s.kcheck(v, t, nil)
	}
}

// kfinish reads the same object once more, in the same section.
func (s *session) kfinish(v *view, t *tally, pl *plan) {
	t.kreads.inc()
	s.kcheck(v, t, pl)
}

func (s *session) kcheck(v *view, t *tally, pl *plan) {
	k, id := v.kobj, v.kid
	if now := k.id.Load(); now != id {
		t.note(wrongStamp, id, now, v, pl)
		return
	}
	words := k.words.Load() ^ id
	if k.not.Load() != ^id || words < kwordsMin || words > kwordsMax {
		t.note(wrongStamp, ^id, k.not.Load(), v, pl)
		return
	}
	for _, i := range [...]uint64{kheader, words / 2, words - 1} {
		if i == words/2 && words <= 2*kwordsMin {
			continue
		}
		if w := k.at(i).Load(); w != stampWord(id, i) {
			t.note(wrongStamp, stampWord(id, i), w, v, pl)
			return
		}
	}
}

// drain frees what is still in the table.
func (k *kfreer) drain() {
	for i := range k.s.table.slot {
		if o := k.s.table.slot[i].Swap(nil); o != nil {
			k.free(o)
		}
	}
}
