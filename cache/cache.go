package cache

import (
	"iter"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"quiesce/internal/depcheck"
	"quiesce/internal/pin"
	"quiesce/rcu"
	"quiesce/rcuhash"
)

// Cache is a bounded cache from K to V, outside the Go heap. Its methods are safe
// for concurrent use, Close included.
type Cache[K comparable, V any] struct {
	x    *core
	m    *rcuhash.Map[K, V]
	back int // from a value to the node
	fs   flights[K, V]
}

// New makes a cache. K is a string type or a type without Go pointers; V holds no Go
// pointers (use [64]byte, not []byte or string; [Bytes] has values of any length).
//
// Context: task; not pinned.
func New[K comparable, V any](o Options[K, V]) (*Cache[K, V], error) {
	c := new(Cache[K, V])
	x, err := open(&o, func(opts ...rcuhash.Option) (any, func() error, error) {
		m, err := rcuhash.New[K, V](0, opts...)
		if err != nil {
			return nil, nil, err
		}
		c.m = m
		return m, m.Close, nil
	})
	if err != nil {
		return nil, err
	}
	c.x = x
	c.back = int(c.x.index.ValueAt())
	back := c.back
	x.lenOf = func(unsafe.Pointer) int { return 0 }
	x.copyValue = func(to, from unsafe.Pointer) { *(*V)(unsafe.Add(to, back)) = *(*V)(unsafe.Add(from, back)) }
	c.fs.mu.Init("cache.flights.mu")
	if fn := o.OnEvict; fn != nil {
		x.emit = func(n unsafe.Pointer, why Reason) func() {
			k, v := keyOf[K](x, n), *(*V)(unsafe.Add(n, back))
			x.retire(n)
			return func() { fn(k, v, why) }
		}
	}
	abandon(c, x)
	return c, nil
}

// nodeOf returns the node of a value.
func (c *Cache[K, V]) nodeOf(v *V) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(v), -c.back) }

// pinnedCopy is the largest value that Get copies in a pinned section, for which the
// collector may have to wait. Untuned.
const pinnedCopy = 1 << 10

// Get returns a copy of the value of k, and whether k is in the cache.
//
// Context: any.
func (c *Cache[K, V]) Get(k K) (v V, ok bool) {
	if unsafe.Sizeof(v) > pinnedCopy {
		c.View(k, func(at *V) { v, ok = *at, true })
		return v, ok
	}
	now := c.x.ahead()
	p := pin.Disable()     // a read-side section too
	if c.x.closed.Load() { // ord:cache-close
		p.Enable()
		panic(closedUse("Get"))
	}
	var full *shard
	if at := c.peek(k); at != nil && c.x.live(headerOf(c.nodeOf(at)), now) {
		v, ok = *at, true
		n := c.nodeOf(at)
		full = c.x.hit(p, headerOf(n), n)
	} else {
		c.x.miss(p)
	}
	p.Enable()
	if full != nil {
		full.relieve()
	}
	return v, ok
}

// peek returns the value of k in place, or nil. The caller is in a section, which
// lockdep does not know.
func (c *Cache[K, V]) peek(k K) *V {
	var g rcu.Guard
	if depcheck.Tagged {
		g = rcu.ReadLock()
		defer g.Unlock()
	}
	return c.m.Get(g, k)
}

// GetGuarded returns a pointer to the value of k, or nil if k is not in the cache.
// The value stays valid and unchanged until g is unlocked, and must not be written
// to. It may leave the cache in the meantime.
//
// Context: any.
func (c *Cache[K, V]) GetGuarded(g rcu.Guard, k K) *V {
	now := c.x.ahead()
	if c.x.closed.Load() { // ord:cache-close
		panic(closedUse("GetGuarded"))
	}
	return c.note(c.m.Get(g, k), now)
}

// GetKey is GetGuarded of a string key that the caller has as bytes, which are not
// copied. It panics if K is not a string type.
//
// Context: any.
func (c *Cache[K, V]) GetKey(g rcu.Guard, k []byte) *V {
	now := c.x.ahead()
	if c.x.closed.Load() { // ord:cache-close
		panic(closedUse("GetKey"))
	}
	return c.note(c.m.GetKey(g, k), now)
}

// note counts what a look-up found, and returns it if it has not expired. The caller
// is in a section.
func (c *Cache[K, V]) note(v *V, now int64) *V {
	if v != nil && !c.x.live(headerOf(c.nodeOf(v)), now) {
		v = nil
	}
	var full *shard
	p := pin.Disable()
	if v != nil {
		n := c.nodeOf(v)
		full = c.x.hit(p, headerOf(n), n)
	} else {
		c.x.miss(p)
	}
	p.Enable()
	if full != nil {
		full.relieve()
	}
	return v
}

// View calls fn with the value of k in place, if k is in the cache, and reports
// whether it is. The value is valid and unchanged until fn returns, and must not be
// written to. fn runs in a read-side section: it should be short, and must not
// wait for memory or for a grace period.
//
// Context: any that fn allows.
func (c *Cache[K, V]) View(k K, fn func(v *V)) bool {
	g := rcu.ReadLock()
	defer g.Unlock()
	v := c.GetGuarded(g, k)
	if v == nil {
		return false
	}
	fn(v)
	return true
}

// Set stores a copy of v, to live as long as Options.TTL says. The next Get finds
// it, unless it has been evicted by then for others. If Set fails, with [ErrTooLarge],
// [ErrBusy] or [ErrClosed], the old value of k is removed. It may wait for memory,
// for as long as the allocator's ReclaimTimeout says; in a read-side section of the
// caller's own that may be in vain.
//
// Context: task; not pinned.
func (c *Cache[K, V]) Set(k K, v V) error {
	_, err := c.set(k, v, c.x.ttl, false, nil)
	return err
}

// SetTTL is Set with a time to live of its own. 0 means until it is evicted. If it is
// negative, the entry has expired already: k has no value afterwards.
//
// Context: task; not pinned.
func (c *Cache[K, V]) SetTTL(k K, v V, ttl time.Duration) error {
	_, err := c.set(k, v, int64(ttl), false, nil)
	return err
}

// SetIfAbsent is Set if k is not in the cache, and reports whether it was not.
//
// Context: task; not pinned.
func (c *Cache[K, V]) SetIfAbsent(k K, v V) (bool, error) { return c.set(k, v, c.x.ttl, true, nil) }

// set stores v, unless k is there and absent is set, or stale is not nil and becomes
// set: then v was loaded, and k has changed since.
func (c *Cache[K, V]) set(k K, v V, ttl int64, absent bool, stale *atomic.Bool) (stored bool, err error) {
	if stale == nil {
		c.fs.changed(k)
		defer c.fs.changed(k)
	}
	stored, err = c.x.set(hidden(unsafe.Pointer(&k)), 0, ttl, absent, stale, func(n unsafe.Pointer) { *(*V)(unsafe.Add(n, c.back)) = v })
	runtime.KeepAlive(&k)
	return stored, err
}

// SetMaxBytes changes MaxBytes of a cache that has its memory for itself. If that is
// less than the cache has, entries are evicted; [ErrBusy] means that readers, in
// sections that do not end, keep it from being so little yet. A cache that was made
// with 64 MiB or more is split into shards, whose number stays: they need 64 KiB each,
// and what is much less than the cache was made with serves it less well.
//
// Context: task; not pinned, not in a read-side section.
func (c *Cache[K, V]) SetMaxBytes(n int64) error { return c.x.setMaxBytes(n) }

// Delete removes k and reports whether it was in the cache.
//
// Context: task; not pinned.
func (c *Cache[K, V]) Delete(k K) bool {
	c.fs.changed(k)
	defer c.fs.changed(k)
	had := c.x.delete(hidden(unsafe.Pointer(&k)))
	runtime.KeepAlive(&k)
	return had
}

// All returns an iterator over copies of the entries. An entry that is in the cache
// during the whole loop is seen once; one that comes or goes may be seen. The loop is
// in no section, and may use the cache. Entries that are seen are not hits.
//
// Context: task; not pinned.
func (c *Cache[K, V]) All() iter.Seq2[K, V] {
	return all[K](c.x, func(n unsafe.Pointer) V { return *(*V)(unsafe.Add(n, c.back)) })
}

// Clear removes the entries that are in the cache when it is called.
//
// Context: task; not pinned.
func (c *Cache[K, V]) Clear() {
	c.x.mustBegin("Clear")
	defer c.x.end()
	c.fs.changedAll()
	defer c.fs.changedAll()
	c.x.clear()
}

// Len returns the number of entries, with those that have expired but are not freed
// yet.
//
// Context: any.
func (c *Cache[K, V]) Len() int { return c.x.length() }

// Bytes returns the memory that the cache has, in bytes: what MaxBytes bounds.
//
// Context: task; not pinned.
func (c *Cache[K, V]) Bytes() int64 { return c.x.bytes() }

// Stats returns the cache's figures.
//
// Context: task; not pinned.
func (c *Cache[K, V]) Stats() Stats { return c.x.stats() }

// Close frees the cache's memory. Operations on a closed cache return [ErrClosed], or
// panic if they have no error to return. Values that View or GetGuarded have handed
// out stay valid until their sections end: Close waits for them, and for operations
// that run. It returns ErrClosed if the cache is already closed.
//
// Context: task; not pinned, not in a read-side section.
func (c *Cache[K, V]) Close() error { return c.x.close() }
