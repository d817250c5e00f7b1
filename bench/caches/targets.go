package main

import (
	"fmt"
	"math"

	"quiesce/bench/internal/harness"
)

// allocFree is none an operation: what the process itself allocates is below it.
const allocFree = 0.01

// judgeSheets compares what was measured of whole caches with what must hold.
func judgeSheets(sheets []sheet, all results, count int) (vs []harness.Verdict) {
	j := judgment{all: all, count: count}
	byID := map[string]*sheet{}
	for i := range sheets {
		byID[sheets[i].id] = &sheets[i]
	}
	if s := byID["get/2"]; s != nil {
		for _, b := range brands {
			if !b.ours {
				continue
			}
			offHeap, every := j.least(s, "hit.2", true), j.least(s, "hit.2", false)
			ours, view := j.of(s, b.id, "hit.2"), j.of(s, b.id, "view.2")
			j.atLeast(b.name+" Get: × as fast as the best off-heap", 1.3, ratio(offHeap, ours))
			j.atLeast(b.name+" Get: × as fast as otter", 1, ratio(j.of(s, "otter", "hit.2"), ours))
			j.atLeast(b.name+" View: × as fast as any Get", 1, ratio(every, view))
			for _, w := range []struct{ what, figure string }{{"Get", "hit"}, {"View", "view"}, {"Get and Set", "mix50"}} {
				j.atMost(b.name+": Go-heap allocations of "+w.what, allocFree, j.of(s, b.id, "allocs."+w.figure+".2"))
			}
		}
	}
	if s := byID["load"]; s != nil {
		for _, b := range brands {
			if b.ours {
				j.atLeast(b.name+" Zipf, load: × as fast as the best", 1.2, ratio(j.least(s, "load.2", false), j.of(s, b.id, "load.2")))
			}
		}
	}
	if s := byID["memory"]; s != nil {
		for _, b := range brands {
			if b.ours {
				j.atMost(b.name+": GC cycle, of that without a cache", 1.5, ratio(j.of(s, b.id, "gc"), j.of(s, none.id, "gc")))
				j.atMost(b.name+": RSS of an entry", 163, j.of(s, b.id, "entry"))
			}
		}
	}
	if s := byID["storm"]; s != nil {
		limit := fmt.Sprintf("storm: MiB above 1.05 × %d + %d", s.task.Bytes/mib, overshootMore/mib)
		j.atMost(limit, 0, scaled(j.of(s, brands[0].id, "beyond"), mib))
	}
	j.bytes(sheets)
	return j.vs
}

// judgment gathers verdicts.
type judgment struct {
	all   results
	count int
	vs    []harness.Verdict
}

func (j *judgment) atLeast(claim string, limit float64, rounds []float64) {
	j.add(harness.Target{Claim: claim, Limit: limit, AtLeast: true}, rounds)
}

func (j *judgment) atMost(claim string, limit float64, rounds []float64) {
	j.add(harness.Target{Claim: claim, Limit: limit}, rounds)
}

func (j *judgment) add(t harness.Target, rounds []float64) {
	var there []float64
	for _, r := range rounds {
		if !math.IsNaN(r) {
			there = append(there, r)
		}
	}
	j.vs = append(j.vs, t.Judge(there))
}

// of returns a figure of a cache in each round, NaN where it is missing.
func (j *judgment) of(s *sheet, brand, figure string) []float64 {
	out := make([]float64, j.count)
	for k, f := range j.all.figure(&s.task, brand, figure, j.count) {
		out[k] = math.NaN()
		if f != nil {
			out[k] = f["v"]
		}
	}
	return out
}

// least returns the least figure of the other caches in each round.
func (j *judgment) least(s *sheet, figure string, offHeap bool) []float64 {
	out := make([]float64, j.count)
	for k := range out {
		out[k] = math.NaN()
	}
	for _, b := range brands {
		if b.ours || offHeap && !b.offHeap {
			continue
		}
		for k, v := range j.of(s, b.id, figure) {
			if math.IsNaN(out[k]) || v < out[k] {
				out[k] = v
			}
		}
	}
	return out
}

// bytes compares hit ratios at equal memory with otter's.
func (j *judgment) bytes(sheets []sheet) {
	for _, w := range []struct{ figure, what string }{{"hits", "hits at equal memory"}, {"hitbytes", "bytes at equal memory"}} {
		sum, n := make([]float64, j.count), 0.0
		least := make([]float64, j.count)
		for k := range least {
			least[k] = math.Inf(1)
		}
		for i := range sheets {
			s := &sheets[i]
			if s.task.Kind != kindBytes {
				continue
			}
			n++
			otter := j.of(s, "otter", w.figure)
			for k, v := range j.of(s, brands[0].id, w.figure) {
				sum[k] += v - otter[k]
				least[k] = min(least[k], v-otter[k])
			}
		}
		if n == 0 {
			return
		}
		j.atLeast(w.what+": mean lead on otter, points", 0, scaled(sum, n))
		j.atLeast(w.what+": least lead on otter, points", -2, least)
	}
}

func ratio(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for k := range a {
		out[k] = a[k] / b[k]
	}
	return out
}

func scaled(v []float64, by float64) []float64 {
	out := make([]float64, len(v))
	for k := range v {
		out[k] = v[k] / by
	}
	return out
}
