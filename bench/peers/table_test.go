package main

import (
	"bytes"
	"strings"
	"testing"

	"quiesce/bench/internal/harness"
)

func sample() *Report {
	return &Report{Machine: harness.Machine{CPU: "A CPU", CPUs: 2, OS: "linux/amd64", Go: "go1", Load: "0 0 0"}, Effort: Effort{Count: 3, Objects: 500_000},
		Groups: []Group{{ID: "flood", Title: "A flood of a title that is longer than all names below it", Rows: []Row{
			{Name: "Quiesce", Base: true, NS: 7.6, Ratio: 1, Spread: 3, CPUNS: 8, CPURatio: 1, CPUSpread: 2, Rounds: []float64{7, 7.6, 8},
				Figures: map[string]float64{"whole": 42.6, "enqueue": 5.5, "reclaim": 2.1, "write": 35}},
			{Name: "a peer", NS: 12345.6, Ratio: 1624.4, Spread: 44, Noisy: true, CPUNS: 150, CPURatio: 18.75, CPUSpread: 21, CPUNoisy: true,
				Rounds: []float64{1, 2, 3}, Figures: map[string]float64{"peak_mb": 30}},
			{Name: "slow", NS: 2, Ratio: 2, Spread: 30, Noisy: true, CPUNS: 1, CPURatio: 0.5, Rounds: []float64{1, 2}},
			{Name: "alone", NS: 1, Rounds: []float64{1}},
		}}},
		Skipped: []Skipped{{Package: "libck-dev", Why: "not installed", Rows: []string{"a", "b"}}},
		Failed:  []string{"g/r: it\nfailed"}}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	render(&b, sample())
	want := `A CPU, 2 CPUs, linux/amd64, go1; load averages at the start 0 0 0
Medians of 3 rounds, interleaved; 500,000 objects in the flood
               ns  ratio  CPU ns  ratio

A flood of a title that is longer than all names below it
  Quiesce    7.60   1.00    8.00   1.00
      cycle 42.6: enqueue 5.50, reclaim 2.10, next owner's first write 35.0
  a peer   12,346  1,624     150  18.75
      noisy: spread 44 %, CPU 21 %; +30 MB
  slow       2.00   2.00    1.00   0.50
      noisy (wall): spread 30 %
  alone      1.00      -    0.00      -

not measured: 2 rows, libck-dev is not installed
failed: g/r: it
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Every row of the real table fits a terminal, with figures as large as any.
func TestTheTableFits80Columns(t *testing.T) {
	rep := sample()
	rep.CPU, rep.Quick, rep.Partial = "a processor with quite a long name, as they are", true, true
	rep.Groups = nil
	for _, g := range allGroups() {
		out := Group{ID: g.id, Title: g.title}
		for _, r := range g.rows {
			out.Rows = append(out.Rows, Row{Name: r.name, NS: 10_158_940, Ratio: 8303, Spread: 8303, Noisy: true, CPUNS: 82_223, CPURatio: 466, CPUSpread: 468, CPUNoisy: true,
				Rounds: []float64{1, 2}, Figures: map[string]float64{"whole": 658, "enqueue": 370, "reclaim": 275, "write": 13, "peak_mb": 11, "fallback_percent": 21, "together_percent": 1}})
		}
		rep.Groups = append(rep.Groups, out)
	}
	var b bytes.Buffer
	render(&b, rep)
	for line := range strings.Lines(b.String()) {
		if n := len([]rune(line)) - 1; n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
