package harness

import (
	"fmt"
	"io"
)

// Target is what a figure must reach.
type Target struct {
	Claim   string  `json:"claim"`
	Limit   float64 `json:"target"`
	AtLeast bool    `json:"at_least"` // the figure has to be at least the limit, else at most
}

// Verdict is a target, and what was measured.
type Verdict struct {
	Target
	Figure  float64 `json:"figure"`
	Spread  float64 `json:"spread_percent"`
	Verdict string  `json:"verdict"`
}

// What a verdict can be.
const (
	Met    = "met"
	Missed = "missed"
	Noisy  = "too noisy"
	Absent = "not measured"
)

// Judge compares what the rounds measured with the target. The verdict is on the
// median; it is too noisy if the rounds disagree and lie far apart.
func (t Target) Judge(rounds []float64) Verdict {
	v := Verdict{Target: t, Verdict: Absent}
	if len(rounds) == 0 {
		return v
	}
	v.Figure, v.Spread = Median(rounds), Spread(rounds)
	same := 0
	for _, r := range rounds {
		if t.holds(r) == t.holds(v.Figure) {
			same++
		}
	}
	switch {
	case same < len(rounds) && v.Spread > NoisySpread:
		v.Verdict = Noisy
	case t.holds(v.Figure):
		v.Verdict = Met
	default:
		v.Verdict = Missed
	}
	return v
}

func (t Target) holds(x float64) bool {
	if t.AtLeast {
		return x >= t.Limit
	}
	return x <= t.Limit
}

// bound is the limit with its sign.
func (t Target) bound() string {
	if t.AtLeast {
		return fmt.Sprintf("≥ %.4g", t.Limit)
	}
	return fmt.Sprintf("≤ %.4g", t.Limit)
}

// PrintVerdicts prints a table of those that were measured.
func PrintVerdicts(w io.Writer, title string, vs []Verdict) {
	left := CountVerdicts(vs, Absent)
	if left < len(vs) {
		fmt.Fprintln(w, "\n"+title)
		rows := [][]string{{"", "target", "figure", ""}}
		for _, v := range vs {
			if v.Verdict != Absent {
				rows = append(rows, []string{"  " + v.Claim, v.bound(), figureOf(v.Figure), v.Verdict})
			}
		}
		for _, line := range Align(rows) {
			fmt.Fprintln(w, line)
		}
		fmt.Fprintf(w, "%d met, %d missed, %d too noisy\n", CountVerdicts(vs, Met), CountVerdicts(vs, Missed), CountVerdicts(vs, Noisy))
	}
	if left > 0 {
		fmt.Fprintf(w, "\n%s not measured\n", Plural(left, "target"))
	}
}

// CountVerdicts counts those of a kind.
func CountVerdicts(vs []Verdict, kind string) (n int) {
	for _, v := range vs {
		if v.Verdict == kind {
			n++
		}
	}
	return n
}

// figureOf has three digits, or all that are before the point.
func figureOf(v float64) string {
	if v >= 1000 {
		return NS(v)
	}
	return fmt.Sprintf("%.3g", v)
}
