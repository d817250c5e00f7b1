package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quiesce/bench/internal/harness"
	"quiesce/bench/internal/harness/harnesstest"
)

// Every cache finds what was set, as its readers look it up.
func TestEveryStoreFindsWhatIsThere(t *testing.T) {
	const n = 500
	for i := range brands {
		b := &brands[i]
		t.Run(b.id, func(t *testing.T) {
			s, err := b.make(plan{bytes: 4 * n * perEntry, entries: 4 * n, mean: keySize + valueSize})
			if err != nil {
				t.Fatal(err)
			}
			fill(s, n)
			ways := []func(*probe) answer{s.reader()}
			if v, ok := s.(viewer); ok != b.views {
				t.Errorf("views: %v, want %v", ok, b.views)
			} else if ok {
				ways = append(ways, v.viewer())
			}
			for _, find := range ways {
				found := 0
				for i := range n {
					p := probeOf(i)
					switch find(&p) {
					case hit:
						found++
					case wrong:
						t.Fatalf("key %d has another's value", i)
					}
					p.n++
					if a := find(&p); a == hit {
						t.Fatalf("key %d has the value of the next", i)
					}
				}
				// Some drop what comes too fast.
				if found < n*8/10 || b.ours && found != n {
					t.Errorf("%d of %d keys are there", found, n)
				}
				if p := probeOf(n); find(&p) != missed {
					t.Error("a key that was not set is there")
				}
			}
			if err := s.close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// tiny are the sheets with tasks that take milliseconds.
func tiny(t *testing.T) []sheet {
	t.Helper()
	all, err := (&options{short: true, entries: 2000, storm: 1}).sheets()
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		task := &all[i].task
		task.NS, task.Batches, task.Seconds = 20e3, 1, 0.01
		task.Entries = min(task.Entries, 20_000)
	}
	return all
}

// Every figure of the table is one that each child prints.
func TestEveryWorkIsMeasuredOfEveryCache(t *testing.T) {
	all := tiny(t)
	for _, r := range runsOf(all) {
		for i, b := range r.brands {
			if testing.Short() && i > 2 && b != &none && r.task.Kind != kindGet {
				continue
			}
			task := r.task
			task.Brand = b.id
			text, err := json.Marshal(task)
			if err != nil {
				t.Fatal(err)
			}
			var out, errs bytes.Buffer
			status := child([]string{string(text)}, &out, &errs)
			f, err := harness.ParseFigures(out.String(), "ok")
			if status != harness.ExitOK || err != nil {
				t.Errorf("%s of %s: status %d, %v, %s", r.key, b.id, status, err, errs.String())
				continue
			}
			for _, s := range all {
				for _, row := range s.rows {
					for _, c := range s.columns {
						name := row.figure(c)
						_, ok := f[name]
						optional := name == "" || b == &none && name == "entry"
						if row.brand == b && s.task.key() == r.key && !ok && !optional {
							t.Errorf("%s: no figure %s of %s in %v", s.id, name, b.id, f)
						}
					}
				}
			}
		}
	}
}

// A cache that mixes values up ends the run.
func TestAWrongValueIsAnError(t *testing.T) {
	p, q := probeOf(1), probeOf(2)
	v := stamp(make([]byte, valueSize), &p)
	if check(v, &p) != hit || check(v, &q) != wrong || check(v[:4], &p) != wrong || check(nil, &p) != wrong {
		t.Error("check")
	}
	brands = append(brands, brand{id: "bad", name: "bad", make: func(plan) (store, error) { return mixed{v}, nil }})
	defer func() { brands = brands[:len(brands)-1] }()
	for _, kind := range []string{kindGet, kindLoad, kindMemory, kindStorm} {
		text, _ := json.Marshal(task{Brand: "bad", Kind: kind, Works: []string{"load.1"}, Entries: 2000, NS: 1000, Batches: 1, Seconds: 0.01, Bytes: mib})
		var out, errs bytes.Buffer
		if status := child([]string{string(text)}, &out, &errs); status != harness.ExitWrong || !strings.Contains(errs.String(), "WRONG") {
			t.Errorf("%s: status %d, %s", kind, status, errs.String())
		}
	}
	for _, args := range [][]string{nil, {"{"}, {`{"Brand": "no"}`}, {`{"Brand": "otter", "Kind": "no"}`}} {
		var out, errs bytes.Buffer
		if status := child(args, &out, &errs); status != harness.ExitFailed {
			t.Errorf("%q: status %d", args, status)
		}
	}
}

type mixed struct{ v []byte }

func (m mixed) reader() func(*probe) answer { return func(p *probe) answer { return check(m.v, p) } }
func (m mixed) set(*probe, []byte)          {}
func (m mixed) close() error                { return nil }

// The command measures whole caches in processes of its own.
func TestWholeCaches(t *testing.T) {
	out, errs, status := harnesstest.Run(t, nil, "-short", "-json", "-run", "^(get/2|storm)/(otter|cache.Bytes)")
	if status != harness.ExitOK {
		t.Fatalf("status %d: %s", status, errs)
	}
	var rep Report
	harnesstest.JSON(t, out, &rep)
	if len(rep.Rows) != 0 || len(rep.Sheets) != 2 || len(rep.Sheets[0].Rows) != 3 || len(rep.Sheets[1].Rows) != 2 {
		t.Fatalf("%+v", rep)
	}
	for _, s := range rep.Sheets {
		for i, r := range s.Rows {
			if c := r.Cells[0]; len(c.Rounds) != 1 || c.Value <= 0 || i == 0 && c.Ratio != 1 {
				t.Errorf("%s, %s: %+v", s.ID, r.Name, c)
			}
		}
	}
	if harness.CountVerdicts(rep.Targets, harness.Absent) == len(rep.Targets) {
		t.Errorf("no verdicts: %+v", rep.Targets)
	}
	harnesstest.Fits(t, rendered(&rep))
}

func TestTheChartHasAPanelForEachPart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "caches.svg")
	cell := func(v float64) harness.Cell { return harness.Cell{Value: v, Rounds: []float64{v}} }
	rep := &Report{Sheets: []Sheet{
		{ID: "bytes/cdn/64M", Columns: []string{hitsColumn, "takes"}, Rows: []SheetRow{{"cache.Bytes", []harness.Cell{cell(68.54), cell(1)}}}},
		{ID: "memory", Columns: []string{"GC", memoryColumn}, Rows: []SheetRow{{"otter v2", []harness.Cell{cell(2), cell(264.6)}}, {none.name, []harness.Cell{cell(2), cell(7)}}}},
		{ID: "get/2", Columns: []string{"100 %", "95 %"}, Rows: []SheetRow{{"fastcache", []harness.Cell{cell(31.4), {}}}}},
	}}
	if err := writeChart(file, rep); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(file)
	for _, want := range []string{"bytes/cdn/64M: hits, %", "68.5", "memory: B/entry", "265", "otter v2", "get/2: 100 %", "31.4"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("no %q in the chart, %v", want, err)
		}
	}
	if strings.Contains(string(svg), none.name) {
		t.Errorf("%q has a bar", none.name)
	}
}

func TestTheTableOfWholeCachesFits80Columns(t *testing.T) {
	all := tiny(t)
	rep := &Report{Count: 2}
	res := results{}
	for _, r := range runsOf(all) {
		for _, b := range r.brands {
			f := harness.Figures{}
			for _, s := range all {
				for _, row := range s.rows {
					for _, c := range s.columns {
						f[row.figure(c)] = 98_765 * c.scale
					}
				}
			}
			for _, name := range []string{"beyond", "view.2", "allocs.hit.2", "allocs.view.2", "allocs.mix50.2"} {
				f[name] = 1
			}
			res[resultKey{r.key, b.id}] = []harness.Figures{f, f}
		}
	}
	for _, s := range all {
		rep.Sheets = append(rep.Sheets, s.summary(res, 2))
	}
	rep.Targets = judgeSheets(all, res, 2)
	rep.Failed = []string{strings.Repeat("long ", 40)}
	harnesstest.Fits(t, rendered(rep))
	for _, v := range rep.Targets {
		if v.Verdict == harness.Absent {
			t.Errorf("no figures for %q", v.Claim)
		}
	}
}

func TestVerdictsOfWholeCaches(t *testing.T) {
	all := tiny(t)
	get := &all[1]
	if get.id != "get/2" {
		t.Fatal(get.id)
	}
	res := results{}
	put := func(brand string, hit, view float64) {
		res[resultKey{get.task.key(), brand}] = []harness.Figures{{"hit.2": hit, "view.2": view, "allocs.hit.2": 0}}
	}
	put("bytes", 100, 50)
	put("fastcache", 131, 1)
	put("freecache", 200, 1)
	put("otter", 99, 1)
	want := map[string]string{
		"cache.Bytes Get: × as fast as the best off-heap": harness.Met,
		"cache.Bytes Get: × as fast as otter":             harness.Missed,
		"cache.Bytes View: × as fast as any Get":          harness.Met,
		"cache.Bytes: Go-heap allocations of Get":         harness.Met,
		"cache.Cache Get: × as fast as otter":             harness.Absent,
	}
	seen := 0
	for _, v := range judgeSheets(all, res, 1) {
		if w, ok := want[v.Claim]; ok {
			seen++
			if v.Verdict != w {
				t.Errorf("%+v, want %s", v, w)
			}
		}
	}
	if seen != len(want) {
		t.Errorf("%d of %d verdicts", seen, len(want))
	}
	if r := ratio([]float64{1, math.NaN()}, []float64{2, 1}); r[0] != 0.5 || !math.IsNaN(r[1]) {
		t.Error(r)
	}
}
