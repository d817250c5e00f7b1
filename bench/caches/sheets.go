package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"quiesce/bench/internal/harness"
)

// sheet is a part of the table of whole caches.
type sheet struct {
	id, title string
	task      task // of its children, but for the brand
	columns   []column
	rows      []row
}

// column is a figure, in a unit of scale.
type column struct {
	label, figure string
	scale         float64
}

// row is a cache, and whether it is looked into in place.
type row struct {
	brand *brand
	name  string
	view  bool
}

// figure is the name of what a column shows of the row; "" if that is nothing.
func (r row) figure(c column) string {
	if !r.view {
		return c.figure
	}
	if rest, ok := strings.CutPrefix(c.figure, "hit."); ok {
		return "view." + rest
	}
	return ""
}

// rowsOf returns a row for each cache that may do a task, and views for those that
// have them.
func rowsOf(fixed, views bool, least int) (rows []row) {
	for i := range brands {
		b := &brands[i]
		if b.fixed && !fixed || b.id == "fastcache" && least < fastcacheLeast {
			continue
		}
		rows = append(rows, row{b, b.name, false})
		if views && b.views {
			rows = append(rows, row{b, b.name + ", View", true})
		}
	}
	return rows
}

// fastcacheLeast is the least memory that fastcache takes.
const fastcacheLeast = 33 << 20

const million = 1_000_000

// sheets returns the whole table.
func (o *options) sheets() (all []sheet, err error) {
	getN, loadN, stormBytes := million, 4*million, 256*mib
	t := task{Scale: 1, NS: 20e6, Batches: 15, Sizes: o.sizes, Short: o.short, Seconds: 10}
	storm := o.storm.Seconds()
	if o.short {
		getN, loadN, stormBytes = 3000, 20_000, 8*mib
		t.NS, t.Batches, t.Seconds = 300e3, 2, 0.05
		storm = min(storm, 0.2)
	}
	with := func(kind string, entries int, works ...string) task {
		t := t
		t.Kind, t.Entries, t.Works = kind, entries, works
		return t
	}
	var works []string
	for _, w := range []string{"hit", "view", "mix95", "mix75", "mix50"} {
		works = append(works, w+".1", w+".2")
	}
	get := with(kindGet, getN, works...)
	for n := 1; n <= 2; n++ {
		var cs []column
		for _, w := range []struct{ label, work string }{{"100 %", "hit"}, {"95 %", "mix95"}, {"75 %", "mix75"}, {"50 %", "mix50"}} {
			cs = append(cs, column{w.label, fmt.Sprintf("%s.%d", w.work, n), 1})
		}
		all = append(all, sheet{fmt.Sprintf("get/%d", n), fmt.Sprintf("%s keys, all there; part of Gets, the others set: ns, ratio; %s",
			harness.Thousands(getN), harness.Plural(n, "goroutine")), get, cs, rowsOf(true, true, fastcacheLeast)})
	}
	all = append(all, sheet{"get/allocs", "The same: allocations on the Go heap, of an operation", get,
		[]column{{"Get", "allocs.hit.1", 1}, {"half of them Set", "allocs.mix50.1", 1}}, rowsOf(true, false, fastcacheLeast)})
	all = append(all, sheet{"load", fmt.Sprintf("%s keys by Zipf, room for a tenth, load on miss: ns, ratio", harness.Thousands(loadN)),
		with(kindLoad, loadN, "load.1", "load.2"),
		[]column{{"1 goroutine", "load.1", 1}, {"2 goroutines", "load.2", 1}, {"hits, %", "hits.load.2", 1}}, rowsOf(true, false, fastcacheLeast)})
	if all, err = o.bytesSheets(all, t); err != nil {
		return nil, err
	}
	memory := sheet{"memory", fmt.Sprintf("%s entries of 21 and 100 bytes, and a bystander that allocates", harness.Thousands(o.entries)),
		with(kindMemory, o.entries),
		[]column{{"GC, ms", "gc", 1e6}, {"GC CPU, %", "gccpu", 1}, {memoryColumn, "entry", 1}, {"p99.9, µs", "p999", 1e3}},
		append(rowsOf(true, false, fastcacheLeast), row{&none, none.name, false})}
	s := with(kindStorm, 0)
	s.Bytes, s.Seconds = stormBytes, storm
	return append(all, memory, sheet{"storm", fmt.Sprintf("Sizes drift for %.3g s, limit %d MiB: RSS above that of the empty cache", storm, stormBytes/mib),
		s, []column{{"most, MiB", "peak", mib}, {"% of limit", "part", 1}, {"sets a ms", "sets", 1e3}}, rowsOf(false, false, stormBytes)}), nil
}

// bytesSheets adds those of traces with sizes.
func (o *options) bytesSheets(all []sheet, t task) ([]sheet, error) {
	add := func(name, trace string, bytes int) {
		t := t
		t.Kind, t.Trace, t.Bytes = kindBytes, trace, bytes
		all = append(all, sheet{fmt.Sprintf("bytes/%s/%dM", name, bytes/mib), fmt.Sprintf("%s, %d MiB of memory", name, bytes/mib), t,
			[]column{{hitsColumn, "hits", 1}, {"of bytes, %", "hitbytes", 1}, {"takes MiB", "resident", mib}, {"most MiB", "most", mib}}, rowsOf(false, false, bytes)})
	}
	if o.traces != "" {
		paths, err := tracesIn(o.traces)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if f, _ := formatOf(traceName(path)); f.sizes {
				if path, err = filepath.Abs(path); err != nil {
					return nil, err
				}
				for _, mb := range []int{64, 256} {
					add(traceName(path), path, mb*mib)
				}
			}
		}
	}
	mixes, err := sizeMixes(o.sizes)
	if err != nil {
		return nil, err
	}
	for _, m := range mixes {
		bytes := largerBytes / largerPart
		if o.short {
			bytes = 2 * mib
		}
		add(m.name, m.name, bytes)
	}
	return all, nil
}

// chooseSheets keeps the rows that are wanted, and the one that others are compared
// with.
func chooseSheets(all []sheet, want *regexp.Regexp) (chosen []sheet) {
	for _, s := range all {
		any := false
		s.rows = slices.DeleteFunc(slices.Clone(s.rows), func(r row) bool {
			matches := want.MatchString(s.id + "/" + r.name)
			any = any || matches
			return !matches && (r.brand != &brands[0] || r.view)
		})
		if any {
			chosen = append(chosen, s)
		}
	}
	return chosen
}
