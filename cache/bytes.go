package cache

import (
	"iter"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"quiesce/internal/depcheck"
	"quiesce/rcu"
	"quiesce/rcuhash"
)

// Bytes is a [Cache] with values of any length. An empty value is not nil.
type Bytes[K comparable] struct {
	x  *core
	fs flights[K, []byte]
}

// NewBytes makes a cache, as New does.
//
// Context: task; not pinned.
func NewBytes[K comparable](o Options[K, []byte]) (*Bytes[K], error) {
	x, err := open(&o, func(opts ...rcuhash.Option) (any, func() error, error) {
		m, err := rcuhash.NewBytes[K](0, opts...)
		if err != nil {
			return nil, nil, err
		}
		return m, m.Close, nil
	})
	if err != nil {
		return nil, err
	}
	x.lenOf = func(n unsafe.Pointer) int { return len(x.value(n)) }
	x.copyValue = func(to, from unsafe.Pointer) { copy(x.value(to), x.value(from)) }
	if fn := o.OnEvict; fn != nil {
		x.emit = func(n unsafe.Pointer, why Reason) func() {
			k, v := keyOf[K](x, n), append([]byte{}, x.value(n)...)
			x.retire(n)
			return func() { fn(k, v, why) }
		}
	}
	c := &Bytes[K]{x: x}
	c.fs.mu.Init("cache.flights.mu")
	abandon(c, x)
	return c, nil
}

// Get returns a copy of the value of k, and whether k is in the cache.
//
// Context: any.
func (c *Bytes[K]) Get(k K) (v []byte, ok bool) {
	if v, ok = c.AppendTo([]byte{}, k); !ok {
		return nil, false
	}
	return v, true
}

// AppendTo appends the value of k to dst, and reports whether k is in the cache. If
// it is not, it returns dst as it is.
//
// Context: any.
func (c *Bytes[K]) AppendTo(dst []byte, k K) ([]byte, bool) {
	g := rcu.ReadLock()
	defer g.Unlock()
	v, ok := c.x.guarded(hidden(unsafe.Pointer(&k)), "Get")
	runtime.KeepAlive(&k)
	return append(dst, v...), ok
}

// View calls fn with the value of k in place, as [Cache.View] does.
//
// Context: any that fn allows.
func (c *Bytes[K]) View(k K, fn func(v []byte)) bool {
	g := rcu.ReadLock()
	defer g.Unlock()
	v, ok := c.x.guarded(hidden(unsafe.Pointer(&k)), "View")
	runtime.KeepAlive(&k)
	if ok {
		fn(v)
	}
	return ok
}

// GetGuarded returns the value of k in place, and whether k is in the cache, as
// [Cache.GetGuarded] does.
//
// Context: any.
func (c *Bytes[K]) GetGuarded(g rcu.Guard, k K) ([]byte, bool) {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	v, ok := c.x.guarded(hidden(unsafe.Pointer(&k)), "GetGuarded")
	runtime.KeepAlive(&k)
	return v, ok
}

// GetKey is GetGuarded of a string key that the caller has as bytes, which are not
// copied. It panics if K is not a string type.
//
// Context: any.
func (c *Bytes[K]) GetKey(g rcu.Guard, k []byte) ([]byte, bool) {
	if depcheck.Tagged {
		depcheck.CheckGuard(1, unsafe.Pointer(&g))
	}
	if !c.x.strings {
		panic("quiesce/cache: GetKey of a cache whose keys are not strings")
	}
	s := unsafe.String(unsafe.SliceData(k), len(k))
	v, ok := c.x.guarded(hidden(unsafe.Pointer(&s)), "GetKey")
	runtime.KeepAlive(&s)
	return v, ok
}

// Set stores a copy of v, as [Cache.Set] does.
//
// Context: task; not pinned.
func (c *Bytes[K]) Set(k K, v []byte) error {
	_, err := c.set(k, v, c.x.ttl, false, nil)
	return err
}

// SetTTL is [Cache.SetTTL].
//
// Context: task; not pinned.
func (c *Bytes[K]) SetTTL(k K, v []byte, ttl time.Duration) error {
	_, err := c.set(k, v, int64(ttl), false, nil)
	return err
}

// SetIfAbsent is [Cache.SetIfAbsent].
//
// Context: task; not pinned.
func (c *Bytes[K]) SetIfAbsent(k K, v []byte) (bool, error) { return c.set(k, v, c.x.ttl, true, nil) }

func (c *Bytes[K]) set(k K, v []byte, ttl int64, absent bool, stale *atomic.Bool) (stored bool, err error) {
	if stale == nil {
		c.fs.changed(k)
		defer c.fs.changed(k)
	}
	stored, err = c.x.set(hidden(unsafe.Pointer(&k)), len(v), ttl, absent, stale, func(n unsafe.Pointer) { copy(c.x.value(n), v) })
	runtime.KeepAlive(&k)
	return stored, err
}

// SetMaxBytes is [Cache.SetMaxBytes].
//
// Context: task; not pinned, not in a read-side section.
func (c *Bytes[K]) SetMaxBytes(n int64) error { return c.x.setMaxBytes(n) }

// Delete removes k and reports whether it was in the cache.
//
// Context: task; not pinned.
func (c *Bytes[K]) Delete(k K) bool {
	c.fs.changed(k)
	defer c.fs.changed(k)
	had := c.x.delete(hidden(unsafe.Pointer(&k)))
	runtime.KeepAlive(&k)
	return had
}

// All is [Cache.All].
//
// Context: task; not pinned.
func (c *Bytes[K]) All() iter.Seq2[K, []byte] {
	return all[K](c.x, func(n unsafe.Pointer) []byte { return append([]byte{}, c.x.value(n)...) })
}

// Clear is [Cache.Clear].
//
// Context: task; not pinned.
func (c *Bytes[K]) Clear() {
	c.x.mustBegin("Clear")
	defer c.x.end()
	c.fs.changedAll()
	defer c.fs.changedAll()
	c.x.clear()
}

// Len is [Cache.Len].
//
// Context: any.
func (c *Bytes[K]) Len() int { return c.x.length() }

// Bytes is [Cache.Bytes].
//
// Context: task; not pinned.
func (c *Bytes[K]) Bytes() int64 { return c.x.bytes() }

// Stats is [Cache.Stats].
//
// Context: task; not pinned.
func (c *Bytes[K]) Stats() Stats { return c.x.stats() }

// Close is [Cache.Close].
//
// Context: task; not pinned, not in a read-side section.
func (c *Bytes[K]) Close() error { return c.x.close() }
