package main

import (
	"bytes"
	"context"
	"hash/maphash"
	"io"
	"log"
	"time"

	"github.com/VictoriaMetrics/fastcache"
	"github.com/Yiling-J/theine-go"
	"github.com/allegro/bigcache/v3"
	"github.com/coocood/freecache"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/elastic/go-freelru"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"
	phuslu "github.com/phuslu/lru"
)

// What each cache does not count of an entry, in bytes: estimates by what -run memory
// shows. The rows with hit ratios show the memory that it really took.
const (
	fastcacheUncounted = 48
	bigcacheUncounted  = 48
	freecacheUncounted = 40
	otterUncounted     = 120
	ristrettoUncounted = 150
	theineUncounted    = 150
	lruUncounted       = 150
	freelruUncounted   = 90
	phusluUncounted    = 100
)

// copied is a store whose values the caller has in a buffer of its own.
type copied struct {
	get func(p *probe, dst []byte) ([]byte, bool)
	put func(p *probe, v []byte)
	end func() error
}

func (c copied) reader() func(*probe) answer {
	var dst []byte
	return func(p *probe) answer {
		var ok bool
		if dst, ok = c.get(p, dst[:0]); !ok {
			return missed
		}
		return check(dst, p)
	}
}

func (c copied) set(p *probe, v []byte) { c.put(p, v) }
func (c copied) close() error           { return c.end() }

func newFastcache(p plan) (store, error) {
	c := fastcache.New(max(p.limit(fastcacheUncounted), 1))
	return copied{
		get: func(p *probe, dst []byte) ([]byte, bool) { return c.HasGet(dst, p.b) },
		put: func(p *probe, v []byte) { c.Set(p.b, v) },
		end: func() error { c.Reset(); return nil },
	}, nil
}

func newBigcache(p plan) (store, error) {
	c, err := bigcache.New(context.Background(), bigcache.Config{
		Shards: 1024, LifeWindow: 24 * time.Hour, MaxEntriesInWindow: p.entries, MaxEntrySize: min(p.mean, 4096),
		HardMaxCacheSize: max(p.limit(bigcacheUncounted)>>20, 1), Logger: log.New(io.Discard, "", 0),
	})
	if err != nil {
		return nil, err
	}
	return copied{
		get: func(p *probe, _ []byte) ([]byte, bool) {
			v, err := c.Get(p.s)
			return v, err == nil
		},
		put: func(p *probe, v []byte) { _ = c.Set(p.s, v) },
		end: c.Close,
	}, nil
}

func newFreecache(p plan) (store, error) {
	c := freecache.NewCache(p.limit(freecacheUncounted))
	return copied{
		get: func(p *probe, dst []byte) ([]byte, bool) {
			at := dst
			err := c.GetFn(p.b, func(v []byte) error { at = append(at, v...); return nil })
			return at, err == nil
		},
		put: func(p *probe, v []byte) { _ = c.Set(p.b, v, 0) },
		end: func() error { c.Clear(); return nil },
	}, nil
}

// shared is a store whose callers share the values with it, on the Go heap.
type shared struct {
	get func(k string) ([]byte, bool)
	put func(k string, v []byte)
	end func()
	// wait waits until what was set is there, if that takes time.
	wait func()
}

func (c shared) settle() {
	if c.wait != nil {
		c.wait()
	}
}

func (c shared) reader() func(*probe) answer {
	return func(p *probe) answer {
		v, ok := c.get(p.s)
		if !ok {
			return missed
		}
		return check(v, p)
	}
}

func (c shared) set(p *probe, v []byte) { c.put(p.s, bytes.Clone(v)) }
func (c shared) close() error {
	if c.end != nil {
		c.end()
	}
	return nil
}

func newOtterStore(p plan) (store, error) {
	o := &otter.Options[string, []byte]{MaximumSize: p.entries}
	if p.uneven {
		o.MaximumSize, o.MaximumWeight = 0, uint64(p.bytes)
		o.Weigher = func(k string, v []byte) uint32 { return uint32(len(k) + len(v) + otterUncounted) }
	}
	c, err := otter.New(o)
	if err != nil {
		return nil, err
	}
	return shared{get: c.GetIfPresent, put: func(k string, v []byte) { c.Set(k, v) }, end: func() { c.StopAllGoroutines() }}, nil
}

func newRistrettoStore(p plan) (store, error) {
	c, err := ristretto.NewCache(&ristretto.Config[string, []byte]{
		NumCounters: int64(countersFor * p.entries), MaxCost: int64(p.bytes), BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, err
	}
	return shared{
		get:  c.Get,
		put:  func(k string, v []byte) { c.Set(k, v, int64(len(k)+len(v)+ristrettoUncounted)) },
		end:  c.Close,
		wait: c.Wait,
	}, nil
}

func newTheineStore(p plan) (store, error) {
	most, cost := int64(p.entries), func(string, []byte) int64 { return 1 }
	if p.uneven {
		most, cost = int64(p.bytes), func(k string, v []byte) int64 { return int64(len(k) + len(v) + theineUncounted) }
	}
	c, err := theine.NewBuilder[string, []byte](most).Build()
	if err != nil {
		return nil, err
	}
	return shared{get: c.Get, put: func(k string, v []byte) { c.Set(k, v, cost(k, v)) }, end: c.Close}, nil
}

// The last three count entries alone.

func newLRUStore(p plan) (store, error) {
	c, err := lru.New[string, []byte](p.count(lruUncounted))
	if err != nil {
		return nil, err
	}
	return shared{get: c.Get, put: func(k string, v []byte) { c.Add(k, v) }}, nil
}

func newFreeLRUStore(p plan) (store, error) {
	seed := maphash.MakeSeed()
	c, err := freelru.NewSharded[string, []byte](uint32(p.count(freelruUncounted)), func(k string) uint32 { return uint32(maphash.String(seed, k)) })
	if err != nil {
		return nil, err
	}
	return shared{get: c.Get, put: func(k string, v []byte) { c.Add(k, v) }}, nil
}

func newPhusluStore(p plan) (store, error) {
	c := phuslu.NewLRUCache[string, []byte](p.count(phusluUncounted))
	return shared{get: c.Get, put: func(k string, v []byte) { c.Set(k, v) }}, nil
}

// count is the entries to tell a cache that counts nothing else.
func (p plan) count(uncounted int) int {
	if p.uneven {
		return max(p.bytes/(p.mean+uncounted), 1)
	}
	return p.entries
}
