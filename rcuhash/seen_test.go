package rcuhash

import (
	"sync/atomic"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

// (H-B) A key comes and goes, each time with the next value. A goroutine that has
// seen a value sees it again, or a later one, until Delete of it begins: also if a
// walk saw it first and a look-up comes next, which go by different words.
func TestHB_AnEntryThatWasSeenIsThere(t *testing.T) {
	divisor := uint64(1)
	if fault.Delays {
		divisor = 20
	}
	m := newNarrow[uint64, uint64](t, 0, 0)
	var deleting atomic.Uint64 // all values up to this one
	look := map[string]func(g rcu.Guard) (v uint64){
		"Get": func(g rcu.Guard) uint64 {
			if v := m.Get(g, 7); v != nil {
				return *v
			}
			return 0
		},
		"All": func(g rcu.Guard) uint64 {
			for _, v := range m.All(g) {
				return *v
			}
			return 0
		},
	}
	var stop atomic.Bool
	readers := testkit.AsyncN(2, func(r int) {
		for i := 0; !stop.Load(); i++ {
			first, second := "Get", "All"
			if (i+r)%2 == 0 {
				first, second = second, first
			}
			g := rcu.ReadLock()
			v := look[first](g)
			w := look[second](g)
			g.Unlock()
			if w < v && deleting.Load() < v {
				t.Errorf("%s saw %d, and then %s saw %d; value %d was not deleted yet", first, v, second, w, v)
				return
			}
		}
	})
	for i := uint64(1); i <= 20_000/divisor && !t.Failed(); i++ {
		for !m.PutFlags(7, i, gfp.NoWait|gfp.NoWarn) {
			m.Barrier()
		}
		deleting.Store(i)
		m.Delete(7)
	}
	stop.Store(true)
	<-readers
}
