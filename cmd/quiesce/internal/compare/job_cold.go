package compare

import (
	"math/rand/v2"

	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/rcu"
)

const (
	noWarn      = gfp.Kernel | gfp.NoWarn
	errNoObject = poolError("compare: no memory for an object")
)

// cold floods: objects that are in no cache are freed all at once, in shuffled
// order, while a reader holds the grace period up; then the reader leaves. Twice:
// with a depot that keeps every free object, so that arrays may change hands,
// and with one that keeps none, so that every object goes back to its slab.
func (b *bench) cold(j Job) (*Cold, error) {
	c := &Cold{Where: b.where(j), Objects: j.Objects}
	var enqueue, first, misses []float64
	for _, way := range []struct {
		depot int64
		out   *float64
	}{{1 << 40, &c.HandOver}, {0, &c.Bulk}} {
		in, err := New(b.strategy, Config{Depot: way.depot})
		if err != nil {
			return nil, err
		}
		objs, err := in.fill(j.Objects)
		if err != nil {
			return nil, err
		}
		ctx := newCaller(j.Caller)
		var reclaim []float64
		t, err := repeat(func() (float64, error) {
			in.Stock(2*heldMost + j.Objects/arrayCap*5/4)
			rand.Shuffle(len(objs), func(i, k int) { objs[i], objs[k] = objs[k], objs[i] })
			squeezed := in.Squeeze(heldMost)
			b.makeCold()
			g := rcu.ReadLock()
			begin := sys.Nanotime()
			for n := 0; n < len(objs); n += burst {
				ctx.do(func(raw bool) {
					if j.Exhausted && raw {
						squeezed.Take()
					}
					for _, o := range objs[n:min(n+burst, len(objs))] {
						in.freeOne(o, raw)
					}
				})
			}
			took := b.per(begin, j)
			counter, noCounter := sys.CountMisses()
			g.Unlock()
			begin = sys.Nanotime()
			in.Barrier()
			back := b.per(begin, j)
			reclaim = append(reclaim, back)
			if noCounter == nil {
				if way.depot != 0 {
					misses = append(misses, float64(counter.Read())/float64(j.Objects))
				}
				counter.Close()
			}
			squeezed.Release()
			begin = sys.Nanotime()
			for i := range objs {
				o := in.cache.Alloc(noWarn)
				if o == nil {
					return 0, errNoObject
				}
				o.Stamp = uint64(i)
				objs[i] = o
			}
			if way.depot != 0 {
				enqueue, first = append(enqueue, took), append(first, b.per(begin, j))
			}
			return took + back, nil
		})
		if err != nil {
			return nil, err
		}
		*way.out = median(reclaim)
		c.Runs += t.Runs
		c.Spread = max(c.Spread, t.Spread)
		c.Noisy = c.Noisy || t.Noisy
		if n := in.Counts(); way.depot != 0 && n.Arrays+n.Fallback > 0 {
			c.Fallback = float64(n.Fallback) / float64(n.Arrays+n.Fallback)
		}
		c.Peak = max(c.Peak, in.Pages().Peak)
		in.cache.FreeBulk(objs)
		if err := in.Close(); err != nil {
			return nil, err
		}
	}
	c.Enqueue, c.FirstWrite = median(enqueue), median(first)
	if len(misses) > 0 {
		m := median(misses)
		c.Misses = &m
	}
	return c, nil
}

func (b *bench) per(begin int64, j Job) float64 {
	return float64(sys.Nanotime()-begin) / float64(j.Objects)
}
