package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/gfp"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/slab"
)

// The cold flood: objects whose cache lines are in no cache are given to
// FreeRCU all at once, and reclaimed. It is what the arrays are for: the bare
// walk of the same objects as a linked list misses the cache at every object.

const (
	floodRounds = 3 // the report has the medians
	evictBytes  = 256 << 20
	cellBytes   = 64
)

// cell is an object of the flood: one cache line.
type cell struct {
	word uint64
	next slab.Pointer[cell]
	_    [6]uint64
}

// flooder is the state of one kind of reclaim.
type flooder struct {
	cache *slab.Cache[cell]
	cells []*cell // all allocated
	rng   *rand.Rand
	sweep *kit.Sweep

	enqueue, reclaim, first, walk, write []float64 // ns per object, by round
}

// flood does the cold flood by hand-over, and by kfree_bulk.
func (j *job) flood(ctx context.Context) error {
	n := j.cfg.Flood
	rep := &FloodReport{Objects: n, ObjectBytes: cellBytes, Rounds: floodRounds, EvictBytes: evictBytes}
	sweep := kit.NewSweep(evictBytes)
	cells := make([]*cell, n)
	for i, way := range []struct {
		out   *FloodWay
		depot int64
	}{{&rep.HandOver, 1 << 40}, {&rep.Bulk, 0}} {
		pages, err := page.New(page.Config{Name: "flood"})
		if err != nil {
			return err
		}
		cache, err := slab.NewCache[cell]("flood", slab.WithAllocator(pages), slab.WithDepot(way.depot))
		if err != nil {
			pages.Close()
			return err
		}
		f := &flooder{cache: cache, cells: cells, rng: j.random("flood", i), sweep: sweep}
		got := f.fill()
		for r := 0; r < floodRounds && got == n && ctx.Err() == nil; r++ {
			done, all := i*floodRounds+r, 2*floodRounds
			j.progress.Report(Flood.step(done, all, fmt.Sprintf("cold flood, step %d of %d", done, all)))
			f.round(i == 0)
			got = f.fill()
		}
		s := cache.Stats()
		way.out.Enqueue, way.out.Reclaim, way.out.FirstWrite = kit.Median(f.enqueue), kit.Median(f.reclaim), kit.Median(f.first)
		way.out.Arrays = 100 * float64(s.RCUArrays) / float64(max(s.RCUArrays+s.Fallback, 1))
		if i == 0 {
			rep.ListWalk, rep.ColdWrite = kit.Median(f.walk), kit.Median(f.write)
		}
		cache.FreeBulk(cells[:got])
		if err := cache.Close(); err != nil {
			j.leak(uint64(cache.Stats().Out), "the flood's cache: "+err.Error())
		}
		if err := pages.Close(); err != nil {
			j.leak(1, "the flood's page allocator: "+err.Error())
		}
		if got < n {
			return fmt.Errorf("the system has no memory for a flood of %d objects: it ended after %d", n, got)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	j.rep.ColdFlood = rep
	return nil
}

// fill allocates all objects that are missing and writes their first word,
// which is the miss that reclaiming them avoided. It returns how many it got,
// and times all calls but the first, whose pages are new.
func (f *flooder) fill() int {
	f.sweep.Run()
	start := time.Now()
	for i := range f.cells {
		c := f.cache.Alloc(gfp.Kernel)
		if c == nil {
			return i
		}
		c.word = uint64(i)
		f.cells[i] = c
	}
	if len(f.enqueue) > 0 {
		f.first = append(f.first, f.per(start))
	}
	return len(f.cells)
}

// round frees all objects in shuffled order. The guard keeps the grace period
// from ending before all of them are enqueued.
func (f *flooder) round(list bool) {
	f.rng.Shuffle(len(f.cells), func(i, j int) { f.cells[i], f.cells[j] = f.cells[j], f.cells[i] })
	if list {
		f.walkList()
		f.writeCold()
	}
	f.sweep.Run()
	g := rcu.ReadLock()
	start := time.Now()
	for _, c := range f.cells {
		f.cache.FreeRCU(c)
	}
	f.enqueue = append(f.enqueue, f.per(start))
	g.Unlock()
	start = time.Now()
	f.cache.Barrier()
	f.reclaim = append(f.reclaim, f.per(start))
}

// walkList links the objects and walks the list.
func (f *flooder) walkList() {
	for i, c := range f.cells[1:] {
		f.cells[i].next.Store(c)
	}
	f.cells[len(f.cells)-1].next.Store(nil)
	f.sweep.Run()
	n := 0
	start := time.Now()
	for c := f.cells[0]; c != nil; c = c.next.LoadProtected(true) { // no one else has them
		n++
	}
	if n == len(f.cells) {
		f.walk = append(f.walk, f.per(start))
	}
}

// writeCold writes the first words without allocating. An allocation's own
// stores have to wait for the one that misses, so the misses of fill overlap less
// than these.
func (f *flooder) writeCold() {
	f.sweep.Run()
	start := time.Now()
	for i, c := range f.cells {
		c.word = uint64(i)
	}
	f.write = append(f.write, f.per(start))
}

func (f *flooder) per(start time.Time) float64 {
	return float64(time.Since(start).Nanoseconds()) / float64(len(f.cells))
}
