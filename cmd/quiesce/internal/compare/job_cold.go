package compare

import (
	"math/rand/v2"
	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/kit/perf"

	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/rcu"
)

const (
	noWarn      = gfp.Kernel | gfp.NoWarn
	errNoObject = poolError("compare: no memory for an object")
)

// floodRun is one flood, in ns for an object.
type floodRun struct {
	enqueue, reclaim, first float64
	misses                  float64
	missesCounted           bool
}

// cold floods: objects that are in no cache are freed all at once, in shuffled
// order, while a reader holds the grace period up; then the reader leaves. Twice:
// with a depot that keeps every free object, so that arrays may change hands,
// and with one that keeps none, so that every object goes back to its slab.
func (b *bench) cold(j Job) (*Cold, error) {
	c := &Cold{Where: b.where(j), Objects: j.Objects}
	for _, way := range []struct {
		depot int64
		out   *float64
	}{{1 << 40, &c.HandOver}, {0, &c.Bulk}} {
		runs, err := b.floods(j, way.depot, c)
		if err != nil {
			return nil, err
		}
		var enqueue, reclaim, first, misses []float64
		for _, r := range runs {
			enqueue, reclaim, first = append(enqueue, r.enqueue), append(reclaim, r.reclaim), append(first, r.first)
			if r.missesCounted {
				misses = append(misses, r.misses)
			}
		}
		*way.out = kit.Median(reclaim)
		if way.depot == 0 {
			continue
		}
		c.Enqueue, c.FirstWrite = kit.Median(enqueue), kit.Median(first)
		if len(misses) > 0 {
			m := kit.Median(misses)
			c.Misses = &m
		}
	}
	return c, nil
}

// floods repeats the flood with one depot, and adds to c what belongs to both.
func (b *bench) floods(j Job, depot int64, c *Cold) (runs []floodRun, err error) {
	in, err := New(b.strategy, Config{Depot: depot})
	if err != nil {
		return nil, err
	}
	objs, err := in.fill(j.Objects)
	if err != nil {
		return nil, err
	}
	ctx := in.newCaller(j.Caller)
	t, err := b.repeat(func() (float64, error) {
		r, err := b.flood(in, j, ctx, objs)
		runs = append(runs, r)
		return r.enqueue + r.reclaim, err
	})
	if err != nil {
		return nil, err
	}
	c.Runs += t.Runs
	c.Spread = max(c.Spread, t.Spread)
	c.Noisy = c.Noisy || t.Noisy
	if depot != 0 {
		c.Fallback = in.Counts().fallbackShare()
	}
	c.Peak = max(c.Peak, in.Pages().Peak)
	in.cache.FreeBulk(objs)
	return runs, in.Close()
}

// flood frees objs once and allocates them again.
func (b *bench) flood(in *Instance, j Job, ctx *caller, objs []*Object) (r floodRun, err error) {
	in.Stock(2*heldMost + j.Objects/arrayCap*5/4)
	rand.Shuffle(len(objs), func(i, k int) { objs[i], objs[k] = objs[k], objs[i] })
	squeezed := in.Squeeze(heldMost)
	b.sweep().Run()
	g := rcu.ReadLock()
	begin := sys.Nanotime()
	for n := 0; n < len(objs); n += burst {
		ctx.do(func(raw bool) {
			if j.Exhausted && raw {
				squeezed.Take()
			}
			for _, o := range objs[n:min(n+burst, len(objs))] {
				ctx.free(o, raw)
			}
		})
	}
	r.enqueue = b.per(begin, j)
	counter, noCounter := perf.CountMisses()
	g.Unlock()
	begin = sys.Nanotime()
	in.Barrier()
	r.reclaim = b.per(begin, j)
	if noCounter == nil {
		r.misses, r.missesCounted = float64(counter.Read())/float64(j.Objects), true
		counter.Close()
	}
	squeezed.Release()
	begin = sys.Nanotime()
	for i := range objs {
		o := ctx.alloc()
		if o == nil {
			return r, errNoObject
		}
		o.Stamp = uint64(i)
		objs[i] = o
	}
	r.first = b.per(begin, j)
	return r, nil
}

func (b *bench) per(begin int64, j Job) float64 {
	return float64(sys.Nanotime()-begin) / float64(j.Objects)
}
