package torture

import (
	"sync"
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/lock"
	"quiesce/slab"
)

// barrierTest has n_barrier_cbs threads post a callback each, all at the same
// time and from different contexts, and checks that Barrier waits for every
// one of them; and the same of FreeRCU and the cache's Barrier, by its figures.
func (s *session) barrierTest() {
	n := s.p.nBarrierCbs
	cache, err := slab.NewCache[[8]uint64]("torture-barrier", slab.WithAllocator(s.pages))
	if err != nil {
		s.fail("barrier test", "%v", err)
		return
	}
	var invoked atomic.Int64
	var given uint64
	raws := make([]lock.Raw, n)
	r := s.random("barrier", 0)
	for !s.stop.Load() {
		invoked.Store(0)
		var wg sync.WaitGroup
		phase := make(chan struct{})
		var freed atomic.Uint64
		for i := range n {
			c, objects := r.IntN(contexts), r.IntN(64)
			wg.Go(func() {
				ps := make([]*[8]uint64, objects)
				ps = ps[:cache.AllocBulk(gfp.NoWait|gfp.NoWarn, ps)]
				<-phase
				run(c, &raws[i], func() { s.ops.call(func() { invoked.Add(1) }) })
				for _, p := range ps {
					run(c, &raws[i], func() { cache.FreeRCU(p) })
				}
				freed.Add(uint64(len(ps)))
			})
		}
		close(phase)
		wg.Wait()
		given += freed.Load()
		s.barriers.Add(1)
		s.ops.barrier()
		if got := invoked.Load(); got != int64(n) {
			s.barrierErrors.Add(1)
			s.fail("Barrier (rtbe)", "returned when %d of %d callbacks had run", got, n)
		}
		cache.Barrier()
		if st := cache.Stats(); st.RCUArrays != st.Reused+st.Bulk || st.Fallback != st.FallbackFreed || st.RCUArrays+st.Fallback != given {
			s.barrierErrors.Add(1)
			s.fail("Cache.Barrier (rtbe)", "%d objects were given to FreeRCU, Stats say %+v", given, st)
		} else {
			s.barrierOK.Add(1)
		}
		s.sleep(seconds(0.01))
		s.pause()
	}
	if err := cache.Close(); err != nil {
		s.fail("leak", "%v", err)
	}
}
