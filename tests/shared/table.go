package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// topSites is how many sites of a workload a table has.
const topSites = 6

// print writes the tables, in lines of at most 80 bytes.
func (rep *report) print(w io.Writer) {
	fmt.Fprintf(w, "per 1,000 objects   Ps     RMWs  (own)    holds  membarr.  grace p.  grows?\n")
	n := len(procs)
	for i, r := range rep.Rows {
		name, verdict := "", ""
		if i%n == 0 {
			name = r.Workload
		}
		if i%n == n-1 {
			verdict = rep.Rows[i-n+1].against(r)
		}
		fmt.Fprintf(w, "%-16s %5d %8.3f %6.2f %8.3f %9.3f %9.3f  %s\n", name, r.Procs, r.RMWs, r.Own, r.Holds, r.Membarriers, r.GracePeriods, verdict)
	}
	for i := 0; i+n <= len(rep.Rows); i += n {
		rep.printSites(w, rep.Rows[i:i+n])
	}
	verdict := "ok"
	if !rep.OK {
		verdict = "MISS"
	}
	fmt.Fprintf(w, "\n%d objects a run, median of %d runs; %d CPUs, %s, %s\ndon't grow: %s\n", rep.Objects, rep.Runs, rep.CPUs, rep.Go, rep.Date, verdict)
	for _, g := range rep.Grown {
		fmt.Fprintf(w, "  %s\n", g)
	}
}

// against is the verdict on a workload, of its first and its last row.
func (r row) against(many row) string {
	few := r.judged()
	for what, v := range many.judged() {
		if grown(few[what], v) {
			return "MISS"
		}
	}
	return "no: ok"
}

// printSites writes the sites that count most.
func (rep *report) printSites(w io.Writer, rows []row) {
	seen := map[int]float64{}
	for _, r := range rows {
		for i, v := range r.Sites {
			seen[i] = max(seen[i], v)
		}
	}
	sites := make([]int, 0, len(seen))
	for i := range seen {
		sites = append(sites, i)
	}
	slices.SortFunc(sites, func(a, b int) int { return cmp.Or(cmp.Compare(seen[b], seen[a]), a-b) })
	if len(sites) == 0 {
		fmt.Fprintf(w, "\n%s: nothing shared\n", rows[0].Workload)
		return
	}
	fmt.Fprintf(w, "\n%-42s", rows[0].Workload+", by site")
	for _, r := range rows {
		fmt.Fprintf(w, " %5d Ps", r.Procs)
	}
	fmt.Fprintln(w, "  tag")
	for _, i := range sites[:min(topSites, len(sites))] {
		s := rep.Sites[i]
		fmt.Fprintf(w, "%-21.21s %-20.20s", fmt.Sprintf("%s:%d", strings.TrimPrefix(s.File, "internal/"), s.Line), s.In+" "+s.verb())
		for _, r := range rows {
			fmt.Fprintf(w, " %8.3f", r.Sites[i])
		}
		fmt.Fprintf(w, "  %.9s\n", s.Tags)
	}
}

// verb is the operation in a word.
func (s site) verb() string {
	v := s.Text[strings.LastIndexByte(s.Text, '.')+1:]
	if m := isRMW.FindStringSubmatch(v); m != nil {
		v = m[1]
	}
	if v == "CompareAndSwap" {
		return "CAS"
	}
	return v
}
