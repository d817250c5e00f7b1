package main

import (
	"hash/maphash"
	"sync"

	"github.com/alphadose/haxmap"
	"github.com/puzpuzpuz/xsync/v4"
)

// The maps on the Go heap. Each has one way to look up.

// A bare map, without any lock: reads only.

type bare[K key] struct{ m map[K]uint64 }

func newBare[K key](hint int) (table[K], error) { return bare[K]{make(map[K]uint64, hint)}, nil }

func (t bare[K]) ways() []way[K] { return []way[K]{{wayEach, t.hit, t.miss}} }

func (t bare[K]) hit(p probes[K]) (wrong int) {
	vals := p.vals[:len(p.keys)]
	for i, k := range p.keys {
		if v, ok := t.m[k]; !ok || v != vals[i] {
			wrong++
		}
	}
	return wrong
}

func (t bare[K]) miss(ks []K) (wrong int) {
	for _, k := range ks {
		if _, ok := t.m[k]; ok {
			wrong++
		}
	}
	return wrong
}

func (t bare[K]) put(p probes[K]) (refused int) {
	for i, k := range p.keys {
		t.m[k] = p.vals[i]
	}
	return 0
}

func (t bare[K]) del(ks []K) {
	for _, k := range ks {
		delete(t.m, k)
	}
}

func (t bare[K]) close() error { return nil }

// A map under an RWMutex.

type locked[K key] struct {
	mu sync.RWMutex
	m  map[K]uint64
}

func newLocked[K key](hint int) (table[K], error) {
	return &locked[K]{m: make(map[K]uint64, hint)}, nil
}

func (t *locked[K]) ways() []way[K] { return []way[K]{{wayEach, t.hit, t.miss}} }

func (t *locked[K]) hit(p probes[K]) (wrong int) {
	vals := p.vals[:len(p.keys)]
	for i, k := range p.keys {
		t.mu.RLock()
		v, ok := t.m[k]
		t.mu.RUnlock()
		if !ok || v != vals[i] {
			wrong++
		}
	}
	return wrong
}

func (t *locked[K]) miss(ks []K) (wrong int) {
	for _, k := range ks {
		t.mu.RLock()
		_, ok := t.m[k]
		t.mu.RUnlock()
		if ok {
			wrong++
		}
	}
	return wrong
}

func (t *locked[K]) put(p probes[K]) (refused int) {
	for i, k := range p.keys {
		t.mu.Lock()
		t.m[k] = p.vals[i]
		t.mu.Unlock()
	}
	return 0
}

func (t *locked[K]) del(ks []K) {
	for _, k := range ks {
		t.mu.Lock()
		delete(t.m, k)
		t.mu.Unlock()
	}
}

func (t *locked[K]) close() error { return nil }

// A map in shards, each under an RWMutex.

const shards = 256

type sharded[K key] struct {
	seed  maphash.Seed
	parts [shards]struct {
		mu sync.RWMutex
		m  map[K]uint64
		_  [96]byte
	}
}

func newSharded[K key](hint int) (table[K], error) {
	t := &sharded[K]{seed: maphash.MakeSeed()}
	for i := range t.parts {
		t.parts[i].m = make(map[K]uint64, hint/shards)
	}
	return t, nil
}

func (t *sharded[K]) ways() []way[K] { return []way[K]{{wayEach, t.hit, t.miss}} }

func (t *sharded[K]) hit(p probes[K]) (wrong int) {
	vals := p.vals[:len(p.keys)]
	for i, k := range p.keys {
		s := &t.parts[maphash.Comparable(t.seed, k)%shards]
		s.mu.RLock()
		v, ok := s.m[k]
		s.mu.RUnlock()
		if !ok || v != vals[i] {
			wrong++
		}
	}
	return wrong
}

func (t *sharded[K]) miss(ks []K) (wrong int) {
	for _, k := range ks {
		s := &t.parts[maphash.Comparable(t.seed, k)%shards]
		s.mu.RLock()
		_, ok := s.m[k]
		s.mu.RUnlock()
		if ok {
			wrong++
		}
	}
	return wrong
}

func (t *sharded[K]) put(p probes[K]) (refused int) {
	for i, k := range p.keys {
		s := &t.parts[maphash.Comparable(t.seed, k)%shards]
		s.mu.Lock()
		s.m[k] = p.vals[i]
		s.mu.Unlock()
	}
	return 0
}

func (t *sharded[K]) del(ks []K) {
	for _, k := range ks {
		s := &t.parts[maphash.Comparable(t.seed, k)%shards]
		s.mu.Lock()
		delete(s.m, k)
		s.mu.Unlock()
	}
}

func (t *sharded[K]) close() error { return nil }

// sync.Map boxes keys and values.

type syncMap[K key] struct{ m *sync.Map }

func newSyncMap[K key](int) (table[K], error) { return syncMap[K]{new(sync.Map)}, nil }

func (t syncMap[K]) ways() []way[K] { return []way[K]{{wayEach, t.hit, t.miss}} }

func (t syncMap[K]) hit(p probes[K]) (wrong int) {
	vals := p.vals[:len(p.keys)]
	for i, k := range p.keys {
		if v, ok := t.m.Load(k); !ok || v.(uint64) != vals[i] {
			wrong++
		}
	}
	return wrong
}

func (t syncMap[K]) miss(ks []K) (wrong int) {
	for _, k := range ks {
		if _, ok := t.m.Load(k); ok {
			wrong++
		}
	}
	return wrong
}

func (t syncMap[K]) put(p probes[K]) (refused int) {
	for i, k := range p.keys {
		t.m.Store(k, p.vals[i])
	}
	return 0
}

func (t syncMap[K]) del(ks []K) {
	for _, k := range ks {
		t.m.Delete(k)
	}
}

func (t syncMap[K]) close() error { return nil }

// xsync.

type xsyncMap[K key] struct{ m *xsync.Map[K, uint64] }

func newXsync[K key](hint int) (table[K], error) {
	return xsyncMap[K]{xsync.NewMap[K, uint64](xsync.WithPresize(hint))}, nil
}

func (t xsyncMap[K]) ways() []way[K] { return []way[K]{{wayEach, t.hit, t.miss}} }

func (t xsyncMap[K]) hit(p probes[K]) (wrong int) {
	vals := p.vals[:len(p.keys)]
	for i, k := range p.keys {
		if v, ok := t.m.Load(k); !ok || v != vals[i] {
			wrong++
		}
	}
	return wrong
}

func (t xsyncMap[K]) miss(ks []K) (wrong int) {
	for _, k := range ks {
		if _, ok := t.m.Load(k); ok {
			wrong++
		}
	}
	return wrong
}

func (t xsyncMap[K]) put(p probes[K]) (refused int) {
	for i, k := range p.keys {
		t.m.Store(k, p.vals[i])
	}
	return 0
}

func (t xsyncMap[K]) del(ks []K) {
	for _, k := range ks {
		t.m.Delete(k)
	}
}

func (t xsyncMap[K]) close() error { return nil }

// haxmap.

type haxMap[K key] struct{ m *haxmap.Map[K, uint64] }

func newHax[K key](hint int) (table[K], error) {
	return haxMap[K]{haxmap.New[K, uint64](uintptr(hint))}, nil
}

func (t haxMap[K]) ways() []way[K] { return []way[K]{{wayEach, t.hit, t.miss}} }

func (t haxMap[K]) hit(p probes[K]) (wrong int) {
	vals := p.vals[:len(p.keys)]
	for i, k := range p.keys {
		if v, ok := t.m.Get(k); !ok || v != vals[i] {
			wrong++
		}
	}
	return wrong
}

func (t haxMap[K]) miss(ks []K) (wrong int) {
	for _, k := range ks {
		if _, ok := t.m.Get(k); ok {
			wrong++
		}
	}
	return wrong
}

func (t haxMap[K]) put(p probes[K]) (refused int) {
	for i, k := range p.keys {
		t.m.Set(k, p.vals[i])
	}
	return 0
}

func (t haxMap[K]) del(ks []K) {
	for _, k := range ks {
		t.m.Del(k)
	}
}

func (t haxMap[K]) close() error { return nil }
