// Package barchart draws what benchmarks measured: panels of bars, two in a row, as
// SVG.
package barchart

import (
	"cmp"
	"fmt"
	"os"

	"github.com/go-analyze/charts"
)

const (
	panelWidth  = 430
	panelHeight = 250
	titleHeight = 34
)

// Panel is a bar for each name. Panels without any are left empty.
type Panel struct {
	Title  string // "": that of the chart
	Names  []string
	Values []float64
	Format func(float64) string
}

// Add adds a bar below the others.
func (p *Panel) Add(name string, value float64) {
	p.Names, p.Values = append(p.Names, name), append(p.Values, value)
}

// Draw returns the SVG.
func Draw(title string, panels []Panel) ([]byte, error) {
	rows := (len(panels) + 1) / 2
	theme := charts.GetTheme(charts.ThemeLight)
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Theme: theme,
		Width: 2 * panelWidth, Height: titleHeight + rows*panelHeight})
	p.FilledRect(0, 0, p.Width(), p.Height(), charts.ColorWhite, charts.ColorWhite, 0)
	p.Text(title, 12, 22, 0, charts.FontStyle{FontSize: 12, FontColor: charts.ColorBlack})
	for i, panel := range panels {
		if len(panel.Values) == 0 {
			continue
		}
		names, values := reversed(panel.Names), reversed(panel.Values) // the axis begins at the bottom
		left, top := i%2*panelWidth, titleHeight+i/2*panelHeight
		opt := charts.NewBarChartOptionWithData([][]float64{values})
		opt.Horizontal = true
		opt.Theme = theme
		opt.Padding = charts.NewBox(8, 4, 40, 4)
		opt.Title = charts.TitleOption{Text: cmp.Or(panel.Title, title), FontStyle: charts.FontStyle{FontSize: 11}}
		opt.CategoryAxis = charts.CategoryAxisOption{Labels: names, LabelCount: len(names), LabelFontStyle: charts.FontStyle{FontSize: 9}}
		opt.ValueAxis = []charts.ValueAxisOption{{Min: charts.Ptr(0.0), LabelCount: 5, LabelFontStyle: charts.FontStyle{FontSize: 8}}}
		opt.SeriesList[0].Label = charts.SeriesLabel{Show: charts.Ptr(true), FontStyle: charts.FontStyle{FontSize: 9}, ValueFormatter: panel.Format}
		box := charts.NewBox(left, top, left+panelWidth, top+panelHeight)
		if err := p.Child(charts.PainterBoxOption(box)).BarChart(opt); err != nil {
			return nil, fmt.Errorf("chart %q: %w", panel.Title, err)
		}
	}
	return p.Bytes()
}

// Write writes the SVG to a file.
func Write(file, title string, panels []Panel) error {
	b, err := Draw(title, panels)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}

func reversed[T any](s []T) []T {
	out := make([]T, len(s))
	for i, v := range s {
		out[len(s)-1-i] = v
	}
	return out
}
