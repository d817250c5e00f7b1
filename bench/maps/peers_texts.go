package main

import (
	"hash/maphash"
	"sync"

	"github.com/alphadose/haxmap"
	"github.com/puzpuzpuz/xsync/v4"
)

// The same maps with values of any length: []byte.

type bareTexts map[string][]byte

func newBareTexts(hint int) (texts, error) { return make(bareTexts, hint), nil }

func (t bareTexts) put(k string, v []byte) bool { t[k] = v; return true }

func (t bareTexts) get(k string, check func([]byte) bool) bool {
	v, ok := t[k]
	return ok && check(v)
}

func (t bareTexts) close() error { return nil }

type lockedTexts struct {
	mu sync.RWMutex
	bareTexts
}

func newLockedTexts(hint int) (texts, error) {
	return &lockedTexts{bareTexts: make(bareTexts, hint)}, nil
}

func (t *lockedTexts) put(k string, v []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bareTexts.put(k, v)
}

func (t *lockedTexts) get(k string, check func([]byte) bool) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.bareTexts.get(k, check)
}

type shardedTexts struct {
	seed  maphash.Seed
	parts [shards]lockedTexts
}

func newShardedTexts(hint int) (texts, error) {
	t := &shardedTexts{seed: maphash.MakeSeed()}
	for i := range t.parts {
		t.parts[i].bareTexts = make(bareTexts, hint/shards)
	}
	return t, nil
}

func (t *shardedTexts) put(k string, v []byte) bool {
	return t.parts[maphash.String(t.seed, k)%shards].put(k, v)
}

func (t *shardedTexts) get(k string, check func([]byte) bool) bool {
	return t.parts[maphash.String(t.seed, k)%shards].get(k, check)
}

func (t *shardedTexts) close() error { return nil }

type syncTexts struct{ m sync.Map }

func newSyncMapTexts(int) (texts, error) { return new(syncTexts), nil }

func (t *syncTexts) put(k string, v []byte) bool { t.m.Store(k, v); return true }

func (t *syncTexts) get(k string, check func([]byte) bool) bool {
	v, ok := t.m.Load(k)
	return ok && check(v.([]byte))
}

func (t *syncTexts) close() error { return nil }

type xsyncTexts struct{ m *xsync.Map[string, []byte] }

func newXsyncTexts(hint int) (texts, error) {
	return xsyncTexts{xsync.NewMap[string, []byte](xsync.WithPresize(hint))}, nil
}

func (t xsyncTexts) put(k string, v []byte) bool { t.m.Store(k, v); return true }

func (t xsyncTexts) get(k string, check func([]byte) bool) bool {
	v, ok := t.m.Load(k)
	return ok && check(v)
}

func (t xsyncTexts) close() error { return nil }

type haxTexts struct{ m *haxmap.Map[string, []byte] }

func newHaxTexts(hint int) (texts, error) {
	return haxTexts{haxmap.New[string, []byte](uintptr(hint))}, nil
}

func (t haxTexts) put(k string, v []byte) bool { t.m.Set(k, v); return true }

func (t haxTexts) get(k string, check func([]byte) bool) bool {
	v, ok := t.m.Get(k)
	return ok && check(v)
}

func (t haxTexts) close() error { return nil }
