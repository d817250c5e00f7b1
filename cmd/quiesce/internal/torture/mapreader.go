package torture

import (
	"math/rand/v2"
	"time"

	"quiesce/preempt"
	"quiesce/rcu"
)

// mapReader is a thread that looks keys up, and walks.
type mapReader struct {
	m    *maps
	s    *session
	rng  *rand.Rand
	reg  *rcu.Reader
	last [ownedMaps][]uint64 // stamps of the keys that stay, as last seen
	seen []uint8             // how often the walk has seen each of these
	keys [batchKeys]uint32
	vals [batchKeys][]byte
	ids  [batchKeys]uint64

	wrong mapWrong // what is to be reported after the section

	finds, walks, walked counter
}

// mapWrong is the first thing that a section found wrong; what is "" if it found
// nothing.
type mapWrong struct {
	what      string
	table     int
	key       uint32
	want, got uint64
}

func newMapReader(m *maps, id int) *mapReader {
	r := &mapReader{m: m, s: m.s, rng: m.s.random("map-reader", id), reg: rcu.NewReader()}
	for t := range r.last {
		r.last[t] = make([]uint64, m.s.p.mapStay)
	}
	r.seen = make([]uint8, m.s.p.mapStay)
	return r
}

func (r *mapReader) run() {
	defer r.reg.Close()
	for n := 0; !r.s.stop.Load(); n++ {
		x := r.rng.Uint64()
		if x&0x3ff == 0 {
			r.walk(x >> 10)
		} else {
			r.look(x >> 10)
		}
		if w := r.wrong; w.what != "" {
			r.wrong = mapWrong{}
			r.s.fail("maps: "+w.what, "map %d, key %d: %d, want %d", w.table, w.key, int64(w.got), w.want)
		}
		if n&63 == 0 {
			r.s.pause()
		}
	}
}

// found notes what a section found wrong.
//
// Context: any.
func (r *mapReader) found(what string, t int, k uint32, want, got uint64) {
	if r.wrong.what == "" {
		r.wrong = mapWrong{what, t, k, want, got}
	}
}

// look looks keys up in one section, and reads what it found once more in the
// end.
func (r *mapReader) look(x uint64) {
	t := int(x % uint64(len(r.m.table)))
	keys := uint32(r.s.p.mapKeys)
	if t == ownedMaps {
		keys = min(keys, wildKeys)
	}
	n := 1 + int(x>>8%batchKeys)
	for i := range n {
		y := r.rng.Uint32()
		if r.keys[i] = y >> 3 % keys >> (y & 7); y&0x7000_0000 == 0 && len(r.seen) > 0 {
			r.keys[i] = y >> 3 % uint32(len(r.seen)) % keys
		}
	}
	look := func(g rcu.Guard, nap func()) {
		r.read(g, t, n, x>>40)
		if x>>16&0x3ff == 0 {
			nap()
		}
		r.again(t, n)
	}
	switch x >> 32 & 3 {
	case 0:
		p := preempt.Disable()
		g := rcu.ReadLock()
		look(g, func() { spin(20 * time.Microsecond) })
		g.Unlock()
		p.Enable()
	case 1:
		g := r.reg.ReadLock()
		look(g, yield)
		g.Unlock()
	default:
		g := rcu.ReadLock()
		look(g, yield)
		g.Unlock()
	}
}

// read looks n keys up, one by one or at once.
//
// Context: any, in a section.
func (r *mapReader) read(g rcu.Guard, t, n int, x uint64) {
	tab := r.m.table[t]
	if x&3 == 0 {
		tab.batch(g, r.keys[:n], r.vals[:n])
	} else {
		for i := range n {
			r.vals[i] = tab.get(g, r.keys[i])
		}
	}
	for i, k := range r.keys[:n] {
		r.finds.inc()
		r.ids[i] = 0
		if r.vals[i] != nil {
			r.ids[i] = r.whole(t, k, r.vals[i])
		}
		r.stays(t, k, r.ids[i])
	}
}

// again reads the values once more: they have not changed.
//
// Context: any, in the same section.
func (r *mapReader) again(t, n int) {
	for i, k := range r.keys[:n] {
		if r.vals[i] != nil {
			if id := r.whole(t, k, r.vals[i]); id != r.ids[i] {
				r.found("a value changed in a section", t, k, r.ids[i], id)
			}
			r.vals[i] = nil
		}
	}
}

// whole returns the stamp of a value.
func (r *mapReader) whole(t int, k uint32, v []byte) uint64 {
	stamp, whole := stampOf(r.m.table[t], k, v)
	if !whole {
		r.found("a torn value", t, k, 0, stamp)
	}
	return stamp
}

// stays checks what was found of a key, 0 for nothing, if it is one that stays.
func (r *mapReader) stays(t int, k uint32, stamp uint64) {
	if t >= ownedMaps || int(k) >= len(r.seen) {
		return
	}
	switch last := r.last[t][k]; {
	case stamp == 0:
		r.found("a key that stays was not found", t, k, last, 0)
	case stamp < last:
		r.found("a key went back", t, k, last, stamp)
	default:
		r.last[t][k] = stamp
	}
}

// walk sees every key that stays once.
func (r *mapReader) walk(x uint64) {
	t := int(x % uint64(len(r.m.table)))
	tab := r.m.table[t]
	clear(r.seen)
	keys := uint64(0)
	see := func(k uint32, v []byte) bool {
		keys++
		stamp := r.whole(t, k, v)
		if t < ownedMaps && int(k) < len(r.seen) {
			r.seen[k]++
			r.stays(t, k, stamp)
		}
		return true
	}
	if x>>8&1 == 0 {
		tab.walk(see)
	} else {
		g := rcu.ReadLock()
		tab.all(g, see)
		g.Unlock()
	}
	r.walks.inc()
	r.walked.Store(r.walked.Load() + keys)
	for k, n := range r.seen {
		if t < ownedMaps && n != 1 {
			r.found("a walk did not see a key that stays once", t, uint32(k), 1, uint64(n))
		}
	}
}
