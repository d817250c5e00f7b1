package main

import (
	"quiesce/bench/internal/barchart"
	"quiesce/bench/internal/harness"
)

// writeChart draws the report's first work: a panel for each number of keys, a bar
// for each map.
func writeChart(file string, rep *Report) error {
	g := rep.Groups[0]
	var panels []barchart.Panel
	for i, label := range g.Columns {
		p := barchart.Panel{Title: label, Format: harness.NS}
		for _, r := range g.Rows {
			if len(r.Cells[i].Rounds) > 0 {
				p.Add(r.Name, r.Cells[i].Value)
			}
		}
		panels = append(panels, p)
	}
	return barchart.Write(file, g.Title, panels)
}
