package cache

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/nodes"
	"quiesce/internal/pages"
	"quiesce/internal/sys"
	"quiesce/internal/tinylfu"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/rcuhash"
)

// open makes a core. makeMap makes its map.
func open[K comparable, V any](o *Options[K, V], makeMap func(opts ...rcuhash.Option) (any, func() error, error)) (c *core, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	c = &core{name: o.Name, pages: o.Allocator, ttl: int64(o.TTL)}
	c.maxBytes.Store(o.MaxBytes) // ord:hint
	if o.Now != nil {
		now := o.Now
		c.clockFn = func() int64 { return now().UnixNano() }
	}
	limit := o.MaxBytes
	switch {
	case c.pages != nil:
		l := pages.CoreOf(c.pages).Limit // and not what it is now: page.FollowMemoryLimit
		if l == 0 {
			l = c.pages.Stats().Limit
		}
		if limit == 0 || l > 0 && l < limit {
			limit = l
		}
	case limit != 0:
		if c.pages, err = page.New(page.Config{Limit: limit, Name: o.Name}); err != nil {
			return nil, fmt.Errorf("cache: %s: %w", o.Name, err)
		}
		c.own = true
	default:
		c.pages = page.Default()
		limit = c.pages.Stats().Limit
	}
	if limit == 0 {
		limit = mostBytes
	}
	c.most.Store(mostOf(limit)) // ord:hint
	whole := uint64(limit)
	if o.MaxEntries > 0 {
		whole, c.unit = uint64(o.MaxEntries), 1
	}
	c.split(shardsFor(limit, uint64(o.MaxEntries)), pages.CoreOf(c.pages).Base)
	c.label = known.Enter(c, o.Name)
	fail := func(err error) (*core, error) {
		known.Remove(c, c.label)
		if c.own {
			_ = c.pages.Close()
		}
		return nil, fmt.Errorf("cache: %s: %w", o.Name, err)
	}
	if err := c.rings.InitRow(len(c.shards)); err != nil {
		return fail(err)
	}
	m, closeMap, err := makeMap(rcuhash.WithAllocator(c.pages), nodes.WithHead(nodes.Head{Least: headSize, Most: headSize + timerSize, Of: headOf}).(rcuhash.Option), rcuhash.WithName(c.label))
	if err != nil {
		c.rings.Release()
		return fail(err)
	}
	c.closeMap = closeMap
	c.index = nodes.Of(m)
	c.strings = reflect.TypeFor[K]().Kind() == reflect.String
	c.lens = c.strings || reflect.TypeFor[V]().Kind() == reflect.Slice
	if !c.openPolicies(whole) {
		err := errors.Join(errors.New("no memory"), c.closeMap())
		c.rings.Release()
		return fail(err)
	}
	c.late.mu.Init("cache.late.mu")
	if o.ZeroOnFree {
		c.zero = rcu.NewBatch("cache "+c.name, c.freeZeroed)
	}
	if c.logger = o.Logger; c.logger == nil {
		c.logger = slog.Default()
	}
	c.share(true)
	c.pages.AddReclaimer(c)
	c.ready.Store(true) // ord:stat
	return c, nil
}

// openPolicies makes the policies of the shards, which have their parts of the limit,
// and reports whether there was memory for that.
func (c *core) openPolicies(limit uint64) bool {
	for i := range c.shards {
		first := c.newChunk(gfp.Kernel)
		if first == nil {
			c.freePolicies()
			return false
		}
		s := &c.shards[i]
		s.limit = s.share(limit)
		s.policy = tinylfu.New(s.entries, s.limit, rand.Uint64(), first)
		if c.unit == 0 {
			s.policy.SizesAreBytes()
		}
	}
	return true
}

// freePolicies frees the memory of the policies. Nobody uses them.
func (c *core) freePolicies() {
	for i := range c.shards {
		if p := c.shards[i].policy; p != nil {
			for _, chunk := range p.Chunks() {
				c.freeChunk(chunk)
			}
		}
	}
}

// close frees everything.
func (c *core) close() error {
	if _, in := c.calling.Load(sys.Goid()); in { // ord:callback-self
		panic("quiesce/cache: Close called by OnEvict: it would wait for itself")
	}
	if c.closed.Swap(true) { // ord:cache-close
		return ErrClosed
	}
	c.pages.RemoveReclaimer(c)
	known.Remove(c, c.label)
	defer c.share(false)
	service.remove(c)
	for i := range c.shards {
		for c.shards[i].users.Load() > 0 { // ord:cache-close
			sys.Sleep(100_000)
		}
	}
	service.remove(c) // a Set may have added it
	rcu.Synchronize() // for readers that found it open
	var err error
	if c.zero != nil {
		err = c.zero.Close()
		c.index.Walk(func(n unsafe.Pointer) { c.wipe(n) }, func() bool { return true })
	}
	c.freePolicies()
	err = errors.Join(err, c.closeMap())
	if c.own {
		err = errors.Join(err, c.pages.Close())
	}
	c.rings.Release()
	if err != nil {
		return fmt.Errorf("cache: %s: %w", c.name, err)
	}
	return nil
}

// clear removes all entries that are there when it is called.
func (c *core) clear() {
	for i := range c.shards {
		c.shards[i].clear()
	}
	c.index.Grow()
}

func (c *core) length() int {
	if c.closed.Load() { // ord:cache-close
		return 0
	}
	return c.index.Len()
}

// each shows the nodes that have not expired.
func (c *core) each(op string, fn func(n unsafe.Pointer), after func() bool) {
	c.mustBegin(op)
	defer c.end()
	now := c.clock()
	c.index.Walk(func(n unsafe.Pointer) {
		if t := headerOf(n).timer(); t == nil || now < t.expires() {
			fn(n)
		}
	}, after)
}

// all is All of a cache. value copies the value of a node.
func all[K comparable, V any](c *core, value func(n unsafe.Pointer) V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		type entry struct {
			k K
			v V
		}
		var some []entry
		c.each("All", func(n unsafe.Pointer) {
			some = append(some, entry{keyOf[K](c, n), value(n)})
		}, func() bool {
			for _, e := range some {
				if !yield(e.k, e.v) {
					return false
				}
			}
			some = some[:0]
			return true
		})
	}
}

// bytes returns the memory that the cache has.
func (c *core) bytes() int64 {
	if c.closed.Load() { // ord:cache-close
		return 0
	}
	if c.own {
		return c.pages.Stats().Resident
	}
	return c.index.Memory() + c.sketchBytes()
}

// keyOf returns a copy of the key of a node.
func keyOf[K comparable](c *core, n unsafe.Pointer) (k K) {
	c.index.KeyOf(n, hidden(unsafe.Pointer(&k)))
	return k
}
