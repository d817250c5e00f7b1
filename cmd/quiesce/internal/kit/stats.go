package kit

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// Quantile returns the smallest value of v that a share q of the values does
// not exceed, or 0 if there are none. It leaves v as it is.
func Quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	return stat.Quantile(q, stat.Empirical, sorted(v), nil)
}

// Median returns the middle value of v, or the mean of the two middle ones; 0
// if there are none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = sorted(v)
	return (stat.Quantile(0.5, stat.Empirical, v, nil) + v[len(v)/2]) / 2
}

// Mean returns the arithmetic mean of v, or 0 if there are no values.
func Mean(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	return stat.Mean(v, nil)
}

// Spread returns how far the closest k values of v lie apart, as a share of
// the middle of their range. It is 0 for fewer than k values, and for k < 2.
func Spread(v []float64, k int) float64 {
	if k < 2 || len(v) < k {
		return 0
	}
	v = sorted(v)
	best := math.Inf(1)
	for i := 0; i+k <= len(v); i++ {
		low, high := v[i], v[i+k-1]
		if middle := (low + high) / 2; middle > 0 {
			best = min(best, (high-low)/middle)
		} else {
			best = 0
		}
	}
	return best
}

// Majority returns the number of values that are more than half of n.
func Majority(n int) int { return n/2 + 1 }

func sorted(v []float64) []float64 { return slices.Sorted(slices.Values(v)) }
