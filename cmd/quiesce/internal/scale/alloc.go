package scale

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/kit/perf"
	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/page"
	"quiesce/slab"
)

// AllocConfig says what to measure of the allocator.
type AllocConfig struct {
	Sizes   []int    `json:"sizes"` // of allocSizes
	Cases   []string `json:"cases"` // none: all
	Repeats int      `json:"repeats"`
}

// AllocReport has one result for each size and case.
type AllocReport struct {
	AllocConfig
	Procs   int           `json:"gomaxprocs"`
	Results []AllocResult `json:"results"`
	Partial bool          `json:"partial"`
}

// AllocResult is in ns for an object: its allocation and its freeing.
type AllocResult struct {
	Case   string  `json:"case"`
	Does   string  `json:"does"`
	Bytes  int     `json:"bytes"`
	NS     float64 `json:"ns"` // median
	Min    float64 `json:"min_ns"`
	Max    float64 `json:"max_ns"`
	CPU    float64 `json:"cpu_ns"`           // of all threads, workers included; median
	New    float64 `json:"new_ns,omitempty"` // Go's new, where it has the case; median
	Noisy  bool    `json:"noisy"`
	values []float64
	cpus   []float64
	news   []float64
}

var allocCases = [][2]string{
	{"hot", "Alloc, Free"},
	{"shuffled", "10,000 allocated, freed in shuffled order"},
	{"remote", "allocated by one goroutine, freed by another"},
	{"churn", "Alloc, FreeRCU, 1000 at a time, grace periods included"},
}

// allocRig measures one size.
type allocRig interface {
	run(name string, n int)
	fresh(n int) // new
	close() error
}

var allocSizes = map[int]func(*page.Allocator) (allocRig, error){
	16:   openRig[[2]uint64],
	64:   openRig[[8]uint64],
	256:  openRig[[32]uint64],
	1024: openRig[[128]uint64],
	4096: openRig[[512]uint64],
}

// AllocSizes are the sizes there are.
func AllocSizes() (all []int) {
	for n := range allocSizes {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// AllocCases are the names for AllocConfig.Cases, and what each does.
func AllocCases() [][2]string { return allocCases }

// Alloc measures allocation and freeing.
func Alloc(ctx context.Context, cfg AllocConfig, tell Tell) (*AllocReport, error) {
	if len(cfg.Sizes) == 0 {
		cfg.Sizes = AllocSizes()
	}
	if len(cfg.Cases) == 0 {
		for _, c := range allocCases {
			cfg.Cases = append(cfg.Cases, c[0])
		}
	}
	if err := check(bounds{"repeats", int64(cfg.Repeats), 1, 10_000, false}); err != nil {
		return nil, err
	}
	r := &AllocReport{AllocConfig: cfg, Procs: runtime.GOMAXPROCS(0)}
	for _, size := range cfg.Sizes {
		if allocSizes[size] == nil {
			return nil, BadInput("no size of %d bytes: want some of %v", size, AllocSizes())
		}
		for _, name := range cfg.Cases {
			i := slices.IndexFunc(allocCases, func(c [2]string) bool { return c[0] == name })
			if i < 0 {
				return nil, BadInput("no case is called %q: want some of %s", name, strings.Join(allocNames(), ", "))
			}
			r.Results = append(r.Results, AllocResult{Case: name, Does: allocCases[i][1], Bytes: size})
		}
	}
	pages, err := page.New(page.Config{Name: "scale"})
	if err != nil {
		return nil, err
	}
	rigs := map[int]allocRig{}
	for _, size := range cfg.Sizes {
		if rigs[size] == nil {
			if rigs[size], err = allocSizes[size](pages); err != nil {
				return nil, err
			}
		}
	}
	for n := -1; n < cfg.Repeats && ctx.Err() == nil; n++ { // the first is to warm up
		for i := range r.Results {
			if ctx.Err() != nil {
				break
			}
			r.Results[i].measure(rigs[r.Results[i].Bytes], n >= 0)
		}
		tell.say("repeat %d of %d", max(n+1, 0), cfg.Repeats)
	}
	r.Partial = ctx.Err() != nil
	for i := range r.Results {
		r.Results[i].sum()
	}
	for _, g := range rigs {
		err = errors.Join(err, g.close())
	}
	return r, errors.Join(err, pages.Close())
}

func allocNames() (names []string) {
	for _, c := range allocCases {
		names = append(names, c[0])
	}
	return names
}

// allocTurn is how many objects one measurement has: some milliseconds.
const allocTurn = 200_000

func (a *AllocResult) measure(g allocRig, keep bool) {
	n := allocTurn
	if a.Bytes >= 1024 {
		n /= 4
	}
	cpu, _ := perf.Usage()
	t := sys.Nanotime()
	g.run(a.Case, n)
	ns := float64(sys.Nanotime()-t) / float64(n)
	cpuEnd, _ := perf.Usage()
	if keep {
		a.values = append(a.values, ns)
		a.cpus = append(a.cpus, float64(cpuEnd-cpu)/float64(n))
	}
	if a.Case == "hot" {
		t = sys.Nanotime()
		g.fresh(n)
		if ns := float64(sys.Nanotime()-t) / float64(n); keep {
			a.news = append(a.news, ns)
		}
	}
}

func (a *AllocResult) sum() {
	if len(a.values) == 0 {
		return
	}
	a.NS, a.CPU, a.New = kit.Median(a.values), kit.Median(a.cpus), kit.Median(a.news)
	a.Min, a.Max = slices.Min(a.values), slices.Max(a.values)
	a.Noisy = majoritySpread(a.values) > noisyFrom
}

const shuffledObjects = 10_000

// rig has the loops, written out for a type.
type rig[T any] struct {
	c          *slab.Cache[T]
	objs       []*T
	perm       []int
	toFree     chan []*T
	toAllocate chan []*T
}

func openRig[T any](pages *page.Allocator) (allocRig, error) {
	g, err := newRig[T](pages)
	return g, err
}

func newRig[T any](pages *page.Allocator) (*rig[T], error) {
	c, err := slab.NewCache[T]("scale", slab.WithAllocator(pages))
	if err != nil {
		return nil, err
	}
	g := &rig[T]{c: c, objs: make([]*T, shuffledObjects), perm: rand.Perm(shuffledObjects),
		toFree: make(chan []*T, 8), toAllocate: make(chan []*T, 8)}
	for range 8 {
		g.toAllocate <- make([]*T, 1000)
	}
	return g, nil
}

func (g *rig[T]) close() error { return g.c.Close() }

func (g *rig[T]) run(name string, n int) {
	switch name {
	case "hot":
		g.hot(n)
	case "shuffled":
		g.shuffled(n)
	case "remote":
		g.remote(n)
	case "churn":
		g.churn(n)
	}
}

func (g *rig[T]) hot(n int) {
	c := g.c
	for range n {
		c.Free(c.Alloc(gfp.NoWait))
	}
}

// fresh is Go's own allocation; the garbage is part of the figure.
func (g *rig[T]) fresh(n int) {
	for range n {
		escape(new(T))
	}
}

// escape keeps an object on the heap.
//
//go:noinline
func escape[T any](p *T) {
	if p == nil {
		escaped.Store(p)
	}
}

var escaped atomic.Value

func (g *rig[T]) shuffled(n int) {
	c, objs := g.c, g.objs
	for ; n > 0; n -= len(objs) {
		for i := range objs {
			objs[i] = c.Alloc(gfp.Kernel)
		}
		for _, i := range g.perm {
			c.Free(objs[i])
		}
	}
}

func (g *rig[T]) remote(n int) {
	rounds := (n + 999) / 1000
	done := make(chan struct{})
	go func() {
		for range rounds {
			objs := <-g.toFree
			g.c.FreeBulk(objs)
			g.toAllocate <- objs
		}
		close(done)
	}()
	for range rounds {
		objs := <-g.toAllocate
		for i := range objs {
			objs[i] = g.c.Alloc(gfp.Kernel)
		}
		g.toFree <- objs
	}
	<-done
}

// churn ends when everything is reclaimed.
func (g *rig[T]) churn(n int) {
	c, objs := g.c, g.objs[:1000]
	for ; n > 0; n -= len(objs) {
		for i := range objs {
			objs[i] = c.Alloc(gfp.Kernel)
		}
		for _, o := range objs {
			c.FreeRCU(o)
		}
	}
	c.Barrier()
}
