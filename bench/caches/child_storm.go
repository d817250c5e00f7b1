package main

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/bench/internal/harness"
)

const (
	stormWriters = 2
	stormKeys    = 1 << 20
	stormLargest = 48 << 10
	// holdFor is how long a reader keeps hold of a value.
	holdFor = 2 * time.Millisecond
	// overshootPart and overshootMore are what a cache may take above its limit.
	overshootPart = 1.05
	overshootMore = 16 * mib
)

// storm sets values whose sizes drift, from a hundred bytes to tens of KiB and back,
// while readers look up and keep hold of values, and notes the most memory that the
// process takes above what it takes with the cache empty.
func (t *task) storm() error {
	s, err := t.brand.make(plan{bytes: t.Bytes, entries: t.Bytes / 2048, mean: 2048 - otterUncounted, uneven: true})
	if err != nil {
		return err
	}
	defer s.close()
	var stop atomic.Bool
	var sets atomic.Int64
	var all sync.WaitGroup
	before := resident()
	start := time.Now()
	for g := range stormWriters {
		all.Go(func() {
			v := make([]byte, stormLargest)
			rng := rand.New(rand.NewPCG(uint64(g), 6))
			n := int64(0)
			for ; !stop.Load(); n++ {
				p := probeOf(rng.IntN(stormKeys))
				s.set(&p, stamp(v[:stormSize(rng, time.Since(start).Seconds()/t.Seconds)], &p))
			}
			sets.Add(n)
		})
	}
	bad := atomic.Int64{}
	all.Go(func() {
		read := s.reader()
		h, holds := s.(holder)
		rng := rand.New(rand.NewPCG(7, 7))
		for i := 0; i == 0 || !stop.Load(); i++ {
			p := probeOf(rng.IntN(stormKeys))
			if read(&p) == wrong {
				bad.Add(1)
			}
			if holds && i%100 == 0 {
				release := h.hold(&p)
				time.Sleep(holdFor)
				release()
			}
		}
	})
	peak, last := 0.0, 0.0
	for time.Since(start) < t.seconds() {
		last = rss()
		peak = max(peak, last)
		time.Sleep(2 * time.Millisecond)
	}
	stop.Store(true)
	all.Wait()
	t.figure("peak", max(peak-before, 0))
	t.figure("part", 100*max(peak-before, 0)/float64(t.Bytes))
	t.figure("beyond", max(peak-before-overshootPart*float64(t.Bytes)-overshootMore, 0))
	t.figure("sets", float64(sets.Load())/time.Since(start).Seconds())
	runtime.KeepAlive(s)
	if bad.Load() > 0 {
		return harness.WrongError{What: "of a look-up in the storm"}
	}
	if c, ok := s.(ourStats); ok {
		return allAccounted(c)
	}
	return nil
}

// stormSize is the size of a value at a part of the storm: ten times in it the mean
// goes up and down.
func stormSize(rng *rand.Rand, at float64) int {
	wave := (1 - math.Cos(2*math.Pi*10*at)) / 2
	mean := 100 * math.Pow(100, wave)
	return int(min(max(mean*math.Exp(0.5*rng.NormFloat64()), leastSize), stormLargest))
}
