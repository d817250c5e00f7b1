package compare

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
)

//go:embed report.html
var pageText string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"percent": func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) },
	"short":   short,
	"us":      func(ns float64) string { return fmt.Sprintf("%.1f", ns/1e3) },
	"mib":     func(n int64) string { return fmt.Sprintf("%.0f", float64(n)/(1<<20)) },
	"rt": func(rt bool) string {
		if rt {
			return "preempt_rt=1"
		}
		return "preempt_rt=0"
	},
}).Parse(pageText))

// page is what the template gets.
type htmlPage struct {
	*Report
	Strategies  []Strategy
	Conversions []Conversion
	Heats       []namedHeat
	Cold4       []namedChart
	Calls       []namedChart
	MemoryLines template.HTML
	MissBars    template.HTML
	Wakes       template.HTML
	Waits       template.HTML
}

type namedHeat struct {
	Name string
	heat
}

type namedChart struct {
	Name  string
	Chart template.HTML
}

// WriteHTML writes the report as one page that needs nothing else.
func (rep *Report) WriteHTML(w io.Writer) error {
	p := htmlPage{Report: rep, Conversions: Conversions}
	var names []string
	for _, s := range Strategies { // those that were measured
		if slices.ContainsFunc(rep.Hot, func(h Hot) bool { return h.Strategy == s.Name }) {
			names = append(names, s.Name)
			p.Strategies = append(p.Strategies, s)
		}
	}
	p.heats(names)
	for _, rt := range []bool{true, false} {
		for _, at := range []struct {
			kind      Caller
			exhausted bool
			words     string
		}{{Plain, false, "plain callers, memory plenty"}, {Raw, true, "raw callers, lists exhausted"}} {
			var rows []bar
			for _, n := range names {
				if c := rep.cold(n, at.kind, rt, at.exhausted); c != nil {
					rows = append(rows, bar{name: n, parts: []float64{c.Enqueue, c.HandOver, c.Bulk, c.FirstWrite}})
				}
			}
			mode := "preempt_rt=0"
			if rt {
				mode = "preempt_rt=1"
			}
			if len(rows) > 0 {
				name := mode + ", " + at.words
				p.Cold4 = append(p.Cold4, namedChart{name, groups(name, "ns", []string{"enqueue", "hand-over", "kfree_bulk", "next owner's first write"}, rows)})
			}
		}
	}
	for _, exhausted := range []bool{false, true} {
		var rows []strip
		for _, n := range names {
			if h := rep.hot(n, Raw, true, exhausted); h != nil {
				rows = append(rows, strip{name: n, calls: h.Calls, p50: h.P50, p99: h.P99, max: h.Max})
			}
		}
		name := "raw callers, preempt_rt=1, memory plenty"
		if exhausted {
			name = "raw callers, preempt_rt=1, lists exhausted"
		}
		if len(rows) > 0 {
			p.Calls = append(p.Calls, namedChart{name, strips(name, rows)})
		}
	}
	if len(rep.Memory) > 0 {
		p.MemoryLines = lines("memory held over time", slices.DeleteFunc(slices.Clone(rep.Memory), func(m Memory) bool { return m.Died != "" }))
	}
	var misses, wakes, waits []bar
	for _, n := range names {
		if c := rep.cold(n, Plain, true, false); c != nil && c.Misses != nil {
			misses = append(misses, bar{name: n, parts: []float64{*c.Misses}})
		}
		if l := rep.light(n, true); l != nil {
			wakes = append(wakes, bar{name: n, parts: []float64{l.WakeupsPS}})
			waits = append(waits, bar{name: n, parts: []float64{l.LatencyMS}})
		}
	}
	p.MissBars = bars("cache misses at reclaim", "misses", []string{"misses"}, misses)
	p.Wakes = bars("wake-ups a second", "/s", []string{"wake-ups"}, wakes)
	p.Waits = bars("until one object is back", "ms", []string{"latency"}, waits)
	return pageTemplate.Execute(w, p)
}

// heats makes the tables of who wins where.
func (p *htmlPage) heats(names []string) {
	type column struct {
		kind      Caller
		exhausted bool
	}
	var columns []column
	var words []string
	for kind := range callers {
		for _, exhausted := range []bool{false, true} {
			columns = append(columns, column{kind, exhausted})
			w := kind.String()
			if exhausted {
				w += ", exhausted"
			}
			words = append(words, w)
		}
	}
	for _, rt := range []bool{true, false} {
		mode := "preempt_rt=0"
		if rt {
			mode = "preempt_rt=1"
		}
		for _, f := range []struct {
			name string
			get  func(h *Hot) float64
		}{
			{"ns for a call", func(h *Hot) float64 { return h.Call }},
			{"ns for a call, 99th percentile", func(h *Hot) float64 { return h.P99 }},
			{"ns for an object, from allocation to reclaimed", func(h *Hot) float64 { return h.Churn }},
		} {
			p.Heats = append(p.Heats, namedHeat{f.name + ", " + mode, heatOf(names, words, func(name string, c int) (float64, string, bool) {
				i := slices.IndexFunc(p.Hot, func(h Hot) bool {
					return h.Where == Where{name, columns[c].kind.String(), rt, columns[c].exhausted}
				})
				if i < 0 {
					return 0, "", false
				}
				return f.get(&p.Hot[i]), p.Hot[i].Died, p.Hot[i].Noisy
			})})
		}
	}
}
