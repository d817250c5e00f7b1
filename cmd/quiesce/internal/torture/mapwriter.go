package torture

import (
	"math/rand/v2"

	"quiesce/gfp"
	"quiesce/lock"
	"quiesce/rcu"
	"quiesce/rcuhash"
)

// mapWriter is a thread that changes the maps.
type mapWriter struct {
	m     *maps
	s     *session
	id    int
	rng   *rand.Rand
	raw   lock.Raw
	stamp uint64
	buf   [8 * textWordsMost]byte
	known [ownedMaps][]uint64 // the stamp of each key that is this writer's; 0: not there
	span  uint32              // keys that come and go in this phase
	left  int                 // operations of the phase
	grows bool

	ops, puts, refused, deletes, clears, phases counter
}

func newMapWriter(m *maps, id int) *mapWriter {
	w := &mapWriter{m: m, s: m.s, id: id, rng: m.s.random("map", id)}
	for t := range w.known {
		w.known[t] = make([]uint64, m.s.p.mapKeys)
	}
	return w
}

func (w *mapWriter) run() {
	for n := 0; !w.s.stop.Load(); n++ {
		if w.left--; w.left < 0 {
			w.phase()
		}
		if x := w.rng.Uint64(); x&15 == 0 {
			w.wild(x >> 4)
		} else {
			w.owned(x >> 4)
		}
		if n&255 == 0 {
			w.s.pause()
			if w.rng.IntN(4) == 0 {
				yield()
			}
		}
	}
}

// phase begins to shrink, or to grow by a random number of keys. Before it grows,
// only the keys that stay are left.
func (w *mapWriter) phase() {
	w.phases.inc()
	if w.grows = !w.grows; w.grows {
		for t := range ownedMaps {
			for k := w.stay(); k < w.span && !w.s.stop.Load(); k++ {
				if w.m.owner(k) == w {
					w.delete(t, k, w.rng.Uint64())
				}
			}
		}
		most := uint32(w.s.p.mapKeys)
		w.span = min(w.stay()+uint32(len(w.m.writers)), most) // one of its own
		w.span += w.rng.Uint32N(most-w.span+1) >> w.rng.IntN(10)
	}
	w.left = 1 + int(w.span)*4/len(w.m.writers)
}

func (w *mapWriter) stay() uint32 { return uint32(w.s.p.mapStay) }

// key returns a key below n that is this writer's.
func (w *mapWriter) key(n uint32) uint32 {
	k := w.rng.Uint32N(n)
	k -= k % uint32(len(w.m.writers))
	if k += uint32(w.id); k >= n {
		k = uint32(w.id)
	}
	return k
}

// owned changes a key that is this writer's.
func (w *mapWriter) owned(x uint64) {
	t := int(x & 1)
	k := w.key(w.span)
	if x>>1&15 == 0 {
		k = w.key(w.stay())
	}
	switch {
	case k < w.stay() || (x>>5&3 != 0) == w.grows:
		w.put(t, k, x>>8)
	default:
		w.delete(t, k, x>>8)
	}
	if x>>16&15 == 0 {
		w.expect(t, k, "the owner's look-up")
	}
}

// value makes a value of the key, with the next stamp.
func (w *mapWriter) value(t mapTable, k uint32) []byte {
	w.stamp++
	v := w.buf[:8*t.words(k)]
	stampValue(v, k, w.stamp)
	return v
}

// first puts a key that stays.
func (w *mapWriter) first(t int, k uint32) bool {
	tab := w.m.table[t]
	for range 100 {
		if tab.put(k, w.value(tab, k), gfp.Kernel|gfp.NoWarn) {
			w.known[t][k] = w.stamp
			return true
		}
	}
	return false
}

// flags returns flags for an allocation in a context.
func (w *mapWriter) flags(c int, x uint64) gfp.Flags {
	switch {
	case atomicContext(c) || x&3 == 0:
		return gfp.NoLocks | gfp.NoWarn
	case c == inTask && x&3 == 1:
		return gfp.Kernel | gfp.NoWarn
	}
	return gfp.NoWait | gfp.NoWarn
}

// context picks one in which maps may be changed: mostly a plain task.
func (w *mapWriter) context(x uint64) int {
	if c := int(x & 31); c < contexts {
		return c
	}
	return inTask
}

// put replaces or inserts a key, in one of the ways in which that is done.
func (w *mapWriter) put(t int, k uint32, x uint64) {
	tab, was := w.m.table[t], w.known[t][k]
	v := w.value(tab, k)
	old, stored, ok := was, true, false
	how := ""
	switch x & 7 {
	case 0:
		how = "PutIfAbsent"
		if stored, ok = tab.putIfAbsent(k, v); ok && stored != (was == 0) {
			w.wrong(how, t, k, was, old)
		}
	case 1:
		how = "Swap"
		g := rcu.ReadLock()
		var p []byte
		p, ok = tab.swap(g, k, v)
		if old = w.read(tab, k, p); !ok {
			old = was
			if p != nil {
				old = noStamp
			}
		}
		g.Unlock()
	case 2, 3:
		how = "Compute"
		ok = tab.compute(k, func(p []byte) ([]byte, rcuhash.Op) {
			old = w.read(tab, k, p)
			return v, rcuhash.Replace
		})
	default:
		how = "Put"
		c := w.context(x >> 8)
		f := w.flags(c, x>>16)
		run(c, &w.raw, func() { ok = tab.put(k, v, f) })
	}
	w.ops.inc()
	w.puts.inc()
	if old != was {
		w.wrong(how, t, k, was, old)
	}
	switch {
	case !ok:
		w.refused.inc()
		w.expect(t, k, "after a refused "+how)
	case stored:
		w.known[t][k] = w.stamp
	}
}

// delete removes a key, which may not be there.
func (w *mapWriter) delete(t int, k uint32, x uint64) {
	tab, was := w.m.table[t], w.known[t][k]
	old, how := was, ""
	switch x & 7 {
	case 0:
		how = "LoadAndDelete"
		g := rcu.ReadLock()
		old = w.read(tab, k, tab.take(g, k))
		g.Unlock()
	case 1:
		how = "Compute"
		tab.compute(k, func(p []byte) ([]byte, rcuhash.Op) {
			old = w.read(tab, k, p)
			return nil, rcuhash.Remove
		})
	default:
		how = "Delete"
		was := false
		run(w.context(x>>8), &w.raw, func() { was = tab.remove(k) })
		if was != (old != 0) {
			old = noStamp
		}
	}
	w.ops.inc()
	w.deletes.inc()
	if old != was {
		w.wrong(how, t, k, was, old)
	}
	w.known[t][k] = 0
}

// noStamp is that of a torn value, or of a result that does not fit.
const noStamp = 1<<64 - 1

// read returns the stamp of a value, or 0.
//
// Context: any, in the value's section.
func (w *mapWriter) read(t mapTable, k uint32, v []byte) uint64 {
	if v == nil {
		return 0
	}
	stamp, whole := stampOf(t, k, v)
	if !whole {
		return noStamp
	}
	return stamp
}

// now is the stamp that a key has, or 0.
func (w *mapWriter) now(t mapTable, k uint32) uint64 {
	g := rcu.ReadLock()
	defer g.Unlock()
	return w.read(t, k, t.get(g, k))
}

// expect fails if a key is not what its owner knows.
func (w *mapWriter) expect(t int, k uint32, when string) {
	w.ops.inc()
	if now := w.now(w.m.table[t], k); now != w.known[t][k] {
		w.wrong(when, t, k, w.known[t][k], now)
	}
}

func (w *mapWriter) wrong(how string, t int, k uint32, want, got uint64) {
	w.s.fail("maps: "+how, "map %d, key %d: stamp %d, want %d (0: not there)", t, k, int64(got), want)
}

// wild changes a key of the map that all change.
func (w *mapWriter) wild(x uint64) {
	t := w.m.table[ownedMaps]
	k := uint32(x>>32) % min(wildKeys, uint32(w.s.p.mapKeys))
	if x&31 == 0 {
		k %= 4 // where they meet
	}
	v := w.value(t, k)
	got := uint64(0)
	w.ops.inc()
	switch x >> 5 & 7 {
	case 0:
		g := rcu.ReadLock()
		p, _ := t.swap(g, k, v)
		got = w.read(t, k, p)
		g.Unlock()
	case 1:
		g := rcu.ReadLock()
		got = w.read(t, k, t.take(g, k))
		g.Unlock()
	case 2:
		t.compute(k, func(old []byte) ([]byte, rcuhash.Op) {
			got = w.read(t, k, old)
			return v, rcuhash.Op(x >> 16 % 3)
		})
	case 3, 4:
		run(w.context(x>>16), &w.raw, func() { t.remove(k) })
	default:
		c := w.context(x >> 16)
		f := w.flags(c, x>>24)
		run(c, &w.raw, func() { t.put(k, v, f) })
	}
	if got == noStamp {
		w.wrong("a torn value", ownedMaps, k, w.stamp, got)
	}
	if x>>8&0xfff == 0 {
		w.clears.inc()
		t.Clear()
	}
}
