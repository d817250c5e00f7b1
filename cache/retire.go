package cache

import (
	"context"
	"log/slog"
	"runtime"
	"unsafe"

	"quiesce/internal/sys"
)

// retire frees a node that has left, after a grace period.
func (c *core) retire(n unsafe.Pointer) {
	if c.zero != nil {
		c.zero.Add((*byte)(n)) // ord:stat
		return
	}
	c.index.Retire(n)
}

// freeZeroed is called with nodes that no reader has any more.
func (c *core) freeZeroed(nodes []*byte) {
	for _, n := range nodes {
		c.wipe(unsafe.Pointer(n))
		c.index.Free(unsafe.Pointer(n))
	}
}

// wipe overwrites a node's key and value, except for the lengths in front of them.
func (c *core) wipe(n unsafe.Pointer) {
	size := c.index.Size(n) - headOf(n)
	skip := 0
	if c.lens {
		skip = min(8, size)
	}
	clear(unsafe.Slice((*byte)(n), size)[skip:])
}

// abandon has a cache that is no longer referenced, and was not closed, free its
// memory.
func abandon[T any](c *T, x *core) {
	x.closed.Store(false) // for the race detector, which does not know that a cleanup comes after; ord:cache-close
	runtime.AddCleanup(c, func(x *core) {
		if x.closed.Load() { // ord:cache-close
			return
		}
		sys.Go(func() {
			keys := x.length()
			level := slog.LevelWarn
			if keys == 0 {
				level = slog.LevelDebug
			}
			if x.close() == nil {
				x.logger.LogAttrs(context.Background(), level, "cache: not closed, and not referenced any more: its memory is freed now",
					slog.String("cache", x.name), slog.Int("keys", keys))
			}
		})
	}, x)
}

// dispose retires what has left, and calls OnEvict. No lock is held.
func (c *core) dispose(out *leaving) {
	if out.n == 0 {
		return
	}
	if c.emit == nil {
		for _, r := range out.list[:out.n] {
			c.retire(r.n)
		}
		return
	}
	calls := make([]func(), 0, len(out.list))
	for _, r := range out.list[:out.n] {
		calls = append(calls, c.emit(r.n, r.why))
	}
	id := sys.Goid()
	if _, nested := c.calling.LoadOrStore(id, nil); !nested {
		defer c.calling.Delete(id)
	}
	for _, call := range calls {
		call()
	}
}
