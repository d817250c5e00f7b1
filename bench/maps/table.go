package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"quiesce/bench/internal/harness"
)

// columnsAtATime are as many as 80 columns have room for.
const columnsAtATime = 4

// render prints the table and the verdicts.
func render(w io.Writer, rep *Report) {
	put := func(s string) {
		for _, line := range strings.Split(text.WrapSoft(s, 80), "\n") {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
		}
	}
	put(fmt.Sprintf("%s, %d CPUs, %s, %s; load averages at the start %s", rep.CPU, rep.CPUs, rep.OS, rep.Go, rep.Load))
	head := "Medians of " + harness.Plural(rep.Count, "round") + ", interleaved; ~: spread above 20 %"
	if rep.Short {
		head += "; SHORT: only to see that it works"
	}
	if rep.Partial {
		head += "; PARTIAL: ended early"
	}
	put(head)
	for _, g := range rep.Groups {
		fmt.Fprintf(w, "\n%s\n", g.Title)
		for from := 0; from < len(g.Columns); from += columnsAtATime {
			to := min(from+columnsAtATime, len(g.Columns))
			rows := [][]string{append([]string{""}, g.Columns[from:to]...)}
			for _, r := range g.Rows {
				line := []string{"  " + r.Name}
				for _, c := range r.Cells[from:to] {
					line = append(line, c.String())
				}
				rows = append(rows, line)
			}
			for _, line := range harness.Align(rows) {
				fmt.Fprintln(w, line)
			}
		}
	}
	harness.PrintVerdicts(w, "Must hold for rcuhash, with 2 goroutines", rep.Verdicts)
	if len(rep.Skipped)+len(rep.Failed) > 0 {
		fmt.Fprintln(w)
	}
	for _, s := range rep.Skipped {
		put("not measured: " + s)
	}
	for _, f := range rep.Failed {
		put("failed: " + harness.FirstLine(f))
	}
}
