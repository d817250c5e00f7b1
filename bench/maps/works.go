package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"quiesce/bench/internal/harness"
)

// Kinds of jobs: what a child does with its map.
const (
	kindUint64 = "uint64" // look-ups and updates of a full map, uint64 keys
	kindString = "string" // the same, 29-byte string keys
	kindGrow   = "grow"
	kindRSS    = "rss"
	kindTexts  = "texts" // rss of 21-byte keys and 100-byte values
)

// job is what children measure that run in turn, one for each peer.
type job struct {
	kind string
	keys int
}

// column is a figure of a job.
type column struct {
	label  string
	job    job
	work   string // that the child is asked for
	figure string // and a dot and the way, if perWay
	perWay bool
	scale  float64 // the table's unit, in the figure's
}

func (c *column) name(way string) string {
	if c.perWay {
		return c.figure + "." + way
	}
	return c.figure
}

// group is a part of the table.
type group struct {
	id, title string
	columns   []column
	rows      []row
}

// row is a peer, and a way to look up in it.
type row struct {
	peer *peer
	way  string
	name string
	base bool // its ratio is 1.00
}

// rowsFor returns the rows of a group.
func rowsFor(allWays, updates bool) (rows []row) {
	for i := range subjects {
		p := &subjects[i]
		if updates && p.readOnly {
			continue
		}
		for k, n := range p.names {
			if k > 0 && !allWays {
				break
			}
			rows = append(rows, row{p, n.way, n.name, len(rows) == 0})
		}
	}
	return rows
}

// inGo leaves those out that have no collector.
func inGo(rows []row) []row {
	return slices.DeleteFunc(rows, func(r row) bool { return r.peer.inC })
}

// lookWorks are the works of a full map, as the child names them.
var lookWorks = []struct {
	work, asks, title string
	allWays, updates  bool
}{
	{"hit", "hit", "Look-ups that hit", true, false},
	{"miss", "miss", "Look-ups that miss", true, false},
	{"mixed5", "mixed5", "95 % look-ups, 5 % updates", false, true},
	{"mixed50", "mixed50", "50 % look-ups, 50 % updates", false, true},
	{"put", "put", "Put of a key that is there", false, true},
	{"insert", "insert", "Insert", false, true},
	{"delete", "insert", "Delete", false, true},
}

// allGroups is the whole table.
func allGroups(o options) (groups []group) {
	columns := func(kind, asks, figure string, scale float64) (cs []column) {
		for _, n := range o.keys {
			cs = append(cs, column{label: short(n), job: job{kind, n}, work: asks, figure: figure, perWay: true, scale: scale})
		}
		return cs
	}
	kinds := []struct{ kind, title string }{{kindUint64, "uint64 keys"}, {kindString, "29-byte string keys"}}
	for _, k := range kinds {
		for _, w := range lookWorks {
			for n := 1; n <= 2; n++ {
				id := fmt.Sprintf("%s/%s/%d", k.kind, w.work, n)
				title := fmt.Sprintf("%s, %s, %s: ns, ratio", w.title, k.title, harness.Plural(n, "goroutine"))
				groups = append(groups, group{id, title, columns(k.kind, fmt.Sprintf("%s.%d", w.asks, n),
					fmt.Sprintf("%s.%d", w.work, n), 1), rowsFor(w.allWays, w.updates)})
			}
		}
		groups = append(groups, group{k.kind + "/gc", "Garbage collection with the map full, " + k.title + ": ms, ratio",
			columns(k.kind, "gc.1", "gc.1", 1e6), inGo(rowsFor(false, false))})
	}
	grow := job{kindGrow, o.grow}
	groups = append(groups, group{"grow", fmt.Sprintf("Growth from %s to %s uint64 keys: ns, ratio", short(o.grow), short(growth*o.grow)), []column{
		{label: "a key", job: grow, figure: "grow", scale: 1},
		{label: "p99.9 rest", job: grow, figure: "rest", scale: 1},
		{label: "growing", job: grow, figure: "during", scale: 1},
		{label: "Put max, µs", job: grow, figure: "longest_put", scale: 1e3},
		{label: "of none", job: grow, figure: "longest_idle", scale: 1e3},
	}, rowsFor(false, true)})
	groups = append(groups, group{"rss", fmt.Sprintf("Memory of an entry after growth from 0 to %s: bytes, ratio", short(o.rss)), []column{
		{label: "8 B to 8", job: job{kindRSS, o.rss}, figure: "bytes", scale: 1},
		{label: "at peak", job: job{kindRSS, o.rss}, figure: "peak", scale: 1},
		{label: "21 B to 100", job: job{kindTexts, o.rss}, figure: "bytes", scale: 1},
		{label: "at peak", job: job{kindTexts, o.rss}, figure: "peak", scale: 1},
	}, rowsFor(false, false)})
	return groups
}

// choose keeps the rows that are wanted, and the one that each group of them is
// compared with.
func choose(groups []group, want *regexp.Regexp) (chosen []group) {
	for _, g := range groups {
		hit := false
		g.rows = slices.DeleteFunc(slices.Clone(g.rows), func(r row) bool {
			matches := want.MatchString(g.id + "/" + r.name)
			hit = hit || matches
			return !matches && !r.base
		})
		if hit {
			chosen = append(chosen, g)
		}
	}
	return chosen
}

// run is a job with the peers that do it, and the works.
type run struct {
	job
	works []string
	peers []*peer
}

// mode is what a child is asked for.
func (r *run) mode() string {
	if len(r.works) == 0 {
		return r.kind
	}
	return r.kind + ":" + strings.Join(r.works, ",") + ","
}

// runsOf returns what has to run for the groups.
func runsOf(groups []group) (runs []run) {
	for _, g := range groups {
		for _, c := range g.columns {
			i := slices.IndexFunc(runs, func(r run) bool { return r.job == c.job })
			if i < 0 {
				i = len(runs)
				runs = append(runs, run{job: c.job})
			}
			r := &runs[i]
			if c.work != "" && !slices.Contains(r.works, c.work) {
				r.works = append(r.works, c.work)
			}
			for _, row := range g.rows {
				if !slices.Contains(r.peers, row.peer) {
					r.peers = append(r.peers, row.peer)
				}
			}
		}
	}
	return runs
}

// needs is the memory in bytes that a peer's child takes: an estimate, on the
// safe side.
func (j job) needs(p *peer) int {
	n, sample := j.keys, min(j.keys, most)
	switch j.kind {
	case kindUint64:
		return n*(p.perEntry[0]+4) + sample*2*16
	case kindString:
		return n*(p.perEntry[1]+4) + sample*2*(24+29)
	case kindGrow:
		return growth * n * p.perEntry[0]
	case kindTexts:
		return n * p.textBytes
	}
	return n * p.perEntry[0]
}

// short writes a number of keys: 64 k, 8 M.
func short(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return fmt.Sprintf("%d M", n/1_000_000)
	case n >= 1000 && n%1000 == 0:
		return fmt.Sprintf("%d k", n/1000)
	}
	return fmt.Sprint(n)
}

// names are those of the rows, as -run matches them.
func names(groups []group) []string {
	return harness.RowNames(groups, func(g group) (string, []row) { return g.id, g.rows }, func(r row) string { return r.name })
}
