package compare

import (
	"math/bits"
	"slices"
)

// hist counts durations in ns: exact below 32, then 16 steps to a doubling, so
// that a figure is right to 6 %. It allocates nothing while it counts.
type hist struct {
	n   [histSize]uint32
	all uint64
	max int64
}

const (
	histExact = 32
	histSteps = 16
	histSize  = histExact + (63-5)*histSteps
)

func histIndex(v int64) int {
	if v < histExact {
		return int(max(v, 0))
	}
	e := bits.Len64(uint64(v)) - 1 // 5 or more
	return histExact + (e-5)*histSteps + int(v>>(e-4))&(histSteps-1)
}

// histValue is the lowest value of a bucket.
func histValue(i int) int64 {
	if i < histExact {
		return int64(i)
	}
	i -= histExact
	return int64(histSteps+i%histSteps) << (i/histSteps + 1)
}

func (h *hist) add(v int64) {
	h.n[histIndex(v)]++
	h.all++
	h.max = max(h.max, v)
}

// quantile is the value that a share q of all is not above.
func (h *hist) quantile(q float64) float64 {
	left := uint64(q * float64(h.all))
	for i, n := range h.n {
		if uint64(n) > left {
			return float64(histValue(i))
		}
		left -= uint64(n)
	}
	return float64(h.max)
}

// Bucket is a part of a distribution.
type Bucket struct {
	NS    int64  `json:"ns"` // and above, to the next bucket
	Count uint64 `json:"count"`
}

// doublings sums up to powers of two, for charts.
func (h *hist) doublings() (out []Bucket) {
	for i, n := range h.n {
		if n == 0 {
			continue
		}
		v := int64(0)
		if x := histValue(i); x > 0 {
			v = 1 << (bits.Len64(uint64(x)) - 1)
		}
		if k := len(out); k > 0 && out[k-1].NS == v {
			out[k-1].Count += uint64(n)
		} else {
			out = append(out, Bucket{v, uint64(n)})
		}
	}
	return out
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// spread is how far the closest three of the figures lie apart, as a share of
// their median.
func spread(v []float64) float64 {
	if len(v) < 3 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	best := -1.0
	for i := range v[2:] {
		if v[i+1] <= 0 {
			continue
		}
		if s := (v[i+2] - v[i]) / v[i+1]; best < 0 || s < best {
			best = s
		}
	}
	return max(best, 0)
}
