package main

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"

	"quiesce/bench/internal/harness"
)

// rssEvery is how many requests are between two looks at the resident set.
const rssEvery = 256

// replay replays a trace with sizes on a cache with so much memory.
func (t *task) replay() error {
	tr, err := t.trace()
	if err != nil {
		return err
	}
	total, largest := 0, uint32(leastSize)
	for _, s := range tr.sizes {
		total += keySize + int(s)
		largest = max(largest, s)
	}
	mean := total / len(tr.sizes)
	value := make([]byte, largest)
	clear(value) // it is there before memory is measured
	before := resident()
	bytes := int(float64(t.Bytes) * t.Scale)
	s, err := t.brand.make(plan{bytes: bytes, entries: max(bytes/(mean+64), 1), mean: mean, uneven: true})
	if err != nil {
		return err
	}
	defer s.close()
	read := s.reader()
	wait, _ := s.(settler)
	var hits, hitBytes, allBytes, most float64
	for i, n := range tr.requests {
		if i%rssEvery == 0 {
			most = max(most, rss())
		}
		p := probeOf(int(n))
		size := max(tr.sizes[n], leastSize)
		allBytes += float64(size)
		switch read(&p) {
		case hit:
			hits++
			hitBytes += float64(size)
		case wrong:
			return harness.WrongError{What: fmt.Sprintf("of key %d", n)}
		default:
			s.set(&p, stamp(value[:size], &p))
			if wait != nil {
				wait.settle()
			}
		}
	}
	t.figure("hits", 100*hits/float64(len(tr.requests)))
	t.figure("hitbytes", 100*hitBytes/allBytes)
	t.figure("most", max(most-before, 0))
	t.figure("resident", max(resident()-before, 0))
	runtime.KeepAlive(tr)
	runtime.KeepAlive(value)
	return nil
}

// trace returns the task's workload.
func (t *task) trace() (*trace, error) {
	if t.Trace != filepath.Base(t.Trace) {
		tr, _, err := openTrace(t.Trace)
		return tr, err
	}
	mixes, err := sizeMixes(t.Sizes)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(mixes, func(m sizeMix) bool { return m.name == t.Trace })
	if i < 0 {
		return nil, fmt.Errorf("no such sizes: %q", t.Trace)
	}
	return larger(mixes[i], t.Short), nil
}
