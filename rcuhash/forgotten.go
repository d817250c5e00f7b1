package rcuhash

import (
	"context"
	"log/slog"

	"quiesce/internal/pages"
	"quiesce/internal/sys"
)

// Maps that the program dropped without Close.
//
// The handle is the index itself, so when the collector finds it unreachable no
// operation will use it any more, and none that is under way touches its counters or
// looks for its table. One may still have a bucket or a value, in a read-side section,
// which is waited for as in Close, and may still be in a cache of its heap, to free a
// node. So the heap is not closed but dropped: the collector finds its caches when that
// operation has left them, and package slab closes them.

// forgotten is the finalizer of a map that was not closed. Finalizers share a
// goroutine, on which nothing should wait.
func (x *index[K]) forgotten() { sys.Go(x.freeForgotten) }

// freeForgotten frees what the map has.
func (x *index[K]) freeForgotten() {
	t := x.table.Swap(nil) // ord:table
	if t == nil {
		return
	}
	keys := x.len()
	x.forget()
	x.waitFreed()
	x.freeEach(t)
	if x.small != nil {
		x.small.forget()
	}
	level := slog.LevelWarn
	if keys == 0 {
		level = slog.LevelDebug
	}
	slog.Default().LogAttrs(context.Background(), level, "rcuhash: a map was not closed, and is not referenced any more: its memory is freed now",
		slog.String("map", x.label), slog.String("allocator", pages.CoreOf(x.pages).Label), slog.Int("keys", keys))
}
