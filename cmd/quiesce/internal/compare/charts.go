package compare

import (
	"cmp"
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/go-analyze/charts"
)

// The page's charts are static SVG, without a script: the page works wherever
// it is opened, and prints. They are drawn for a column of 400 px, so that their
// text is readable on a telephone; wider pages have several columns.
//
// The library draws with placeholder colours, which are replaced by the page's
// variables: one drawing serves light and dark.

const chartWidth = 400

// paint has a placeholder colour for each of the page's variables.
var paint = []struct{ colour, variable string }{
	{"rgb(1,2,3)", "var(--ink)"},
	{"rgb(2,3,4)", "var(--soft)"},
	{"rgb(3,4,5)", "var(--rule)"},
	{"rgb(4,5,6)", "var(--a)"},
	{"rgb(5,6,7)", "var(--b)"},
	{"rgb(6,7,8)", "var(--d)"},
	{"rgb(7,8,9)", "var(--c)"},
	{"rgba(4,5,6,0.2)", "var(--area)"},
}

var (
	ink, soft, rule = placeholder(0), placeholder(1), placeholder(2)

	chartTheme = charts.MakeTheme(charts.ThemeOption{
		AxisStrokeColor: soft, AxisSplitLineColor: rule, BackgroundColor: charts.ColorTransparent,
		TextColor: ink, TextColorTitle: ink, TextColorMark: soft, TextColorLabel: soft, TextColorLegend: ink,
		TextColorXAxis: soft, TextColorYAxis: ink,
		SeriesColors: []charts.Color{placeholder(3), placeholder(4), placeholder(5), placeholder(6)},
	})
	axisText  = charts.FontStyle{FontSize: 10, FontColor: soft}
	nameText  = charts.FontStyle{FontSize: 10.5, FontColor: ink}
	labelText = charts.FontStyle{FontSize: 9.5, FontColor: soft}
)

func placeholder(i int) charts.Color { return charts.ParseColor(paint[i].colour) }

// svg finishes a drawing for the page.
func svg(title string, height int, draw func(*charts.Painter) error) (template.HTML, error) {
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: chartWidth, Height: height, Theme: chartTheme})
	if err := draw(p); err != nil {
		return "", fmt.Errorf("chart %q: %w", title, err)
	}
	b, err := p.Bytes()
	if err != nil {
		return "", fmt.Errorf("chart %q: %w", title, err)
	}
	_, inner, _ := strings.Cut(string(b), ">") // the page's tag needs no name space
	for _, c := range paint {
		inner = strings.ReplaceAll(inner, c.colour, c.variable)
	}
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-label="%s">%s`,
		chartWidth, height, html.EscapeString(title), inner)), nil
}

// bar is a row of a bar chart, with a figure of each series.
type bar struct {
	name  string
	parts []float64
}

// bars draws the figures of each row below each other, horizontally.
func bars(title, unit string, legend []string, rows []bar) (template.HTML, error) {
	if !slices.ContainsFunc(rows, func(r bar) bool { return slices.Max(r.parts) > 0 }) {
		return "", nil
	}
	var names []string
	series := make([][]float64, len(legend))
	for _, r := range slices.Backward(rows) { // the axis begins at the bottom
		names = append(names, r.name)
		for k, v := range r.parts {
			series[k] = append(series[k], v)
		}
	}
	opt := charts.NewBarChartOptionWithData(series)
	opt.Horizontal = true
	opt.Theme = chartTheme
	opt.Padding = charts.NewBox(4, 4, 34, 6) // on the right: the longest bar's figure
	opt.CategoryAxis = charts.CategoryAxisOption{Labels: names, LabelFontStyle: nameText, LabelCount: len(names)}
	opt.ValueAxis = []charts.ValueAxisOption{{Title: unit, TitleFontStyle: axisText, LabelFontStyle: axisText,
		Min: charts.Ptr(0.0), LabelCount: 5, SplitLineShow: charts.Ptr(true), ValueFormatter: short}}
	opt.Legend = charts.LegendOption{Show: charts.Ptr(len(legend) > 1), SeriesNames: legend, FontStyle: nameText}
	for i := range opt.SeriesList {
		opt.SeriesList[i].Label = charts.SeriesLabel{Show: charts.Ptr(true), FontStyle: labelText, ValueFormatter: short}
	}
	height := 50 + len(rows)*(12+15*len(legend))
	if len(legend) > 1 {
		height += 26
	}
	return svg(title, height, func(p *charts.Painter) error { return p.BarChart(opt) })
}

// strip is the distribution of a strategy's calls.
type strip struct {
	name          string
	calls         []Bucket
	p50, p99, max float64
}

// distribution draws a column for each doubling of the time, as high as the
// logarithm of its share of the calls.
func distribution(s strip) (template.HTML, error) {
	const first, last, decades = 2, 26, 5 // 4 ns to 64 ms; 0.001 % to 100 %
	var all float64
	for _, c := range s.calls {
		all += float64(c.Count)
	}
	if all == 0 {
		return "", nil
	}
	share := make([]float64, last-first)
	for _, c := range s.calls {
		i := int(math.Log2(float64(max(c.NS, 1))))
		share[min(max(i, first), last-1)-first] += float64(c.Count) / all
	}
	labels := make([]string, len(share))
	for i, v := range share {
		labels[i] = roughly(math.Exp2(float64(i + first)))
		if share[i] = charts.GetNullValue(); v > 0 { // one call in a hundred thousand can still be seen
			share[i] = max(decades+math.Log10(v), 0.15)
		}
	}
	opt := charts.NewBarChartOptionWithData([][]float64{share})
	opt.Theme = chartTheme
	opt.Padding = charts.NewBox(4, 4, 8, 4)
	opt.BarMargin = charts.Ptr(0.1)
	opt.Title = charts.TitleOption{FontStyle: nameText,
		Text: fmt.Sprintf("%s: p50 %s, p99 %s, longest %s", s.name, duration(s.p50), duration(s.p99), duration(s.max))}
	opt.CategoryAxis = charts.CategoryAxisOption{Title: "time of a call, and up to twice as long", TitleFontStyle: axisText,
		Labels: labels, LabelFontStyle: axisText, LabelCount: 5}
	opt.ValueAxis = []charts.ValueAxisOption{{Title: "share of calls", TitleFontStyle: axisText, LabelFontStyle: axisText,
		Min: charts.Ptr(0.0), Max: charts.Ptr(float64(decades)), LabelCount: decades + 1, SplitLineShow: charts.Ptr(true),
		ValueFormatter: func(v float64) string { return fmt.Sprintf("%.4g %%", math.Pow(10, v-decades+2)) }}}
	return svg("latency of a call, "+s.name, 200, func(p *charts.Painter) error { return p.BarChart(opt) })
}

// memoryChart draws memory over time, on a scale up to most bytes.
func memoryChart(m Memory, most int64) (template.HTML, error) {
	if len(m.At) == 0 {
		return "", nil
	}
	const step = sampleNS / 1e6
	var held []float64
	var at []string
	i := 0
	for t := 0; t <= memoryNS/1e6; t += step {
		for i+1 < len(m.At) && m.At[i+1] <= float64(t) {
			i++
		}
		held = append(held, float64(m.Bytes[i])/(1<<20))
		at = append(at, fmt.Sprint(t))
	}
	opt := charts.NewLineChartOptionWithData([][]float64{held})
	opt.Theme = chartTheme
	opt.Padding = charts.NewBox(4, 4, 12, 4)
	opt.FillArea = charts.Ptr(true)
	opt.FillOpacity = 51
	opt.Symbol = charts.Symbol{Shape: charts.SymbolNone}
	opt.LineStrokeWidth = 1.5
	opt.Title = charts.TitleOption{Text: fmt.Sprintf("%s: peak %.0f MiB", m.Strategy, float64(m.Peak)/(1<<20)), FontStyle: nameText}
	opt.XAxis = charts.XAxisOption{Title: "ms since the start", TitleFontStyle: axisText, Labels: at, LabelFontStyle: axisText,
		LabelCount: 7, BoundaryGap: charts.Ptr(false)}
	opt.YAxis = []charts.YAxisOption{{Title: "MiB", TitleFontStyle: axisText, LabelFontStyle: axisText, Min: charts.Ptr(0.0),
		Max: charts.Ptr(math.Ceil(float64(most) / (1 << 20))), LabelCount: 5, ValueFormatter: short}}
	return svg("memory over time, "+m.Strategy, 190, func(p *charts.Painter) error { return p.LineChart(opt) })
}

// mostHeld is the largest peak.
func mostHeld(all []Memory) int64 {
	if len(all) == 0 {
		return 0
	}
	return slices.MaxFunc(all, func(a, b Memory) int { return cmp.Compare(a.Peak, b.Peak) }).Peak
}

// roughly is a duration with one or two digits, for an axis.
func roughly(ns float64) string {
	unit := 1.0
	for ; ns >= 1000*unit; unit *= 1000 {
	}
	v := ns / unit
	if v > 100 {
		v = math.Round(v/10) * 10
	}
	return duration(math.Round(v) * unit)
}

func duration(ns float64) string {
	switch {
	case ns >= 1e6:
		return short(ns/1e6) + " ms"
	case ns >= 1e3:
		return short(ns/1e3) + " µs"
	}
	return short(ns) + " ns"
}

// short is a figure with three digits.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3g M", v/1e6)
	case v >= 10_000:
		return fmt.Sprintf("%.3g k", v/1e3)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
