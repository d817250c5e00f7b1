package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// generated returns the workloads that need no files: the same each time.
func generated(short bool) (ts []*trace) {
	n := 1_000_000
	if short {
		n = 20_000
	}
	add := func(name string, next func(rng *rand.Rand, i int) uint64) {
		rng, num := rand.New(rand.NewPCG(1, uint64(len(ts)))), numbering{}
		t := &trace{name: name}
		for i := range n {
			key, _ := num.number(next(rng, i))
			t.requests = append(t.requests, key)
		}
		t.keys = len(num)
		ts = append(ts, t)
	}
	zipf := func(rng *rand.Rand) uint64 { return zipf(rng, 100_000) }
	add("zipf", func(rng *rand.Rand, _ int) uint64 { return zipf(rng) })
	// A third of the requests, in ten parts, are for keys never seen again.
	add("zipf-scan", func(rng *rand.Rand, i int) uint64 {
		if i%(n/10) < n/30 {
			return uint64(1<<40 + i)
		}
		return zipf(rng)
	})
	add("loop", func(_ *rand.Rand, i int) uint64 { return uint64(i % 12_000) })
	// The keys' order of popularity moves on by one key in 20 requests.
	add("drift", func(rng *rand.Rand, i int) uint64 { return zipf(rng) + uint64(i/20) })
	// Recent keys alone: of the last thousands, with no popular ones.
	add("recent", func(rng *rand.Rand, i int) uint64 { return uint64(i/3) + 1<<20 - uint64(rng.ExpFloat64()*3000) })
	return ts
}

// zipf returns 0 to n-1 with probabilities of about 1/(k+1).
func zipf(rng *rand.Rand, n float64) uint64 { return uint64(math.Pow(n, rng.Float64()) - 1) }

// sizeMix returns sizes of values.
type sizeMix struct {
	name string
	next func(rng *rand.Rand) uint32
}

// builtinSizes are log-normal: a median of 300 bytes, a mean of 900 or so.
var builtinSizes = sizeMix{"lognormal", func(rng *rand.Rand) uint32 {
	return uint32(min(300*math.Exp(1.5*rng.NormFloat64()), 1<<20)) + 1
}}

// sized gives the keys of a Zipf workload sizes.
func sized(m sizeMix, short bool) *trace {
	t := generated(short)[0]
	t.name = "zipf/" + m.name
	rng := rand.New(rand.NewPCG(7, 7))
	for range t.keys {
		t.sizes = append(t.sizes, m.next(rng))
	}
	return t
}

// A workload for whole caches is about largerBytes of values, of which a tenth has room.
const (
	largerBytes = 640 << 20
	largerPart  = 10
)

// larger is a Zipf workload for whole caches.
func larger(m sizeMix, short bool) *trace {
	rng, keys := rand.New(rand.NewPCG(8, 8)), 4*million
	left := largerBytes
	if short {
		left /= 100
	}
	t := &trace{name: m.name}
	for left > 0 && len(t.sizes) < keys {
		t.sizes = append(t.sizes, m.next(rng))
		left -= keySize + int(t.sizes[len(t.sizes)-1])
	}
	// Each key has its rank; most are asked for a few times.
	for range 5 * len(t.sizes) {
		t.requests = append(t.requests, uint32(zipf(rng, float64(len(t.sizes)))))
	}
	t.keys = len(t.sizes)
	return t
}

// sizeMixes returns the distribution of this program, and those in a directory.
func sizeMixes(dir string) ([]sizeMix, error) {
	mixes := []sizeMix{builtinSizes}
	if dir == "" {
		return mixes, nil
	}
	more, err := sizesIn(dir)
	return append(mixes, more...), err
}

// sizesIn reads the distributions that CacheLib publishes: NAME-sizes.json.
func sizesIn(dir string) (ms []sizeMix, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*-sizes.json"))
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("%s: no *-sizes.json", dir)
	}
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		next, err := parseSizes(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), "-sizes.json"), "_")
		ms = append(ms, sizeMix{name, next})
	}
	return ms, nil
}

// parseSizes reads ranges with weights.
func parseSizes(text []byte) (func(*rand.Rand) uint32, error) {
	var d struct {
		Bounds  []float64 `json:"valSizeRange"`
		Weights []float64 `json:"valSizeRangeProbability"`
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	if len(d.Weights) == 0 || len(d.Bounds) < len(d.Weights) {
		return nil, fmt.Errorf("%d bounds for %d ranges", len(d.Bounds), len(d.Weights))
	}
	sums, total := make([]float64, len(d.Weights)), 0.0
	for i, w := range d.Weights {
		total += w
		sums[i] = total
	}
	return func(rng *rand.Rand) uint32 {
		i := min(sort.SearchFloat64s(sums, rng.Float64()*total), len(sums)-1)
		lo, hi := d.Bounds[i], d.Bounds[min(i+1, len(d.Bounds)-1)]
		return uint32(min(max(lo+rng.Float64()*(hi-lo), 1), 1<<24))
	}, nil
}
