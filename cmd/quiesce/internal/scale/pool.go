package scale

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"unsafe"

	"quiesce/cmd/quiesce/internal/compare"
	"quiesce/gfp"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/slab"
)

var errMemory = errors.New("no memory for an object")

// pool is one way to allocate and to free after a grace period. Its loop is the
// inner loop of the test, so that what is measured has no indirect calls in it.
type pool interface {
	loop(n int) error
	barrier() // until all that was freed is back
	resident() int64
	peak() int64
	ways() (arrays, fallback uint64)
	does() string
	sizes() []int
	close() error
}

const objectBytes = 24 // rcuscale's object: 8 bytes and an rcu_head

// varied are the sizes of kfree_vary_obj_size, with their rcu_head.
var varied = []int{16 + 16, 32 + 16, 64 + 16, 96 + 16}

func openPool(cfg *KfreeConfig) (pool, error) {
	if cfg.Strategy != "" {
		return openStrategy(cfg.Strategy)
	}
	pages, err := page.New(page.Config{Name: "scale"})
	if err != nil {
		return nil, err
	}
	sizes := []int{objectBytes * cfg.Mult}
	if cfg.VarySize {
		sizes = varied
	}
	b := base{pages: pages, heap: slab.NewHeap(pages), bytes: sizes}
	if err := b.heap.Prepare(sizes...); err != nil {
		return nil, errors.Join(err, b.close())
	}
	switch {
	case cfg.ByCallRCU:
		return callPool{b}, nil
	case cfg.Single && cfg.Double:
		return mixedPool{b}, nil
	case cfg.Single:
		return singlePool{b}, nil
	case cfg.VarySize || cfg.Mult > 1: // no type has such a size: its caller knows it
		return sizedPool{b}, nil
	}
	c, err := slab.NewCache[[objectBytes / 8]uint64]("scale", slab.WithAllocator(pages))
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return cachePool{b, c}, nil
}

// base has a heap of size classes.
type base struct {
	pages *page.Allocator
	heap  *slab.Heap
	bytes []int
}

func (b base) sizes() []int    { return b.bytes }
func (b base) resident() int64 { return b.pages.Stats().Resident }
func (b base) peak() int64     { return b.pages.Stats().Peak }
func (b base) barrier()        { b.heap.Barrier() }
func (b base) close() error    { return errors.Join(b.heap.Close(), b.pages.Close()) }

func (b base) ways() (arrays, fallback uint64) {
	for _, s := range b.heap.Stats() {
		arrays += s.RCUArrays
		fallback += s.Fallback
	}
	return arrays, fallback
}

// alloc returns the i-th object of a loop, written to like rcuscale's caller's.
func (b base) alloc(i int) (unsafe.Pointer, int) {
	size := b.bytes[0]
	if len(b.bytes) > 1 {
		size = b.bytes[i%len(b.bytes)]
	}
	return b.heap.Kmalloc(size, gfp.Kernel), size
}

// cachePool frees objects of a cache: the counterpart of kfree_rcu with an
// rcu_head, because their cache is known without reading the page's metadata.
type cachePool struct {
	base
	c *slab.Cache[[objectBytes / 8]uint64]
}

func (p cachePool) does() string { return "Cache.Alloc, Cache.FreeRCU" }
func (p cachePool) barrier()     { p.c.Barrier() }
func (p cachePool) close() error { return errors.Join(p.c.Close(), p.base.close()) }

func (p cachePool) ways() (arrays, fallback uint64) {
	s := p.c.Stats()
	return s.RCUArrays, s.Fallback
}

func (p cachePool) loop(n int) error {
	for range n {
		o := p.c.Alloc(gfp.Kernel)
		if o == nil {
			return errMemory
		}
		p.c.FreeRCU(o)
	}
	return nil
}

// sizedPool is the same for a caller that knows the size.
type sizedPool struct{ base }

func (p sizedPool) does() string { return "Kmalloc, KfreeRCUSized" }

func (p sizedPool) loop(n int) error {
	for i := range n {
		o, size := p.alloc(i)
		if o == nil {
			return errMemory
		}
		p.heap.KfreeRCUSized(o, size)
	}
	return nil
}

// singlePool is kfree_rcu with one argument: the size is found by the page.
type singlePool struct{ base }

func (p singlePool) does() string { return "Kmalloc, KfreeRCU" }

func (p singlePool) loop(n int) error {
	for i := range n {
		o, _ := p.alloc(i)
		if o == nil {
			return errMemory
		}
		p.heap.KfreeRCU(o)
	}
	return nil
}

// mixedPool is what rcuscale does when both tests are asked for: a coin.
type mixedPool struct{ base }

func (p mixedPool) does() string { return "Kmalloc; KfreeRCUSized or KfreeRCU, at random" }

func (p mixedPool) loop(n int) error {
	var coins uint64
	for i := range n {
		o, size := p.alloc(i)
		if o == nil {
			return errMemory
		}
		if i%64 == 0 {
			coins = rand.Uint64()
		}
		if coins>>(i%64)&1 == 0 {
			p.heap.KfreeRCUSized(o, size)
		} else {
			p.heap.KfreeRCU(o)
		}
	}
	return nil
}

// callPool frees in a callback: kfree_by_call_rcu.
type callPool struct{ base }

func (p callPool) does() string { return "Kmalloc, rcu.Call(Kfree)" }
func (p callPool) barrier()     { rcu.Barrier() }

func (p callPool) loop(n int) error {
	for i := range n {
		o, _ := p.alloc(i)
		if o == nil {
			return errMemory
		}
		rcu.Call(func() { p.heap.Kfree(o) })
	}
	return nil
}

// strategyPool is one of compare's strategies.
type strategyPool struct{ in *compare.Instance }

// Strategies are the names for KfreeConfig.Strategy.
func Strategies() (names []string) {
	for _, s := range compare.Strategies {
		names = append(names, s.Name)
	}
	return names
}

func openStrategy(name string) (pool, error) {
	if compare.Lookup(name) == nil {
		return nil, BadInput("no strategy is called %q: want one of %v", name, Strategies())
	}
	const depot = 4 << 20 // slab's default
	in, err := compare.New(name, compare.Config{Depot: depot})
	if err != nil {
		return nil, err
	}
	return strategyPool{in}, nil
}

func (p strategyPool) does() string    { return fmt.Sprintf("strategy %s: %s", p.in.Name, p.in.Does) }
func (p strategyPool) sizes() []int    { return []int{int(unsafe.Sizeof(compare.Object{}))} }
func (p strategyPool) barrier()        { p.in.Barrier() }
func (p strategyPool) resident() int64 { return p.in.Pages().Resident }
func (p strategyPool) peak() int64     { return p.in.Pages().Peak }
func (p strategyPool) close() error    { return p.in.Close() }

func (p strategyPool) ways() (arrays, fallback uint64) {
	c := p.in.Counts()
	return c.Arrays, c.Fallback
}

func (p strategyPool) loop(n int) error {
	for range n {
		o := p.in.Alloc()
		if o == nil {
			return errMemory
		}
		p.in.Free(o)
	}
	return nil
}
