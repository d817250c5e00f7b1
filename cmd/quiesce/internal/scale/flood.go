package scale

import (
	"math/rand/v2"

	"quiesce/cmd/quiesce/internal/compare"
	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/sys"
	"quiesce/rcu"
)

// flood is what a cold flood costs, in ns for an object.
type flood struct{ enqueue, reclaim, first float64 }

// openFlood frees shuffled objects that are in no cache, while a reader holds
// the grace period up, and then ends: by the list, by hand-over and by
// kfree_bulk, one after the other in each repeat.
func openFlood(c *checker) (func() ([]float64, error), func() error, error) {
	objs := make([]*compare.Object, c.cfg.Objects)
	sweep := kit.NewSweep(kit.SweepBytes)
	return func() ([]float64, error) {
		var f [3]flood
		for i, way := range []struct {
			strategy string
			depot    int64
		}{{"list", 1 << 40}, {"sheaf", 1 << 40}, {"sheaf", 0}} {
			if c.ctx.Err() != nil {
				return nil, c.ctx.Err()
			}
			var err error
			if f[i], err = floodOnce(way.strategy, way.depot, objs, sweep); err != nil {
				return nil, err
			}
		}
		list, over, bulk := f[0], f[1], f[2]
		all := over.enqueue + over.reclaim
		return []float64{over.enqueue, over.reclaim, bulk.reclaim, over.first,
			all, bulk.enqueue + bulk.reclaim,
			list.enqueue + list.reclaim, (list.enqueue + list.reclaim) / all}, nil
	}, noEnd, nil
}

func floodOnce(strategy string, depot int64, objs []*compare.Object, sweep *kit.Sweep) (f flood, err error) {
	in, err := compare.New(strategy, compare.Config{Depot: depot})
	if err != nil {
		return f, err
	}
	in.Stock(len(objs)/500*5/4 + 64)
	for i := range objs {
		if objs[i] = in.Alloc(); objs[i] == nil {
			return f, errMemory
		}
		objs[i].Stamp = uint64(i)
	}
	rand.Shuffle(len(objs), func(i, j int) { objs[i], objs[j] = objs[j], objs[i] })
	sweep.Run()
	per := func(begin int64) float64 { return float64(sys.Nanotime()-begin) / float64(len(objs)) }
	g := rcu.ReadLock()
	begin := sys.Nanotime()
	for _, o := range objs {
		in.Free(o)
	}
	f.enqueue = per(begin)
	g.Unlock()
	begin = sys.Nanotime()
	in.Barrier()
	f.reclaim = per(begin)
	sweep.Run()
	begin = sys.Nanotime()
	for i := range objs {
		o := in.Alloc()
		if o == nil {
			return f, errMemory
		}
		o.Stamp = 1
		objs[i] = o
	}
	f.first = per(begin)
	for _, o := range objs {
		in.Free(o)
	}
	return f, in.Close()
}
