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

// allocator is what is measured of one: objects are of type P.
type allocator[P any] struct {
	hot     func(n int)               // allocates and frees n times
	fill    func(ps []P)              // allocates
	freeIn  func(order []int, ps []P) // frees
	freeAll func(ps []P)              // frees, in another goroutine
}

// measure measures what the task's mode says.
func (a *allocator[P]) measure(t *task) error {
	switch t.mode {
	case "hot":
		t.run(a.hot, 1)
	case "shuffled":
		ps, order := make([]P, manyObjects), order()
		t.run(func(n int) {
			for range n {
				a.fill(ps)
				a.freeIn(order, ps)
			}
		}, manyObjects)
	case "remote":
		remote(t, a.fill, a.freeAll)
	default:
		return t.noSuchMode()
	}
	return nil
}

func allocQuiesce(t *task, bulk bool) error {
	c, err := newCache()
	if err != nil {
		return err
	}
	a := allocator[*obj64]{
		hot: func(n int) {
			for range n {
				c.Free(c.Alloc(gfp.NoWait))
			}
		},
		fill: func(ps []*obj64) {
			for i := range ps {
				ps[i] = c.Alloc(gfp.Kernel)
			}
		},
		freeIn: func(order []int, ps []*obj64) {
			for _, j := range order {
				c.Free(ps[j])
			}
		},
		freeAll: func(ps []*obj64) {
			for _, p := range ps {
				c.Free(p)
			}
		},
	}
	if bulk {
		a.freeAll = c.FreeBulk
	}
	if err := a.measure(t); err != nil {
		return err
	}
	return c.Close()
}

// allocSheaf is one goroutine's stock.
func allocSheaf(t *task) error {
	c, err := newCache()
	if err != nil {
		return err
	}
	s, err := c.Sheaf(64, gfp.Kernel)
	if err != nil {
		return err
	}
	a := allocator[*obj64]{
		hot: func(n int) {
			for range n {
				s.Free(s.Alloc(gfp.NoWait))
			}
		},
		fill: func(ps []*obj64) {
			for i := range ps {
				ps[i] = s.Alloc(gfp.Kernel)
			}
		},
		freeIn: func(order []int, ps []*obj64) {
			for _, j := range order {
				s.Free(ps[j])
			}
		},
	}
	if t.mode == "remote" {
		return t.noSuchMode()
	}
	if err := a.measure(t); err != nil {
		return err
	}
	s.Close()
	return c.Close()
}

// allocKmalloc is an object of the same size without a type.
func allocKmalloc(t *task) error {
	if t.mode != "hot" {
		return t.noSuchMode()
	}
	t.run(func(n int) {
		for range n {
			slab.Kfree(slab.Kmalloc(64, gfp.NoWait))
		}
	}, 1)
	return nil
}

var sink *obj64 // global, so that objects are on the heap

func allocNew(t *task) error {
	a := allocator[*obj64]{freeAll: func(ps []*obj64) { clear(ps) }}
	a.hot = func(n int) {
		for range n {
			sink = new(obj64)
		}
		runtime.KeepAlive(sink)
	}
	a.fill = func(ps []*obj64) {
		for i := range ps {
			ps[i] = new(obj64)
		}
	}
	a.freeIn = func(order []int, ps []*obj64) {
		for _, j := range order {
			ps[j] = nil
		}
	}
	return a.measure(t)
}

func allocPool(t *task) error {
	pool := sync.Pool{New: func() any { return new(obj64) }}
	a := allocator[*obj64]{hot: func(n int) {
		for range n {
			pool.Put(pool.Get())
		}
	}}
	a.fill = func(ps []*obj64) {
		for i := range ps {
			ps[i] = pool.Get().(*obj64)
		}
	}
	a.freeIn = func(order []int, ps []*obj64) {
		for _, j := range order {
			pool.Put(ps[j])
		}
	}
	a.freeAll = func(ps []*obj64) {
		for _, p := range ps {
			pool.Put(p)
		}
	}
	return a.measure(t)
}

// allocModernc has an allocator that goroutines must not share without a lock:
// there is one where they do.
func allocModernc(t *task) error {
	var m memory.Allocator
	var failed error
	alloc := func() uintptr {
		p, err := m.UintptrMalloc(64)
		if err != nil {
			failed = err
		}
		return p
	}
	free := func(p uintptr) {
		if err := m.UintptrFree(p); err != nil {
			failed = err
		}
	}
	var mu sync.Mutex
	a := allocator[uintptr]{
		hot: func(n int) {
			for range n {
				free(alloc())
			}
		},
		fill: func(ps []uintptr) {
			for i := range ps {
				ps[i] = alloc()
			}
		},
		freeIn: func(order []int, ps []uintptr) {
			for _, j := range order {
				free(ps[j])
			}
		},
		freeAll: func(ps []uintptr) {
			for _, p := range ps {
				mu.Lock()
				free(p)
				mu.Unlock()
			}
		},
	}
	if t.mode == "remote" {
		a.fill = func(ps []uintptr) {
			for i := range ps {
				mu.Lock()
				ps[i] = alloc()
				mu.Unlock()
			}
		}
	}
	if err := a.measure(t); err != nil {
		return err
	}
	return errors.Join(failed, m.Close())
}
