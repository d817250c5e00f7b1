package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// figures are what one process measured: names to values, in ns unless the
// name says otherwise.
//
//	ns        wall time of an operation, or of an object
//	cpu       CPU time of the same
//	enqueue, reclaim, write    a flood's, and that of the next owner
//	peak_mb   memory at the peak, beyond that at the start
//	fallback_percent           objects that found no array
//	together_percent           readers' chunks during which the other thread ran too
type figures map[string]float64

var errNoFigures = errors.New("it printed no figure ns")

// parseFigures reads a process's output, of which every line has to be
// "figure NAME VALUE".
func parseFigures(text string) (figures, error) {
	f := figures{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 3 || words[0] != "figure" {
			return nil, fmt.Errorf("not a figure: %q", strings.TrimSpace(line))
		}
		v, err := strconv.ParseFloat(words[2], 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return nil, fmt.Errorf("not a value: %q", strings.TrimSpace(line))
		}
		if _, twice := f[words[1]]; twice {
			return nil, fmt.Errorf("twice: %q", strings.TrimSpace(line))
		}
		f[words[1]] = v
	}
	if _, ok := f["ns"]; !ok {
		return nil, errNoFigures
	}
	return f, nil
}

// quantile interpolates; v is sorted and not empty.
func quantile(v []float64, q float64) float64 {
	at := q * float64(len(v)-1)
	i := int(at)
	if i+1 >= len(v) {
		return v[len(v)-1]
	}
	return v[i] + (at-float64(i))*(v[i+1]-v[i])
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return quantile(v, 0.5)
}

// spread is the distance between the quartiles, in percent of the median.
func spread(v []float64) float64 {
	m := median(v)
	if m == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return (quantile(v, 0.75) - quantile(v, 0.25)) / m * 100
}

// noisySpread is the spread, in percent, above which a row says that it can't
// be relied on.
const noisySpread = 20

// result sums a row's rounds up. base are the rounds of the row it is compared
// with; a round may be missing (nil) in either.
func result(name string, rounds, base []figures) Row {
	r := Row{Name: name, Figures: map[string]float64{}}
	byName := map[string][]float64{}
	for _, f := range rounds {
		for k, v := range f {
			byName[k] = append(byName[k], v)
		}
	}
	for k, v := range byName {
		if k != "ns" && k != "cpu" {
			r.Figures[k] = median(v)
		}
	}
	r.Rounds = byName["ns"]
	r.NS, r.Ratio, r.Spread = compare("ns", rounds, base)
	r.CPUNS, r.CPURatio, r.CPUSpread = compare("cpu", rounds, base)
	r.Noisy, r.CPUNoisy = r.Spread > noisySpread, r.CPUSpread > noisySpread
	return r
}

// compare returns the median of a figure, that of its ratio to the base's in
// the same round, and the larger spread of the two.
func compare(name string, rounds, base []figures) (value, ratio, most float64) {
	var values, ratios []float64
	for i, f := range rounds {
		v, ok := f[name]
		if !ok {
			continue
		}
		values = append(values, v)
		if i < len(base) && base[i][name] > 0 {
			ratios = append(ratios, v/base[i][name])
		}
	}
	return median(values), median(ratios), max(spread(values), spread(ratios))
}
