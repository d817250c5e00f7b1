package main

import (
	"bytes"
	"strings"
	"testing"

	"quiesce/bench/internal/harness"
	"quiesce/bench/internal/harness/harnesstest"
)

// measured are results of one figure in several rounds.
func measured(all results, r ref, values ...float64) {
	at := resultKey{r.job, r.peer}
	if all[at] == nil {
		all[at] = make([]harness.Figures, len(values))
	}
	for k, v := range values {
		if all[at][k] == nil {
			all[at][k] = harness.Figures{}
		}
		all[at][k][r.figure] = v
	}
}

func TestVerdicts(t *testing.T) {
	m1 := job{kindUint64, million}
	rcu, xsync := ref{m1, "rcuhash", "hit.2.each"}, ref{m1, "xsync", "hit.2.each"}
	batch, one := ref{job{kindUint64, 8 * million}, "rcuhash", "hit.2.batch"}, ref{job{kindUint64, 8 * million}, "rcuhash", "hit.2.one"}
	longest, idle := ref{job{kindGrow, million}, "rcuhash", "longest_put"}, ref{job{kindGrow, million}, "rcuhash", "longest_idle"}
	find := func(vs []harness.Verdict, claim string) harness.Verdict {
		for _, v := range vs {
			if strings.Contains(v.Claim, claim) {
				return v
			}
		}
		t.Fatalf("no verdict on %q", claim)
		return harness.Verdict{}
	}
	for _, c := range []struct {
		what   string
		a      ref
		as     []float64
		b      ref
		bs     []float64
		claim  string
		want   string
		figure float64
	}{
		{"below", rcu, []float64{40, 41, 42}, xsync, []float64{50, 50, 50}, "1 M integers, ReadLock", harness.Met, 0.82},
		{"above", rcu, []float64{90, 91, 92}, xsync, []float64{50, 50, 50}, "1 M integers, ReadLock", harness.Missed, 1.82},
		{"ratios of one round, though the rounds differ", rcu, []float64{40, 400, 4000}, xsync, []float64{50, 500, 5000}, "1 M integers, ReadLock", harness.Met, 0.8},
		{"far apart, and they disagree", rcu, []float64{20, 45, 90}, xsync, []float64{50, 50, 50}, "1 M integers, ReadLock", harness.Noisy, 0.9},
		{"far apart, and they agree", rcu, []float64{50, 100, 200}, xsync, []float64{50, 50, 50}, "1 M integers, ReadLock", harness.Missed, 2},
		{"close, and they disagree", rcu, []float64{42, 42.1, 43}, xsync, []float64{50, 50, 50}, "1 M integers, ReadLock", harness.Met, 0.842},
		{"at least, reached", batch, []float64{10, 10, 10}, one, []float64{17, 18, 19}, "GetBatch", harness.Met, 1.8},
		{"at least, not reached", batch, []float64{10, 10, 10}, one, []float64{14, 14, 14}, "GetBatch", harness.Missed, 1.4},
		{"alone", longest, []float64{2e6, 2e6, 2e6}, longest, []float64{2e6, 2e6, 2e6}, "longest Put", harness.Missed, 2},
		{"alone, and the machine is quiet", longest, []float64{2e6, 2e6, 2e6}, idle, []float64{1e5, 1e5, 9e6}, "longest Put", harness.Missed, 2},
		{"alone, and the machine adds more than the limit", longest, []float64{2e6, 2e6, 2e6}, idle, []float64{1e5, 3e6, 3e6}, "longest Put", harness.Noisy, 2},
		{"one of two is missing", rcu, []float64{1, 1, 1}, longest, []float64{1, 1, 1}, "1 M integers, ReadLock", harness.Absent, 0},
	} {
		all := results{}
		measured(all, c.a, c.as...)
		measured(all, c.b, c.bs...)
		v := find(judge(all, len(c.as)), c.claim)
		if v.Verdict != c.want || v.Figure < c.figure*0.999 || v.Figure > c.figure*1.001 {
			t.Errorf("%s: %+v, want %s, %v", c.what, v, c.want, c.figure)
		}
	}
}

// Figures as large as any fit, and all verdicts.
func TestTheTableFits80Columns(t *testing.T) {
	o := options{keys: []int{1000, 64_000, million, 8 * million, 64 * million}, grow: million, rss: entries}
	rep := &Report{Machine: harness.Machine{CPU: "a processor with quite a long name, as they are", CPUs: 2, OS: "linux/amd64", Go: "go1.26.8", Load: "10.00 10.00 10.00"},
		Count: 5, Short: true, Partial: true, Failed: []string{"uint64, 1 k keys, rcuhash: " + strings.Repeat("it failed ", 10)},
		Skipped: []string{strings.Repeat("too large ", 12)}}
	for _, g := range allGroups(o) {
		out := Group{ID: g.id, Title: g.title}
		for _, c := range g.columns {
			out.Columns = append(out.Columns, c.label)
		}
		for _, r := range g.rows {
			row := Row{Name: r.name}
			for range g.columns {
				row.Cells = append(row.Cells, harness.Cell{Value: 9876.5, Ratio: 98.76, Noisy: true, Rounds: []float64{1}})
			}
			out.Rows = append(out.Rows, row)
		}
		rep.Groups = append(rep.Groups, out)
	}
	for i, x := range targets() {
		rep.Verdicts = append(rep.Verdicts, harness.Verdict{Target: x.Target, Figure: 12345, Verdict: []string{harness.Met, harness.Missed, harness.Noisy}[i%3]})
	}
	var b bytes.Buffer
	render(&b, rep)
	harnesstest.Fits(t, b.String())
}
