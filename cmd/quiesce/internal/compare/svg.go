package compare

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strings"
)

// Charts are small SVG drawings, with no more than the page needs. Colours are
// the page's classes.

// bar is a row of a bar chart: parts one behind the other.
type bar struct {
	name  string
	parts []float64
	note  string
}

// bars draws horizontal bars, stacked parts in classes c0, c1, ...
func bars(title, unit string, legend []string, rows []bar) template.HTML {
	const left, right, high, width = 96, 120, 24, 720
	top := 14
	if len(legend) > 1 {
		top = 30
	}
	most := 0.0
	for _, r := range rows {
		sum := 0.0
		for _, p := range r.parts {
			sum += p
		}
		most = max(most, sum)
	}
	if most == 0 {
		return ""
	}
	var b strings.Builder
	open(&b, title, width, top+len(rows)*high+26)
	if len(legend) > 1 {
		x := left
		for i, l := range legend {
			fmt.Fprintf(&b, `<rect class="c%d" x="%d" y="6" width="12" height="12"/><text x="%d" y="16">%s</text>`, i, x, x+17, html.EscapeString(l))
			x += 34 + 7*len(l)
		}
	}
	scale := (width - left - right) / most
	for i, r := range rows {
		y := top + i*high
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, left-8, y+16, r.name)
		x, sum := float64(left), 0.0
		for k, p := range r.parts {
			fmt.Fprintf(&b, `<rect class="c%d" x="%.1f" y="%d" width="%.1f" height="%d"><title>%s: %s %s %s</title></rect>`,
				k, x, y+3, max(p*scale, 0.5), high-6, r.name, html.EscapeString(legend[k]), short(p), unit)
			x += p * scale
			sum += p
		}
		note := r.note
		if note == "" {
			note = short(sum) + " " + unit
		}
		fmt.Fprintf(&b, `<text class="v" x="%.1f" y="%d">%s</text>`, x+6, y+16, html.EscapeString(note))
	}
	y := top + len(rows)*high
	fmt.Fprintf(&b, `<line class="axis" x1="%d" y1="%d" x2="%d" y2="%d"/><text class="v" x="%d" y="%d">0</text><text class="v" x="%d" y="%d" text-anchor="end">%s %s</text></svg>`,
		left, y+2, width-right, y+2, left, y+18, width-right, y+18, short(most), unit)
	return template.HTML(b.String())
}

// groups draws a row's parts below each other, for figures that have no sum.
func groups(title, unit string, legend []string, rows []bar) template.HTML {
	const left, right, thin, width, top = 96, 120, 13, 720, 30
	high := thin*len(legend) + 12
	most := 0.0
	for _, r := range rows {
		most = max(most, slices.Max(r.parts))
	}
	if most == 0 {
		return ""
	}
	var b strings.Builder
	open(&b, title, width, top+len(rows)*high)
	x := left
	for i, l := range legend {
		fmt.Fprintf(&b, `<rect class="c%d" x="%d" y="6" width="12" height="12"/><text x="%d" y="16">%s</text>`, i, x, x+17, html.EscapeString(l))
		x += 34 + 7*len(l)
	}
	for i, r := range rows {
		y := top + i*high
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, left-8, y+high/2, r.name)
		for k, p := range r.parts {
			w := max(p*(width-left-right)/most, 1)
			fmt.Fprintf(&b, `<rect class="c%d" x="%d" y="%d" width="%.1f" height="%d"><title>%s: %s %s %s</title></rect><text class="v small" x="%.1f" y="%d">%s</text>`,
				k, left, y+k*thin+1, w, thin-2, r.name, html.EscapeString(legend[k]), short(p), unit, left+w+6, y+k*thin+thin-3, short(p))
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// strip is a row of a chart of distributions.
type strip struct {
	name     string
	calls    []Bucket
	p50, p99 float64
	max      float64
}

// strips draws distributions on a logarithmic scale of ns, a column for each
// doubling, as high as the logarithm of its share.
func strips(title string, rows []strip) template.HTML {
	const left, right, high, width, first, last = 96, 20, 44, 720, 2, 26 // 4 ns to 64 ms
	var b strings.Builder
	open(&b, title, width, len(rows)*high+30)
	step := float64(width-left-right) / (last - first)
	at := func(ns float64) float64 {
		l := math.Log2(max(ns, 1<<first))
		return left + min(l-first, last-first)*step
	}
	for i, r := range rows {
		y := i * high
		all := uint64(0)
		for _, c := range r.calls {
			all += c.Count
		}
		if all == 0 {
			continue
		}
		base := float64(y + high - 8)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`, left-8, y+high-12, r.name, left, base, width-right, base)
		for _, c := range r.calls {
			share := float64(c.Count) / float64(all)
			// One call in a hundred thousand is still to be seen.
			h := (5 + math.Log10(max(share, 1e-5))) / 5 * (high - 14)
			fmt.Fprintf(&b, `<rect class="c0" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s: %s ns and more: %.3f %%</title></rect>`,
				at(float64(c.NS)), base-max(h, 1), step-1, max(h, 1), r.name, short(float64(c.NS)), 100*share)
		}
		for k, q := range []float64{r.p50, r.p99, r.max} {
			fmt.Fprintf(&b, `<line class="q%d" x1="%.1f" y1="%d" x2="%.1f" y2="%.1f"><title>%s: %s %s ns</title></line>`, k, at(q), y+4, at(q), base, r.name, [...]string{"p50", "p99", "max"}[k], short(q))
		}
	}
	y := len(rows) * high
	for _, tick := range []float64{10, 100, 1e3, 1e4, 1e5, 1e6, 1e7} {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" y1="0" x2="%.1f" y2="%d"/><text class="v" x="%.1f" y="%d" text-anchor="middle">%s</text>`, at(tick), at(tick), y, at(tick), y+18, duration(tick))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// lines draws one small chart of memory over time for each strategy.
func lines(title string, series []Memory) template.HTML {
	const cols, w, h, width = 3, 240, 110, 720
	most, longest := int64(1), 1.0
	for _, s := range series {
		most = max(most, s.Peak)
		for _, t := range s.At {
			longest = max(longest, t)
		}
	}
	rows := (len(series) + cols - 1) / cols
	var b strings.Builder
	open(&b, title, width, rows*h)
	for i, s := range series {
		x0, y0 := float64(i%cols*w+8), float64(i/cols*h+20)
		pw, ph := float64(w-24), float64(h-38)
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f">%s</text><text class="v" x="%.0f" y="%.0f" text-anchor="end">peak %.0f MiB</text><line class="axis" x1="%.0f" y1="%.0f" x2="%.0f" y2="%.0f"/>`,
			x0, y0-6, s.Strategy, x0+pw, y0-6, float64(s.Peak)/(1<<20), x0, y0+ph, x0+pw, y0+ph)
		var pts []string
		for k, v := range s.Bytes {
			pts = append(pts, fmt.Sprintf("%.1f,%.1f", x0+pw*s.At[k]/longest, y0+ph*(1-float64(v)/float64(most))))
		}
		if len(pts) > 0 {
			end, _, _ := strings.Cut(pts[len(pts)-1], ",")
			fmt.Fprintf(&b, `<polygon class="area" points="%.1f,%.1f %s %s,%.1f"/><polyline class="line" points="%s"/>`, x0, y0+ph, strings.Join(pts, " "), end, y0+ph, strings.Join(pts, " "))
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

func open(b *strings.Builder, title string, width, height int) {
	fmt.Fprintf(b, `<svg role="img" viewBox="0 0 %d %d" aria-label="%s"><title>%s</title>`, width, height, html.EscapeString(title), html.EscapeString(title))
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

func duration(ns float64) string {
	switch {
	case ns >= 1e6:
		return short(ns/1e6) + " ms"
	case ns >= 1e3:
		return short(ns/1e3) + " µs"
	}
	return short(ns) + " ns"
}

// heat is a table of who wins where: a column's best figure is 1.
type heat struct {
	Columns []string
	Rows    []heatRow
}

type heatRow struct {
	Name  string
	Cells []heatCell
}

type heatCell struct {
	Text, Title, Class string
}

func heatOf(names, columns []string, value func(name string, column int) (v float64, dead string, noisy bool)) heat {
	h := heat{Columns: columns}
	best := make([]float64, len(columns))
	for c := range columns {
		var v []float64
		for _, n := range names {
			if x, dead, _ := value(n, c); dead == "" && x > 0 {
				v = append(v, x)
			}
		}
		if len(v) > 0 {
			best[c] = slices.Min(v)
		}
	}
	for _, n := range names {
		r := heatRow{Name: n}
		for c := range columns {
			x, dead, noisy := value(n, c)
			cell := heatCell{Text: "–", Class: "none"}
			switch {
			case dead != "":
				cell = heatCell{Text: "dies", Title: dead, Class: "dead"}
			case x > 0:
				k := x / best[c]
				// Six shades for a factor of 1 to 32.
				cell = heatCell{Text: short(x), Title: fmt.Sprintf("%.2f × the best", k), Class: fmt.Sprintf("h%d", min(int(math.Log2(k)+0.5), 5))}
				if x == best[c] {
					cell.Class += " best"
				}
				if noisy {
					cell.Text += " ~"
				}
			}
			r.Cells = append(r.Cells, cell)
		}
		h.Rows = append(h.Rows, r)
	}
	return h
}
