package rcuhash

import (
	"unsafe"

	"quiesce/gfp"
	"quiesce/rcu"
)

// Op is what the function passed to Compute wants done.
type Op int

const (
	Keep    Op = iota // leave the map as it is
	Replace           // set the value, new or not
	Remove            // delete the key, if it is there
)

// Compute calls fn with the value of k, or nil, and does what fn returns, if the
// entry is still the one that fn saw; otherwise, and in the rare case that a new
// entry finds its bucket full, it calls fn again. fn runs in a
// read-side section and under no lock, must not write to *old, and must not wait
// for memory or for a grace period. Compute returns false, and leaves the map
// unchanged, if there is no memory for a new value. It may wait for memory before
// it calls fn.
//
// Context: task; not pinned, not in a read-side section.
func (m *Map[K, V]) Compute(k K, fn func(old *V) (V, Op)) bool {
	m.x.open("Compute")
	if m.x.isWide() {
		return m.computeWide(k, fn)
	}
	h := m.x.hash(&k)
	n := m.newNode(&k, gfp.Kernel|gfp.NoWarn)
	defer func() { m.x.freeNode(n) }()
	return m.x.attempts(h, func() (a attempt) {
		g := rcu.ReadLock()
		defer g.Unlock()
		old := m.x.lookup(m.x.open("Compute"), h, &k)
		v, op := fn(m.valueOf(old))
		switch {
		case op == Replace && n == nil:
			return attempt{done: true}
		case op == Replace:
			*m.valueOf(n) = v
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

// computeWide is Compute of a map with wide buckets.
func (m *Map[K, V]) computeWide(k K, fn func(old *V) (V, Op)) bool {
	x, h, word := &m.x, m.x.hash(&k), integer(&k)
	return x.attempts(h, func() attempt {
		g := rcu.ReadLock()
		defer g.Unlock()
		old := x.lookupWide(x.open("Compute"), h, word)
		v, op := fn(m.valueOf(old))
		switch {
		case op == Replace:
			_, stored, ok := x.putWide(h, word, wordOf(&v), condition{absent: old == nil, old: old}, gfp.NoLocks|gfp.NoWarn)
			if !stored {
				return attempt{noRoom: !ok}
			}
			if old == nil {
				return attempt{done: true, ok: true, keys: 1}
			}
		case op == Remove && old != nil:
			if x.removeWide(h, word, old, false) == nil {
				return attempt{}
			}
			return attempt{done: true, ok: true, keys: -1}
		}
		return attempt{done: true, ok: true}
	})
}

// attempt is one of Compute's: what fn wants is done if the entry is still the one
// that it saw. fn runs in a read-side section, so memory comes from before, and
// what has to wait is left for after.
type attempt struct {
	done, ok bool
	noRoom   bool // not done for lack of a bucket
	keys     int64
	bytes    int64
}

// swapIn stores n, of which Compute's fn saw the old node, or none.
func (x *index[K]) swapIn(h uint64, k *K, n, old unsafe.Pointer) attempt {
	size := x.varying(n)
	_, stored, ok := x.install(h, k, n, condition{absent: old == nil, old: old}, gfp.NoLocks|gfp.NoWarn)
	if !stored {
		return attempt{noRoom: !ok}
	}
	if old == nil {
		return attempt{done: true, ok: true, keys: 1, bytes: size}
	}
	size -= x.varying(old)
	x.retire(old)
	return attempt{done: true, ok: true, bytes: size}
}

// takeOut removes the node that Compute's fn saw.
func (x *index[K]) takeOut(h uint64, k *K, old unsafe.Pointer) attempt {
	size := x.varying(old)
	if x.remove(h, k, old) == nil {
		return attempt{}
	}
	x.retire(old)
	return attempt{done: true, ok: true, keys: -1, bytes: -size}
}

// attempts runs try until that is done.
func (x *index[K]) attempts(h uint64, try func() attempt) bool {
	for refused := 0; ; {
		a := try()
		if a.keys != 0 || a.bytes != 0 {
			x.resized(x.counts.add(h, a.keys, a.bytes))
		}
		if a.done {
			return a.ok
		}
		if a.noRoom && !x.makeRoom(gfp.NoWait) {
			if refused++; !x.stock() || refused > maxChain {
				return false
			}
		}
	}
}

// stock waits for memory for a bucket and, in a map with wide buckets, a node. The next
// try then finds it without waiting.
func (x *core) stock() bool {
	p := x.allocBuckets(1, gfp.Kernel)
	x.free(p)
	if p == nil || !x.isWide() {
		return p != nil
	}
	n := x.allocNode(0, entrySize, gfp.Kernel)
	x.freeNode(n)
	return n != nil
}
