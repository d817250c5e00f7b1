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
	"rt":      rtName,
}).Parse(pageText))

func rtName(rt bool) string {
	if rt {
		return "preempt_rt=1"
	}
	return "preempt_rt=0"
}

// htmlPage is what the template gets.
type htmlPage struct {
	*Report
	Strategies  []Strategy
	Conversions []Conversion
	Heats       []namedHeat
	Floods      []namedChart
	Calls       []namedCharts
	MemoryLines []template.HTML
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

type namedCharts struct {
	Name   string
	Charts []template.HTML
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
	for _, draw := range []func([]string) error{p.floods, p.calls, p.memories, p.littles} {
		if err := draw(names); err != nil {
			return err
		}
	}
	return pageTemplate.Execute(w, p)
}

// floods draws the cold floods.
func (p *htmlPage) floods(names []string) error {
	for _, rt := range []bool{true, false} {
		for _, at := range []struct {
			kind      Caller
			exhausted bool
			words     string
		}{{Plain, false, "plain callers, memory plenty"}, {Raw, true, "raw callers, lists exhausted"}} {
			var rows []bar
			for _, n := range names {
				if c := p.cold(n, at.kind, rt, at.exhausted); c != nil {
					rows = append(rows, bar{n, []float64{c.Enqueue, c.HandOver, c.Bulk, c.FirstWrite}})
				}
			}
			name := rtName(rt) + ", " + at.words
			chart, err := bars(name, "ns for an object", []string{"enqueue", "hand-over", "kfree_bulk", "next first write"}, rows)
			if err != nil {
				return err
			}
			if chart != "" {
				p.Floods = append(p.Floods, namedChart{name, chart})
			}
		}
	}
	return nil
}

// calls draws the latency of raw callers' calls.
func (p *htmlPage) calls(names []string) error {
	for _, exhausted := range []bool{false, true} {
		group := namedCharts{Name: "raw callers, preempt_rt=1, memory plenty"}
		if exhausted {
			group.Name = "raw callers, preempt_rt=1, lists exhausted"
		}
		for _, n := range names {
			h := p.hot(n, Raw, true, exhausted)
			if h == nil {
				continue
			}
			chart, err := distribution(strip{name: n, calls: h.Calls, p50: h.P50, p99: h.P99, max: h.Max})
			if err != nil {
				return err
			}
			group.Charts = append(group.Charts, chart)
		}
		if len(group.Charts) > 0 {
			p.Calls = append(p.Calls, group)
		}
	}
	return nil
}

// memories draws memory over time, on one scale.
func (p *htmlPage) memories([]string) error {
	alive := slices.DeleteFunc(slices.Clone(p.Memory), func(m Memory) bool { return m.Died != "" })
	for _, m := range alive {
		chart, err := memoryChart(m, mostHeld(alive))
		if err != nil {
			return err
		}
		p.MemoryLines = append(p.MemoryLines, chart)
	}
	return nil
}

// littles draws the bars with one figure for each strategy.
func (p *htmlPage) littles(names []string) (err error) {
	var misses, wakes, waits []bar
	for _, n := range names {
		if c := p.cold(n, Plain, true, false); c != nil && c.Misses != nil {
			misses = append(misses, bar{n, []float64{*c.Misses}})
		}
		if l := p.light(n, true); l != nil {
			wakes = append(wakes, bar{n, []float64{l.WakeupsPS}})
			waits = append(waits, bar{n, []float64{l.LatencyMS}})
		}
	}
	if p.MissBars, err = bars("cache misses at reclaim", "misses for an object", []string{"misses"}, misses); err != nil {
		return err
	}
	if p.Wakes, err = bars("wake-ups a second", "wake-ups a second", []string{"wake-ups"}, wakes); err != nil {
		return err
	}
	p.Waits, err = bars("until one object is back", "ms until it is back", []string{"latency"}, waits)
	return err
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
		columns = append(columns, column{kind, false}, column{kind, true})
		words = append(words, kind.String(), kind.String()+", exhausted")
	}
	for _, rt := range []bool{true, false} {
		for _, f := range []struct {
			name string
			get  func(h *Hot) float64
		}{
			{"ns for a call", func(h *Hot) float64 { return h.Call }},
			{"ns for a call, 99th percentile", func(h *Hot) float64 { return h.P99 }},
			{"ns for an object, from allocation to reclaimed", func(h *Hot) float64 { return h.Churn }},
		} {
			p.Heats = append(p.Heats, namedHeat{f.name + ", " + rtName(rt), heatOf(names, words, func(name string, c int) (float64, string, bool) {
				w := Where{name, columns[c].kind.String(), rt, columns[c].exhausted}
				h := find(p.Hot, func(h *Hot) bool { return h.Where == w })
				if h == nil {
					return 0, "", false
				}
				return f.get(h), h.Died, h.Noisy
			})})
		}
	}
}
