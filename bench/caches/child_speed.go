package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"

	"quiesce/bench/internal/harness"
)

// chunk is how many operations are made between two readings of the clock.
const chunk = 500

// get measures look-ups and sets in a cache that has room for twice its entries.
func (t *task) get() error {
	n := t.Entries
	s, err := t.brand.make(plan{bytes: 2 * n * perEntry, entries: 2 * n, mean: keySize + valueSize})
	if err != nil {
		return err
	}
	defer s.close()
	fill(s, n)
	runtime.GC()
	probes := probesFor(n)
	found, read := 0, s.reader()
	for i := range probes {
		switch read(&probes[i]) {
		case hit:
			found++
		case wrong:
			return harness.WrongError{What: fmt.Sprintf("of key %d", probes[i].n)}
		}
	}
	t.figure("hits", 100*float64(found)/float64(n))
	for _, w := range t.Works {
		name, gs, _ := strings.Cut(w, ".")
		goroutines, err := strconv.Atoi(gs)
		if err != nil {
			return fmt.Errorf("no such work: %q", w)
		}
		if err := t.speed(s, probes, name, w, goroutines); err != nil {
			return err
		}
	}
	return nil
}

// setsOf is how many of 100 operations of a work are sets.
var setsOf = map[string]int{"hit": 0, "view": 0, "mix95": 5, "mix75": 25, "mix50": 50}

// speed measures a work in some goroutines, each from another key on.
func (t *task) speed(s store, probes []probe, work, figure string, goroutines int) error {
	sets, known := setsOf[work]
	if !known {
		return fmt.Errorf("no such work: %q", work)
	}
	v, views := s.(viewer)
	if work == "view" && !views {
		return nil
	}
	before := mallocs()
	perOp, ops, bad := harness.Together(goroutines, t.Batches, t.NS, func(g int) func() (int, int) {
		read := s.reader()
		if work == "view" {
			read = v.viewer()
		}
		value := make([]byte, valueSize)
		rng := rand.New(rand.NewPCG(uint64(g), 2))
		at := g * (len(probes) / goroutines)
		return func() (ops, bad int) {
			for range chunk {
				if at++; at >= len(probes) {
					at = 0
				}
				p := &probes[at]
				if sets > 0 && rng.IntN(100) < sets {
					s.set(p, stamp(value, p))
				} else if read(p) == wrong {
					bad++
				}
			}
			return chunk, bad
		}
	})
	t.figure(figure, perOp)
	t.figure("allocs."+figure, float64(mallocs()-before)/float64(ops))
	if bad > 0 {
		return harness.WrongError{What: fmt.Sprintf("%d of %d results of %s", bad, ops, work)}
	}
	return nil
}

// mallocs is how many objects were allocated on the Go heap.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// perEntry is the memory of an entry for which caches are made that hold a number of
// entries of 121 bytes: what the leanest of them need, and some more.
const perEntry = 173

// load measures a cache with room for a tenth of the keys. They are asked for by Zipf,
// and what is missed is set.
func (t *task) load() error {
	n := t.Entries / 10
	s, err := t.brand.make(plan{bytes: n * perEntry, entries: n, mean: keySize + valueSize})
	if err != nil {
		return err
	}
	defer s.close()
	probes := probesFor(t.Entries)
	misses := make([]int, 2)
	step := func(g int) func() (int, int) {
		read := s.reader()
		value := make([]byte, valueSize)
		rng := rand.New(rand.NewPCG(uint64(g), 3))
		return func() (ops, bad int) {
			for range chunk {
				p := &probes[zipf(rng, float64(len(probes)))]
				switch read(p) {
				case missed:
					misses[g]++
					s.set(p, stamp(value, p))
				case wrong:
					bad++
				}
			}
			return chunk, bad
		}
	}
	warm := step(0)
	for i := 0; i < 2*t.Entries; i += chunk {
		warm()
	}
	runtime.GC()
	for _, w := range t.Works {
		goroutines := 1
		if strings.HasSuffix(w, ".2") {
			goroutines = 2
		}
		clear(misses)
		perOp, ops, bad := harness.Together(goroutines, t.Batches, t.NS, step)
		if bad > 0 {
			return harness.WrongError{What: fmt.Sprintf("%d of %d results of %s", bad, ops, w)}
		}
		t.figure(w, perOp)
		t.figure("hits."+w, 100*(1-float64(misses[0]+misses[1])/float64(ops)))
	}
	return nil
}
