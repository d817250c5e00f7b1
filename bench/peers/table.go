package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"quiesce/bench/internal/harness"
)

// render prints the table.
func render(w io.Writer, rep *Report) {
	fmt.Fprintln(w, strings.TrimSpace(text.WrapSoft(fmt.Sprintf("%s, %d CPUs, %s, %s; load averages at the start %s", rep.CPU, rep.CPUs, rep.OS, rep.Go, rep.Load), 80)))
	head := "Medians of " + harness.Plural(rep.Count, "round") + ", interleaved"
	if rep.Objects > 0 {
		head += "; " + harness.Thousands(rep.Objects) + " objects in the flood"
	}
	if rep.Quick {
		head += "; QUICK: rough figures"
	}
	if rep.Partial {
		head += "; PARTIAL: interrupted"
	}
	fmt.Fprintln(w, strings.TrimSpace(text.WrapSoft(head, 80)))

	printTable(w, rep.Groups)
	harness.PrintVerdicts(w, "Must hold for Quiesce", rep.Verdicts)
	if len(rep.Skipped)+len(rep.Failed) > 0 {
		fmt.Fprintln(w)
	}
	for _, s := range rep.Skipped {
		fmt.Fprintf(w, "not measured: %s, %s\n", harness.Plural(len(s.Rows), "row"), s.why())
	}
	for _, f := range rep.Failed {
		fmt.Fprintf(w, "failed: %s\n", harness.FirstLine(f))
	}
}

// printTable prints the groups as one table of at most 80 columns: a row's
// notes are on a line of their own.
func printTable(w io.Writer, groups []Group) {
	rows := [][]string{{"", "ns", "ratio", "CPU ns", "ratio"}}
	for _, g := range groups {
		for _, r := range g.Rows {
			rows = append(rows, []string{"  " + r.Name, harness.NS(r.NS), harness.Ratio(r.Ratio), harness.NS(r.CPUNS), harness.Ratio(r.CPURatio)})
		}
	}
	lines := harness.Align(rows)
	put := func(line string) { fmt.Fprintln(w, strings.TrimRight(line, " ")) }
	put(lines[0])
	at := 1
	for _, g := range groups {
		put("\n" + g.Title)
		for _, r := range g.Rows {
			put(lines[at])
			at++
			if note := notes(&r); note != "" {
				for _, line := range strings.Split(text.WrapSoft(note, 72), "\n") {
					put("      " + strings.TrimSpace(line))
				}
			}
		}
	}
}

// notes says what else there is to a row.
func notes(r *Row) string {
	var notes []string
	switch {
	case r.Noisy && r.CPUNoisy:
		notes = append(notes, fmt.Sprintf("noisy: spread %.0f %%, CPU %.0f %%", r.Spread, r.CPUSpread))
	case r.Noisy:
		notes = append(notes, fmt.Sprintf("noisy (wall): spread %.0f %%", r.Spread))
	case r.CPUNoisy:
		notes = append(notes, fmt.Sprintf("noisy (CPU): spread %.0f %%", r.CPUSpread))
	}
	f := r.Figures
	if e, ok := f["enqueue"]; ok {
		notes = append(notes, fmt.Sprintf("cycle %s: enqueue %s, reclaim %s, next owner's first write %s", harness.NS(f["whole"]), harness.NS(e), harness.NS(f["reclaim"]), harness.NS(f["write"])))
	}
	if mb := f["peak_mb"]; mb >= 1 {
		notes = append(notes, fmt.Sprintf("+%.0f MB", mb))
	}
	if p := f["fallback_percent"]; p >= 0.1 {
		notes = append(notes, fmt.Sprintf("%.1f %% without an array", p))
	}
	if p, ok := f["together_percent"]; ok && p < enoughPercent {
		notes = append(notes, "threads took turns, so there is little contention in it")
	}
	return strings.Join(notes, "; ")
}
