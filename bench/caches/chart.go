package main

import (
	"fmt"
	"slices"

	"quiesce/bench/internal/barchart"
)

// charted are the columns to draw: of a part of the report the first that it has, or
// else its first.
var charted = []string{memoryColumn, hitsColumn}

const (
	memoryColumn = "B/entry"
	hitsColumn   = "hits, %"
)

// writeChart draws whole caches: a panel for each part of the report, a bar for each
// cache.
func writeChart(file string, rep *Report) error {
	var panels []barchart.Panel
	for _, s := range rep.Sheets {
		at := 0
		for _, label := range charted {
			if i := slices.Index(s.Columns, label); i >= 0 && s.ID != "load" {
				at = i
				break
			}
		}
		p := barchart.Panel{Title: s.ID + ": " + s.Columns[at], Format: threeDigits}
		for _, r := range s.Rows {
			if c := r.Cells[at]; len(c.Rounds) > 0 && (s.Columns[at] != memoryColumn || r.Name != none.name) {
				p.Add(r.Name, c.Value)
			}
		}
		panels = append(panels, p)
	}
	title := fmt.Sprintf("Whole caches: %s, %d CPUs, %s, %s", rep.CPU, rep.CPUs, rep.OS, rep.Go)
	if rep.Short {
		title += "; SHORT: only to see that it works"
	}
	return barchart.Write(file, title, panels)
}

func threeDigits(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
