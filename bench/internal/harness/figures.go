package harness

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Figures are what one process measured: names to values.
type Figures map[string]float64

// ParseFigures reads a process's output, of which every line has to be
// "figure NAME VALUE", and one of them of the name that must be there.
func ParseFigures(text, must string) (Figures, error) {
	f := Figures{}
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
	if _, ok := f[must]; !ok {
		return nil, fmt.Errorf("it printed no figure %s", must)
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

// Median returns the middle value, or the mean of the two middle ones; 0 if
// there are none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return quantile(v, 0.5)
}

// Spread is the distance between the quartiles, in percent of the median.
func Spread(v []float64) float64 {
	m := Median(v)
	if m == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return (quantile(v, 0.75) - quantile(v, 0.25)) / m * 100
}

// NoisySpread is the spread, in percent, above which a row says that it can't
// be relied on.
const NoisySpread = 20

// Compare returns the median of a figure, that of its ratio to the base's in
// the same round, and the larger spread of the two.
func Compare(name string, rounds, base []Figures) (value, ratio, most float64) {
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
	return Median(values), Median(ratios), max(Spread(values), Spread(ratios))
}
