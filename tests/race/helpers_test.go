package race_test

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/gfp"
	"quiesce/lock"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
	"quiesce/slab"
)

// object is full of words that readers read and writers change.
type object struct {
	v    [6]uint64
	next slab.Pointer[object]
}

func (o *object) set(v uint64) {
	for i := range o.v {
		o.v[i] = v
	}
}

func (o *object) sum() (s uint64) {
	for _, v := range o.v {
		s += v
	}
	return s
}

func newCache(opts ...slab.Option) *slab.Cache[object] {
	c, err := slab.NewCache[object]("objects", opts...)
	if err != nil {
		panic(err)
	}
	return c
}

// stock is a Sheaf of n objects.
func stock(c *slab.Cache[object], n int) *slab.Sheaf[object] {
	s, err := c.Sheaf(n, gfp.Kernel)
	if err != nil {
		panic(err)
	}
	return s
}

func alloc(c *slab.Cache[object], v uint64) *object {
	o := c.Alloc(gfp.Kernel)
	if o == nil {
		panic("no memory")
	}
	o.set(v)
	return o
}

// sections are the kinds of read-side section.
var sections = []func(fn func()){
	func(fn func()) { g := rcu.ReadLock(); fn(); g.Unlock() },
	func(fn func()) { g := rcu.ReadLockBH(); fn(); g.Unlock() },
	func(fn func()) { p := preempt.Disable(); fn(); p.Enable() },
	func(fn func()) { s := preempt.DisableIRQ(); fn(); s.Restore() },
	func(fn func()) { preempt.Hardirq(fn) },
	func(fn func()) { s := preempt.DisableIRQ(); preempt.Hardirq(fn); s.Restore() },
	func(fn func()) { var l lock.Raw; l.Lock(); fn(); l.Unlock() },
	func(fn func()) { // another goroutine unlocks
		g := rcu.ReadLock()
		fn()
		done := make(chan bool)
		go func() { g.Unlock(); close(done) }()
		<-done
	},
	func(fn func()) { // hand over hand
		a := preempt.Disable()
		b := preempt.Disable()
		fn()
		a.Enable()
		fn()
		c := preempt.Disable()
		b.Enable()
		fn()
		c.Enable()
	},
	func(fn func()) { // nested, both flavours
		g := rcu.ReadLock()
		p := preempt.Disable()
		fn()
		p.Enable()
		h := rcu.ReadLock()
		g.Unlock()
		h.Unlock()
	},
	func(fn func()) { // a registered reader
		r := rcu.NewReader()
		r.ReadLock()
		fn()
		r.Unlock()
		g := r.ReadLock()
		r.ReadLock()
		r.Unlock()
		fn()
		g.Unlock()
		r.Close()
	},
}

// readers returns one reader of what link leads to for every kind of section.
func readers(link *slab.Pointer[object]) (fns []func()) {
	for _, section := range sections {
		fns = append(fns, func() {
			section(func() {
				if o := link.Load(); o != nil {
					o.sum()
				}
			})
		})
	}
	return fns
}

// replace runs readers together with two writers that replace what they read
// and give the old object to free.
func replace(c *slab.Cache[object], free func(*object)) {
	var link slab.Pointer[object]
	write := func() {
		repeat(awhile, func(i int) {
			free(link.Swap(alloc(c, uint64(i))))
			runtime.Gosched()
		})
	}
	during(readers(&link), write, write)
	c.Free(link.Load())
	if err := c.Close(); err != nil {
		panic(err)
	}
}

// replaceByOwners is replace with a Sheaf for each writer.
func replaceByOwners(c *slab.Cache[object]) {
	var link slab.Pointer[object]
	write := func() {
		s := stock(c, 10)
		repeat(awhile, func(i int) {
			o := s.Alloc(gfp.Kernel)
			o.set(uint64(i))
			s.FreeRCU(link.Swap(o))
			s.Free(s.Alloc(gfp.Kernel | gfp.Zero))
			runtime.Gosched()
		})
		s.Close()
	}
	during(readers(&link), write, write)
	c.Free(link.Load())
	if err := c.Close(); err != nil {
		panic(err)
	}
}

// small returns a cache that exchanges sheaves, slabs and pages all the time.
func small(pages *page.Allocator) *slab.Cache[object] {
	return newCache(slab.WithAllocator(pages), slab.WithSheaf(8), slab.WithDepot(1))
}

func newPages(limit int64) *page.Allocator {
	a, err := page.New(page.Config{Limit: limit})
	if err != nil {
		panic(err)
	}
	return a
}

// long is how long a scenario waits for the report that ends it.
const long = 40 * time.Second

// awhileEnv has the time for which a scenario that must be silent runs.
const awhileEnv = "QUIESCE_TEST_AWHILE"

var awhile = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv(awhileEnv)); err == nil {
		return d
	}
	return 300 * time.Millisecond
}()

// workerEnds waits until the worker that runs callbacks has ended.
func workerEnds() { time.Sleep(50 * time.Millisecond) }

// repeat calls fn for a while.
func repeat(d time.Duration, fn func(i int)) {
	end := time.Now().Add(d)
	for i := 0; time.Now().Before(end); i++ {
		fn(i)
	}
}

// together runs the functions at the same time. What the caller did before
// happens before all of them, and they happen before it continues.
func together(fns ...func()) {
	var wg sync.WaitGroup
	for _, fn := range fns {
		wg.Go(fn)
	}
	wg.Wait()
}

// during runs each of the loops over and over until one of the works has
// returned.
func during(loops []func(), works ...func()) {
	var stop atomic.Bool
	var fns []func()
	for _, loop := range loops {
		fns = append(fns, func() {
			for !stop.Load() {
				loop()
				runtime.Gosched()
			}
		})
	}
	for _, work := range works {
		fns = append(fns, func() {
			work()
			stop.Store(true)
		})
	}
	together(fns...)
}

// enter begins a section and returns what ends it.
func enter(pinned bool) (leave func()) {
	if pinned {
		return preempt.Disable().Enable
	}
	g := rcu.ReadLock()
	return g.Unlock
}
