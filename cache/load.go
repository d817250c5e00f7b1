package cache

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"quiesce/lock"
	"quiesce/rcu"
)

// flights are the loads of a cache that are under way, one for each key.
type flights[K comparable, V any] struct {
	n  atomic.Int64 // of them
	mu lock.Mutex
	of map[K]*flight[V] // protected by mu
}

// flight is a load: whoever wants the same key waits for it.
type flight[V any] struct {
	done  chan struct{} // closed at the end; the next three are set by then
	v     V
	err   error
	again bool // it has no result for others: its caller gave up, or load panicked
	// stale says that the key was set or removed while it was loaded: what was
	// loaded is not stored.
	stale atomic.Bool
}

// join returns the flight of k, and whether the caller is to make it.
func (fs *flights[K, V]) join(k K) (f *flight[V], first bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f = fs.of[k]; f != nil {
		return f, false
	}
	if fs.of == nil {
		fs.of = make(map[K]*flight[V])
	}
	f = &flight[V]{done: make(chan struct{}), again: true}
	fs.of[k] = f
	fs.n.Add(1) // ord:cache-stale
	return f, true
}

// leave ends a flight.
func (fs *flights[K, V]) leave(k K, f *flight[V]) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.of[k] == f {
		delete(fs.of, k)
		fs.n.Add(-1) // ord:cache-stale
	}
}

// changed has the load of a key that is under way not be stored: the key is about to
// be set or removed, or just was. It is called before the change, for a load that is
// stored after it, and again when it is done, for one that began in between.
func (fs *flights[K, V]) changed(k K) {
	if fs.n.Load() == 0 { // ord:cache-stale
		return
	}
	fs.mu.Lock()
	if f := fs.of[k]; f != nil {
		f.stale.Store(true) // ord:cache-stale
	}
	fs.mu.Unlock()
}

// changedAll is changed for every key.
func (fs *flights[K, V]) changedAll() {
	if fs.n.Load() == 0 { // ord:cache-stale
		return
	}
	fs.mu.Lock()
	for _, f := range fs.of {
		f.stale.Store(true) // ord:cache-stale
	}
	fs.mu.Unlock()
}

// load returns what get finds, or what load returns, which it passes to set: that
// stores it unless it is stale.
func (fs *flights[K, V]) load(ctx context.Context, k K, load func(context.Context, K) (V, error), get func() (V, bool), set func(v V, stale *atomic.Bool)) (V, error) {
	for {
		f, first := fs.join(k)
		if first {
			if v, ok := get(); ok { // the flight before has stored it
				f.v, f.again = v, false
				fs.leave(k, f)
				close(f.done)
				return v, nil
			}
			return fs.fly(ctx, k, f, load, set)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			var none V
			return none, context.Cause(ctx)
		}
		if !f.again {
			return f.v, f.err
		}
	}
}

// fly makes a flight.
func (fs *flights[K, V]) fly(ctx context.Context, k K, f *flight[V], load func(context.Context, K) (V, error), set func(v V, stale *atomic.Bool)) (V, error) {
	defer close(f.done)
	landed := false
	defer func() {
		if !landed {
			fs.leave(k, f) // load has panicked
		}
	}()
	f.v, f.err = load(ctx, k)
	f.again = f.err != nil && ctx.Err() != nil && errors.Is(f.err, ctx.Err())
	if f.err == nil {
		// Stored first: one who comes after the flight has to find it.
		set(f.v, &f.stale)
	}
	landed = true
	fs.leave(k, f)
	return f.v, f.err
}

// GetOrLoad returns the value of k, or else what load returns, which it stores as Set
// does. While one call of load runs for a key, others that want the key wait for
// it, as long as their own context lets them, and return what it returns. load gets the context of
// the call that runs it: if that one is cancelled, one of the others runs load. What
// was loaded is not stored if the key was set, or removed, in the meantime. That the
// cache can't store it is no error.
//
// Context: task; not pinned, not in a read-side section.
func (c *Cache[K, V]) GetOrLoad(ctx context.Context, k K, load func(ctx context.Context, k K) (V, error)) (V, error) {
	return c.getOrLoad(ctx, k, &c.x.ttl, load)
}

// GetOrLoadTTL is GetOrLoad of a load that also says how long the value lives, as it
// would be passed to SetTTL. If that is less than 0 the value is returned and not
// kept.
//
// Context: task; not pinned, not in a read-side section.
func (c *Cache[K, V]) GetOrLoadTTL(ctx context.Context, k K, load func(ctx context.Context, k K) (V, time.Duration, error)) (V, error) {
	var ttl int64
	return c.getOrLoad(ctx, k, &ttl, func(ctx context.Context, k K) (v V, err error) {
		v, d, err := load(ctx, k)
		ttl = int64(d)
		return v, err
	})
}

// getOrLoad is GetOrLoad, with the time to live that there is when load has returned.
func (c *Cache[K, V]) getOrLoad(ctx context.Context, k K, ttl *int64, load func(context.Context, K) (V, error)) (V, error) {
	if c.x.closed.Load() { // ord:cache-close
		var none V
		return none, ErrClosed
	}
	if v, ok := c.Get(k); ok {
		return v, nil
	}
	return c.fs.load(ctx, k, load,
		func() (V, bool) { return c.peekCopy(k) },
		func(v V, stale *atomic.Bool) { _, _ = c.set(k, v, *ttl, false, stale) })
}

// peekCopy is Get that counts nothing.
func (c *Cache[K, V]) peekCopy(k K) (v V, ok bool) {
	now := c.x.ahead()
	g := rcu.ReadLock()
	defer g.Unlock()
	at := c.m.Get(g, k)
	if at == nil || !c.x.live(headerOf(c.nodeOf(at)), now) {
		return v, false
	}
	return *at, true
}

// GetOrLoad is [Cache.GetOrLoad]. Every caller has a slice of its own.
//
// Context: task; not pinned, not in a read-side section.
func (c *Bytes[K]) GetOrLoad(ctx context.Context, k K, load func(ctx context.Context, k K) ([]byte, error)) ([]byte, error) {
	return c.getOrLoad(ctx, k, &c.x.ttl, load)
}

// GetOrLoadTTL is [Cache.GetOrLoadTTL]. Every caller has a slice of its own.
//
// Context: task; not pinned, not in a read-side section.
func (c *Bytes[K]) GetOrLoadTTL(ctx context.Context, k K, load func(ctx context.Context, k K) ([]byte, time.Duration, error)) ([]byte, error) {
	var ttl int64
	return c.getOrLoad(ctx, k, &ttl, func(ctx context.Context, k K) (v []byte, err error) {
		v, d, err := load(ctx, k)
		ttl = int64(d)
		return v, err
	})
}

// getOrLoad is that of a Cache.
func (c *Bytes[K]) getOrLoad(ctx context.Context, k K, ttl *int64, load func(context.Context, K) ([]byte, error)) ([]byte, error) {
	if c.x.closed.Load() { // ord:cache-close
		return nil, ErrClosed
	}
	if v, ok := c.Get(k); ok {
		return v, nil
	}
	v, err := c.fs.load(ctx, k, load,
		func() ([]byte, bool) { return c.peekCopy(k) },
		func(v []byte, stale *atomic.Bool) { _, _ = c.set(k, v, *ttl, false, stale) })
	if err != nil {
		return nil, err
	}
	return append([]byte{}, v...), nil
}

// peekCopy is Get that counts nothing.
func (c *Bytes[K]) peekCopy(k K) ([]byte, bool) {
	now := c.x.ahead()
	g := rcu.ReadLock()
	defer g.Unlock()
	n := c.x.index.Find(hidden(unsafe.Pointer(&k)))
	runtime.KeepAlive(&k)
	if n == nil || !c.x.live(headerOf(n), now) {
		return nil, false
	}
	return append([]byte{}, c.x.value(n)...), true
}
