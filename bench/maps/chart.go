package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"

	"github.com/go-analyze/charts"

	"quiesce/bench/internal/harness"
)

const (
	panelWidth  = 430
	panelHeight = 250
	titleHeight = 34
)

// chart draws the report's first work: a panel for each number of keys, two in
// a row, a bar for each map.
func chart(rep *Report) ([]byte, error) {
	g := rep.Groups[0]
	rows := (len(g.Columns) + 1) / 2
	theme := charts.GetTheme(charts.ThemeLight)
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Theme: theme,
		Width: 2 * panelWidth, Height: titleHeight + rows*panelHeight})
	p.FilledRect(0, 0, p.Width(), p.Height(), charts.ColorWhite, charts.ColorWhite, 0)
	p.Text(g.Title, 12, 22, 0, charts.FontStyle{FontSize: 12, FontColor: charts.ColorBlack})
	for i, label := range g.Columns {
		var names []string
		var values []float64
		for _, r := range slices.Backward(g.Rows) { // the axis begins at the bottom
			if len(r.Cells[i].Rounds) > 0 {
				names, values = append(names, r.Name), append(values, r.Cells[i].Value)
			}
		}
		if len(values) == 0 {
			continue
		}
		left, top := i%2*panelWidth, titleHeight+i/2*panelHeight
		opt := charts.NewBarChartOptionWithData([][]float64{values})
		opt.Horizontal = true
		opt.Theme = theme
		opt.Padding = charts.NewBox(8, 4, 40, 4)
		opt.Title = charts.TitleOption{Text: cmp.Or(label, g.Title), FontStyle: charts.FontStyle{FontSize: 11}}
		opt.CategoryAxis = charts.CategoryAxisOption{Labels: names, LabelCount: len(names), LabelFontStyle: charts.FontStyle{FontSize: 9}}
		opt.ValueAxis = []charts.ValueAxisOption{{Min: charts.Ptr(0.0), LabelCount: 5, LabelFontStyle: charts.FontStyle{FontSize: 8}}}
		opt.SeriesList[0].Label = charts.SeriesLabel{Show: charts.Ptr(true), FontStyle: charts.FontStyle{FontSize: 9}, ValueFormatter: harness.NS}
		box := charts.NewBox(left, top, left+panelWidth, top+panelHeight)
		if err := p.Child(charts.PainterBoxOption(box)).BarChart(opt); err != nil {
			return nil, fmt.Errorf("chart %q: %w", label, err)
		}
	}
	return p.Bytes()
}

func writeChart(file string, rep *Report) error {
	b, err := chart(rep)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}
