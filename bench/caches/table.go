package main

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"quiesce/bench/internal/harness"
)

// large is the capacity from which on the target for single traces counts, and
// all of otter as it comes: below, the entries that it has too many are a large
// part of the cache, and its hits above the optimum for the capacity.
const large = 1000

// verdict is a target and what came out.
type verdict struct {
	Claim  string  `json:"claim"`
	Figure float64 `json:"figure"`
	Bound  float64 `json:"bound"`
	Held   bool    `json:"held"`
	Row    string  `json:"row,omitempty"` // the one that decides
}

// judge compares what was measured on traces with the targets: above otter on
// the mean, at all capacities where it is held to them, and never more than 2 points below it at capacities of 1000 or more.
func judge(rep *Report) (vs []verdict) {
	for _, than := range []string{otterBound, otterAsIs} {
		n, n2, sum, worst, at := 0, 0, 0.0, math.Inf(1), ""
		for _, r := range rep.Rows {
			if !r.Trace {
				continue
			}
			d := r.Hits[ours] - r.Hits[than]
			if r.Capacity >= large || than == otterBound {
				n++
				sum += d
			}
			if r.Capacity < large {
				continue
			}
			n2++
			if d < worst {
				worst, at = d, fmt.Sprintf("%s/%d", r.Name, r.Capacity)
			}
		}
		if n > 0 {
			claim := "mean lead on " + than
			if than == otterAsIs {
				claim += fmt.Sprintf(", capacity %d or more", large)
			}
			vs = append(vs, verdict{claim, sum / float64(n), 0, sum > 0, ""})
		}
		if n2 > 0 {
			vs = append(vs, verdict{fmt.Sprintf("least lead on %s, capacity %d or more", than, large), worst, -2, worst >= -2, at})
		}
	}
	return vs
}

func (rep *Report) missed() bool {
	if harness.CountVerdicts(rep.Targets, harness.Missed) > 0 {
		return true
	}
	for _, v := range rep.Verdicts {
		if !v.Held {
			return true
		}
	}
	return false
}

// render prints the tables and the verdicts.
func render(w io.Writer, rep *Report) {
	put := func(s string) {
		for _, line := range strings.Split(text.WrapSoft(s, 80), "\n") {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
		}
	}
	put(fmt.Sprintf("%s, %d CPUs, %s, %s", rep.CPU, rep.CPUs, rep.OS, rep.Go))
	about := "Requests that hit, in percent; medians of " + harness.Plural(rep.Count, "run")
	if rep.Short {
		about += "; SHORT: only to see that it works"
	}
	if rep.Partial {
		about += "; PARTIAL: ended early"
	}
	put(about)
	renderRows(w, "Traces, capacity in entries", rep.Rows, true)
	renderRows(w, "Generated workloads, capacity in entries", rep.Rows, false)
	renderSized(w, rep.Sized)
	rep.renderSheets(w)
	harness.PrintVerdicts(w, "Must hold for whole caches, with 2 goroutines", rep.Targets)
	for _, f := range rep.Failed {
		put("failed: " + harness.FirstLine(f))
	}
	if len(rep.Verdicts) == 0 {
		return
	}
	fmt.Fprintln(w, "\nMust hold on the traces, in points")
	rows := [][]string{{"", "target", "figure", ""}}
	for _, v := range rep.Verdicts {
		word := "held"
		if !v.Held {
			word = "MISSED"
		}
		rows = append(rows, []string{"  " + v.Claim, fmt.Sprintf("%+.2f", v.Bound), fmt.Sprintf("%+.2f", v.Figure), word})
	}
	for i, line := range harness.Align(rows) {
		fmt.Fprintln(w, line)
		if i > 0 && rep.Verdicts[i-1].Row != "" {
			fmt.Fprintln(w, "    at "+rep.Verdicts[i-1].Row)
		}
	}
}

// label is a row's name, cut to what 80 columns leave.
func (r *Row) label(capacity string) string {
	const columns = 21
	return r.Name[:min(len(r.Name), columns-1-len(capacity))] + "/" + capacity
}

func renderRows(w io.Writer, title string, all []*Row, traces bool) {
	rows := [][]string{{""}}
	for _, p := range peers {
		rows[0] = append(rows[0], p.head)
	}
	sums, bigSums, n, big := make([]float64, len(peers)), make([]float64, len(peers)), 0.0, 0.0
	for _, r := range all {
		if r.Trace != traces {
			continue
		}
		line := []string{r.label(fmt.Sprint(r.Capacity))}
		n++
		if r.Capacity >= large {
			big++
		}
		for i, p := range peers {
			line = append(line, fmt.Sprintf("%.1f", r.Hits[p.name]))
			sums[i] += r.Hits[p.name]
			if r.Capacity >= large {
				bigSums[i] += r.Hits[p.name]
			}
		}
		rows = append(rows, line)
	}
	if n == 0 {
		return
	}
	mean := func(label string, sums []float64, n float64) {
		line := []string{label}
		for _, s := range sums {
			line = append(line, fmt.Sprintf("%.2f", s/n))
		}
		rows = append(rows, line)
	}
	mean("mean", sums, n)
	if traces && big > 0 {
		mean(fmt.Sprintf("mean, from %d", large), bigSums, big)
	}
	fmt.Fprintf(w, "\n%s\n", title)
	for _, line := range harness.Align(rows) {
		fmt.Fprintln(w, line)
	}
}

func renderSized(w io.Writer, all []*Row) {
	if len(all) == 0 {
		return
	}
	rows := [][]string{{""}}
	for _, p := range peers {
		if p.sized {
			rows[0] = append(rows[0], p.head, "bytes")
		}
	}
	for _, r := range all {
		line := []string{r.label(fmt.Sprintf("%.1fM", float64(r.Capacity)/(1<<20)))}
		for _, p := range peers {
			if p.sized {
				line = append(line, fmt.Sprintf("%.1f", r.Hits[p.name]), fmt.Sprintf("%.1f", r.Bytes[p.name]))
			}
		}
		rows = append(rows, line)
	}
	fmt.Fprintln(w, "\nSizes differ, capacity in bytes: requests that hit, and bytes")
	for _, line := range harness.Align(rows) {
		fmt.Fprintln(w, line)
	}
}
