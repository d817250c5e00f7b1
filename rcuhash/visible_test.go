package rcuhash

import (
	"runtime"
	"sync/atomic"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
	"quiesce/internal/race"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

// lockstep runs fn in two goroutines, number 0 and 1. They meet where they call meet,
// and go on as close to the same time as can be.
func lockstep(t *testing.T, rounds uint64, fn func(i int, round uint64, meet func())) {
	testkit.AtLeastProcs(t, 2)
	var arrived atomic.Uint64
	<-testkit.AsyncN(2, func(i int) {
		meetings := uint64(0)
		meet := func() {
			meetings++
			arrived.Add(1)
			for spins := 0; arrived.Load() < 2*meetings; spins++ {
				if spins > 1000 {
					runtime.Gosched()
				}
			}
		}
		for round := uint64(1); round <= rounds; round++ {
			fn(i, round, meet)
		}
	})
}

// twoFurther puts so many keys into two buckets each that the last ones of them are in
// further buckets, and returns these.
func twoFurther(m *Map[uint64, uint64]) (last [2]uint64) {
	tab := m.x.table.Load()
	var n [2]int
	for k := uint64(1); n[0] < slots+2 || n[1] < slots+2; k++ {
		if i := m.x.hash(&k) & tab.mask; i < 2 && n[i] < slots+2 {
			m.Put(k, k)
			last[i] = k
			n[i]++
		}
	}
	return last
}

// (H-E) Two goroutines change a key each and then look at the other's: at least one
// of them sees the other's change. Both could be in their processors' store buffers
// only, if the last store of an operation were not a barrier.
func TestHE_WhatAGoroutineWroteIsThereBeforeItsNextLookUp(t *testing.T) {
	rounds := uint64(20_000)
	if fault.Delays || race.Enabled || depcheck.Enabled() || testkit.Emulated() {
		rounds /= 20
	}
	narrow, chains := newNarrow[uint64, uint64](t, 10_000, 0), newNarrow[uint64, uint64](t, 10_000, 0)
	wide := newMap[uint64, uint64](t, 10_000, 0)
	for name, on := range map[string]struct {
		m    *Map[uint64, uint64]
		keys [2]uint64
	}{
		"narrow":         {narrow, [2]uint64{1, 2}},
		"further bucket": {chains, twoFurther(chains)},
		"wide":           {wide, [2]uint64{1, 2}},
	} {
		m := on.m
		put := func(_ rcu.Guard, k, round uint64) bool { return m.PutFlags(k, round, gfp.NoWait|gfp.NoWarn) }
		swap := func(g rcu.Guard, k, round uint64) bool {
			_, ok := m.Swap(g, k, round)
			return ok
		}
		remove := func(_ rcu.Guard, k, _ uint64) bool { return m.Delete(k) }
		type change func(g rcu.Guard, k, round uint64) bool
		for _, op := range []struct {
			name            string
			times           uint64
			prepare, change change
			gone            bool
		}{
			// Other operations end with a count, or a swap, which are barriers as well.
			{"Put of a present key", 10, nil, put, false},
			{"Swap", 10, nil, swap, false},
			{"Put of a new key", 1, remove, put, false},
			{"Delete", 1, put, remove, true},
		} {
			t.Run(name+"/"+op.name, func(t *testing.T) {
				rounds := rounds * op.times
				missed := [2][]bool{make([]bool, rounds+1), make([]bool, rounds+1)}
				lockstep(t, rounds, func(i int, round uint64, meet func()) {
					own, other := on.keys[i], on.keys[1-i]
					g := rcu.ReadLock()
					if op.prepare != nil {
						op.prepare(g, own, round)
					}
					meet()
					for range round % 8 * uint64(i) {
						m.Get(g, other) // fetches the cache lines that are about to change
					}
					ok := op.change(g, own, round)
					v := m.Get(g, other)
					missed[i][round] = ok && (v == nil || *v != round) != (op.gone)
					g.Unlock()
					meet()
				})
				n := 0
				for round := range missed[0] {
					if missed[0][round] && missed[1][round] {
						n++
					}
				}
				if n != 0 {
					t.Errorf("in %d of %d rounds neither saw what the other had changed", n, rounds)
				}
			})
		}
	}
}
