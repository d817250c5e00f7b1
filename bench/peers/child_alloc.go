package main

import (
	"errors"
	"runtime"
	"sync"

	"modernc.org/memory"

	"quiesce/gfp"
	"quiesce/page"
	"quiesce/slab"
)

// obj64 is the object of all rows.
type obj64 [8]uint64

// newCache makes a cache on an allocator of its own.
func newCache(opts ...slab.Option) (*slab.Cache[obj64], error) {
	a, err := page.New(page.Config{})
	if err != nil {
		return nil, err
	}
	return slab.NewCache[obj64]("peers", append([]slab.Option{slab.WithAllocator(a)}, opts...)...)
}

const (
	manyObjects = 10000 // of the shuffled row
	crateSize   = 1000  // objects that change threads together
	crates      = 8
)

// order is the order in which the shuffled row frees.
func order() []int {
	v := make([]int, manyObjects)
	for i := range v {
		v[i] = i
	}
	shuffle(v)
	return v
}

// remote runs fill in this goroutine and empty in another one, on crates that
// go from the one to the other and back.
func remote[P any](t *task, fill, empty func([]P)) {
	full, back := make(chan []P, crates), make(chan []P, crates)
	for range crates {
		back <- make([]P, crateSize)
	}
	go func() {
		for c := range full {
			empty(c)
			back <- c
		}
	}()
	t.run(func(n int) {
		for range n {
			c := <-back
			fill(c)
			full <- c
		}
		var all [crates][]P // every object of theirs was freed
		for i := range all {
			all[i] = <-back
		}
		for _, c := range all {
			back <- c
		}
	}, crateSize)
	close(full)
}

func allocQuiesce(t *task, bulk bool) error {
	c, err := newCache()
	if err != nil {
		return err
	}
	fill := func(ps []*obj64) {
		for i := range ps {
			ps[i] = c.Alloc(gfp.Kernel)
		}
	}
	switch t.mode {
	case "hot":
		t.run(func(n int) {
			for range n {
				c.Free(c.Alloc(gfp.NoWait))
			}
		}, 1)
	case "shuffled":
		ps, order := make([]*obj64, manyObjects), order()
		t.run(func(n int) {
			for range n {
				fill(ps)
				for _, j := range order {
					c.Free(ps[j])
				}
			}
		}, manyObjects)
	case "remote":
		remote(t, fill, func(ps []*obj64) {
			if bulk {
				c.FreeBulk(ps)
				return
			}
			for _, p := range ps {
				c.Free(p)
			}
		})
	default:
		return t.noSuchMode()
	}
	return c.Close()
}

var sink *obj64 // global, so that objects are on the heap

func allocNew(t *task) error {
	fill := func(ps []*obj64) {
		for i := range ps {
			ps[i] = new(obj64)
		}
	}
	switch t.mode {
	case "hot":
		t.run(func(n int) {
			for range n {
				sink = new(obj64)
			}
			runtime.KeepAlive(sink)
		}, 1)
	case "shuffled":
		ps, order := make([]*obj64, manyObjects), order()
		t.run(func(n int) {
			for range n {
				fill(ps)
				for _, j := range order {
					ps[j] = nil
				}
			}
		}, manyObjects)
	case "remote":
		remote(t, fill, func(ps []*obj64) { clear(ps) })
	default:
		return t.noSuchMode()
	}
	return nil
}

func allocPool(t *task) error {
	pool := sync.Pool{New: func() any { return new(obj64) }}
	fill := func(ps []*obj64) {
		for i := range ps {
			ps[i] = pool.Get().(*obj64)
		}
	}
	switch t.mode {
	case "hot":
		t.run(func(n int) {
			for range n {
				pool.Put(pool.Get())
			}
		}, 1)
	case "shuffled":
		ps, order := make([]*obj64, manyObjects), order()
		t.run(func(n int) {
			for range n {
				fill(ps)
				for _, j := range order {
					pool.Put(ps[j])
				}
			}
		}, manyObjects)
	case "remote":
		remote(t, fill, func(ps []*obj64) {
			for _, p := range ps {
				pool.Put(p)
			}
		})
	default:
		return t.noSuchMode()
	}
	return nil
}

// allocModernc has an allocator that goroutines must not share without a lock:
// there is one where they do.
func allocModernc(t *task) error {
	var a memory.Allocator
	var failed error
	alloc := func() uintptr {
		p, err := a.UintptrMalloc(64)
		if err != nil {
			failed = err
		}
		return p
	}
	free := func(p uintptr) {
		if err := a.UintptrFree(p); err != nil {
			failed = err
		}
	}
	switch t.mode {
	case "hot":
		t.run(func(n int) {
			for range n {
				free(alloc())
			}
		}, 1)
	case "shuffled":
		ps, order := make([]uintptr, manyObjects), order()
		t.run(func(n int) {
			for range n {
				for i := range ps {
					ps[i] = alloc()
				}
				for _, j := range order {
					free(ps[j])
				}
			}
		}, manyObjects)
	case "remote":
		var mu sync.Mutex
		remote(t, func(ps []uintptr) {
			for i := range ps {
				mu.Lock()
				ps[i] = alloc()
				mu.Unlock()
			}
		}, func(ps []uintptr) {
			for _, p := range ps {
				mu.Lock()
				free(p)
				mu.Unlock()
			}
		})
	default:
		return t.noSuchMode()
	}
	return errors.Join(failed, a.Close())
}
