package rcuhash

import (
	"fmt"
	"math/rand/v2"
	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/preempt"
	"quiesce/rcu"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// (H-A) A key that stays is always found, (H-C) a value does not change under
// the guard, (H-D) a replaced key is never missing and never goes back.
func TestHACD_ReadersDuringReplacements(t *testing.T) {
	m := newMap[string, value](t, 64, 32<<20) // long lists: readers are on nodes that go
	const stay, come = 200, 200
	key := func(i int) string { return fmt.Sprintf("key-%03d", i) }
	for i := range stay {
		m.Put(key(i), filled(1))
	}
	lens := []int{len(key(0))}
	if err := m.Prepare(lens...); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var lookups atomic.Int64
	readers := testkit.AsyncN(3, func(r int) {
		rnd := rand.New(rand.NewPCG(5, uint64(r)))
		last := make([]uint64, stay)
		for n := 0; !stop.Load(); n++ {
			i := rnd.IntN(stay + come)
			g := rcu.ReadLock()
			p := m.Get(g, key(i))
			if p == nil {
				if i < stay {
					t.Errorf("%s is there all the time and was not found", key(i))
					stop.Store(true)
				}
				g.Unlock()
				continue
			}
			before := *p
			if n%64 == 0 {
				runtime.Gosched()
			}
			if *p != before || before != filled(before.gen) {
				t.Errorf("%s: %v became %v", key(i), before, *p)
				stop.Store(true)
			}
			if i < stay {
				if before.gen < last[i] {
					t.Errorf("%s went back from %d to %d", key(i), last[i], before.gen)
					stop.Store(true)
				}
				last[i] = before.gen
			}
			g.Unlock()
			lookups.Add(1)
		}
	})
	var raw lock.Raw
	writers := testkit.AsyncN(2, func(w int) {
		rnd := rand.New(rand.NewPCG(6, uint64(w)))
		for gen := uint64(2); !stop.Load(); gen++ {
			i := rnd.IntN(stay/2)*2 + w // a key has one writer
			switch rnd.IntN(4) {
			case 0:
				m.Put(key(i), filled(gen))
			case 1: // a raw atomic context; refused at times
				raw.Lock()
				m.PutFlags(key(i), filled(gen), gfp.NoLocks|gfp.NoWarn)
				raw.Unlock()
			case 2:
				m.Put(key(stay+rnd.IntN(come)), filled(gen))
			case 3:
				k := key(stay + rnd.IntN(come))
				s := preempt.DisableIRQ()
				m.Delete(k)
				s.Restore()
			}
		}
	})
	time.Sleep(400 * time.Millisecond)
	stop.Store(true)
	<-readers
	<-writers
	t.Logf("%d lookups", lookups.Load())
}
