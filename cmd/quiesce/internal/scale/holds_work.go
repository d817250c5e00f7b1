package scale

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/rcuhash"
	"quiesce/slab"
)

// holdsJob is a piece of the library's heavy work. run does it once, with some n
// objects or keys, and leaves nothing allocated.
type holdsJob struct {
	name string
	does string
	run  func(pages *page.Allocator, n int) error
}

var holdsJobs = []holdsJob{
	{"flood", "FreeRCU of all objects under one reader, then Barrier and Shrink", floodJob},
	{"empty slabs", "a cache is filled, all objects are freed, Shrink", emptyJob},
	{"many caches", "a cache for each 100 objects, frees pending, Close", cachesJob},
	{"at the limit", "allocations of many goroutines at a limit of 1 MiB", limitJob},
	{"chain", "FreeRCU without memory for arrays, then Barrier", chainJob},
	{"validate", "Validate of a cache with many slabs, full, partial and empty", validateJob},
	{"leak", "Close of a cache with one object left of many", leakJob},
	{"size classes", "objects of all sizes, freed one by one and deferred", classesJob},
	{"pages", "single pages, every second one freed, then blocks of all orders; Shrink", pagesJob},
	{"hash map", "Put, Get and Delete of all keys", mapJob},
	{"callbacks", "Call, Barrier and Synchronize", callsJob},
	{"GOMAXPROCS", "the flood, with the number of Ps changed meanwhile", procsJob},
}

// runHoldsJobs does each job twice, on one allocator.
func runHoldsJobs(ctx context.Context, n int, tell func(name string)) error {
	pages, err := page.New(page.Config{Name: "holds"})
	if err != nil {
		return err
	}
	for range 2 {
		for _, j := range holdsJobs {
			if ctx.Err() != nil {
				break
			}
			tell(j.name)
			if err := j.run(pages, n); err != nil {
				return fmt.Errorf("%s: %w", j.name, err)
			}
		}
	}
	return pages.Close()
}

// withCache gives fn a cache, and closes it.
func withCache[T any](pages *page.Allocator, fn func(c *slab.Cache[T]) error) error {
	c, err := slab.NewCache[T]("holds", slab.WithAllocator(pages))
	if err != nil {
		return err
	}
	return errors.Join(fn(c), c.Close())
}

// fill allocates objects, and writes to them.
func fill[T any](c *slab.Cache[T], n int) ([]*T, error) {
	objects := make([]*T, n)
	if c.AllocBulk(gfp.Kernel, objects) != n {
		return nil, errMemory
	}
	return objects, nil
}

func floodJob(pages *page.Allocator, n int) error {
	return withCache(pages, func(c *slab.Cache[object]) error {
		g := rcu.ReadLock()
		failed := floodCache(c, n/2)
		g.Unlock()
		c.Barrier()
		c.Shrink()
		return failed
	})
}

// floodCache allocates and frees n objects on each P.
func floodCache(c *slab.Cache[object], n int) error {
	ps := runtime.GOMAXPROCS(0)
	failed := make([]bool, ps)
	crew(ps, func(i int) {
		for range n {
			o := c.Alloc(gfp.Kernel)
			if o == nil {
				failed[i] = true
				return
			}
			o[0] = 1
			c.FreeRCU(o)
		}
	})
	for _, f := range failed {
		if f {
			return errMemory
		}
	}
	return nil
}

func emptyJob(pages *page.Allocator, n int) error {
	return withCache(pages, func(c *slab.Cache[[4096]byte]) error {
		objects, err := fill(c, 2*n)
		if err != nil {
			return err
		}
		for i := range objects { // far from each other, as after a long life
			j := i * 7919 % len(objects)
			if objects[j] != nil {
				c.Free(objects[j])
				objects[j] = nil
			}
		}
		rest := objects[:0]
		for _, o := range objects {
			if o != nil {
				rest = append(rest, o)
			}
		}
		c.FreeBulk(rest)
		c.Shrink()
		return nil
	})
}

func cachesJob(pages *page.Allocator, n int) error {
	caches := make([]*slab.Cache[object], max(n/100, 1))
	for i := range caches {
		var err error
		if caches[i], err = slab.NewCache[object]("holds", slab.WithAllocator(pages)); err != nil {
			return err
		}
		for range 100 {
			o := caches[i].Alloc(gfp.Kernel)
			if o == nil {
				return errMemory
			}
			caches[i].FreeRCU(o)
		}
	}
	crew(runtime.GOMAXPROCS(0), func(p int) {
		for i := p; i < len(caches); i += runtime.GOMAXPROCS(0) {
			if caches[i] != nil && i%4 == 0 {
				caches[i].Barrier()
			}
		}
	})
	var err error
	for _, c := range caches {
		err = errors.Join(err, c.Close())
	}
	return err
}

func limitJob(_ *page.Allocator, n int) error {
	crowded, err := page.New(page.Config{Name: "holds", Limit: 1 << 20, Reserve: 64 << 20})
	if err != nil {
		return err
	}
	err = withCache(crowded, func(c *slab.Cache[[512]byte]) error {
		crew(16, func(int) {
			for range n / 16 {
				if o := c.Alloc(gfp.Kernel | gfp.NoWarn); o != nil {
					c.FreeRCU(o)
				}
			}
		})
		return nil
	})
	return errors.Join(err, crowded.Close())
}

func chainJob(pages *page.Allocator, n int) error {
	return withCache(pages, func(c *slab.Cache[object]) error {
		objects, err := fill(c, 2*n)
		if err != nil {
			return err
		}
		fault.Page.Set(fault.Attr{Probability: 100})
		defer fault.Page.Set(fault.Attr{})
		g := rcu.ReadLock()
		for _, o := range objects {
			c.FreeRCU(o)
		}
		g.Unlock()
		c.Barrier()
		return nil
	})
}

func validateJob(pages *page.Allocator, n int) error {
	return withCache(pages, func(c *slab.Cache[[4096]byte]) error {
		objects, err := fill(c, 2*n)
		if err != nil {
			return err
		}
		kept := objects[:0]
		for i, o := range objects {
			if i < n && i%7 != 0 { // of the slabs of the first half
				kept = append(kept, o)
			} else {
				c.Free(o)
			}
		}
		errors := c.Validate()
		c.FreeBulk(kept)
		if errors > 0 {
			return fmt.Errorf("%d errors found by Validate", errors)
		}
		return nil
	})
}

func leakJob(_ *page.Allocator, n int) error {
	// What leaks stays allocated: one slab, of an allocator that stays open.
	pages, err := page.New(page.Config{Name: "holds: leak", Reserve: 256 << 20})
	if err != nil {
		return err
	}
	c, err := slab.NewCache[[512]byte]("holds", slab.WithAllocator(pages))
	if err != nil {
		return err
	}
	objects, err := fill(c, 4*n)
	if err != nil {
		return err
	}
	last := objects[len(objects)-1]
	c.FreeBulk(objects[:len(objects)-1])
	leak := (*slab.LeakError)(nil)
	if err := c.Close(); !errors.As(err, &leak) || leak.First != uintptr(unsafe.Pointer(last)) {
		return fmt.Errorf("the object that is left was not found: %w", err)
	}
	pages.Shrink()
	return nil
}

func classesJob(pages *page.Allocator, n int) error {
	h := slab.NewHeap(pages)
	sizes := []int{16, 24, 64, 200, 1000, 4096, 8192, 40_000}
	objects := make([]unsafe.Pointer, 0, n)
	for i, bytes := 0, 0; i < n && bytes < 32<<20; i++ {
		size := sizes[i%len(sizes)]
		o := h.Kmalloc(size, gfp.Kernel)
		if o == nil {
			return errMemory
		}
		objects = append(objects, o)
		bytes += size
	}
	free := [2]func(unsafe.Pointer){h.KfreeRCU, h.Kfree}
	for i, o := range objects {
		free[i%2](o)
	}
	h.Barrier()
	return h.Close()
}

// pagesJob leaves every second page in use, so that free ones do not merge.
func pagesJob(pages *page.Allocator, n int) error {
	n *= 4
	single := make([]unsafe.Pointer, n)
	for i := range single {
		if single[i] = pages.Alloc(0, gfp.Kernel); single[i] == nil {
			return errMemory
		}
	}
	for i := 0; i < n; i += 2 {
		pages.Free(single[i], 0)
	}
	pages.Shrink()
	for i := 1; i < n; i += 2 {
		pages.Free(single[i], 0)
	}
	for order := range page.MaxOrder {
		if p := pages.Alloc(order, gfp.Kernel); p != nil {
			pages.Free(p, order)
		}
	}
	pages.Shrink()
	return nil
}

func mapJob(pages *page.Allocator, n int) error {
	n /= 2
	m, err := rcuhash.New[uint64, uint64](n/4, rcuhash.WithAllocator(pages))
	if err != nil {
		return err
	}
	ps := runtime.GOMAXPROCS(0)
	failed := make([]bool, ps)
	crew(ps, func(p int) {
		for k := uint64(p); k < uint64(n); k += uint64(ps) {
			failed[p] = failed[p] || !m.Put(k, k)
		}
		for k := uint64(p); k < uint64(n); k += uint64(ps) {
			g := rcu.ReadLock()
			failed[p] = failed[p] || m.Get(g, k) == nil
			g.Unlock()
			failed[p] = failed[p] || !m.Delete(k)
		}
	})
	m.Barrier()
	err = m.Close()
	for _, f := range failed {
		if f {
			err = errors.Join(err, errMemory)
		}
	}
	return err
}

func callsJob(_ *page.Allocator, n int) error {
	crew(runtime.GOMAXPROCS(0), func(int) {
		for i := range n / 4 {
			rcu.Call(func() {})
			if i%100 == 0 {
				rcu.Synchronize()
			}
		}
	})
	rcu.Barrier()
	return nil
}

func procsJob(pages *page.Allocator, n int) error {
	was := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(was)
	return withCache(pages, func(c *slab.Cache[object]) error {
		for _, ps := range []int{2 * was, 1, was + 1, was} {
			runtime.GOMAXPROCS(ps)
			if err := floodCache(c, n/8); err != nil {
				return err
			}
			c.Shrink()
		}
		return nil
	})
}
