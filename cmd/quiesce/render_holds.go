package main

import (
	"fmt"
	"io"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/scale"
)

// holdGroups are the sections of the table.
var holdGroups = map[string]string{
	"pinned": "pinned sections, by function",
	"spins":  "locks whose holder is pinned",
	"sleeps": "spin locks that sleep (preempt_rt=1)",
	"mutex":  "mutexes, whose holder may sleep: no limit",
}

func renderHolds(w io.Writer, r *scale.HoldsReport) {
	if r.Skipped != "" {
		fmt.Fprintln(w, "skipped:", r.Skipped)
		return
	}
	t := kit.NewTable(2, "µs", "sections", "p50", "p99.9", "longest", "by work", "> 50", "noise").Text(1, 29)
	us := func(ns int64) string { return decimals(float64(ns)/1e3, 1) }
	row := func(x scale.HoldRow) {
		byWork := us(x.ByWorkNS)
		if !x.OK {
			byWork = "MISS " + byWork
		}
		t.Row(x.Name, kit.SI(float64(x.Count)), us(x.P50NS), us(x.P999NS), us(x.LongestNS), byWork, count(x.Over), decimals(x.Explained, 0))
	}
	control := r.Control
	control.Name = "empty sections"
	row(control)
	group := ""
	var longest [2]scale.HoldRow // pinned, locks
	missed := 0
	for _, x := range r.Rows {
		if x.Kind != group {
			group = x.Kind
			t.Section(holdGroups[group])
		}
		row(x)
		if !x.OK {
			missed++
		}
		which := 1
		if x.Kind == "pinned" {
			which = 0
		}
		if x.Limited && x.ByWorkNS >= longest[which].ByWorkNS {
			longest[which] = x
		}
	}
	fmt.Fprintln(w, t)
	fmt.Fprintf(w, "%s; one reading of the clock takes %s µs, and is in every figure\n", r.Clock, us(r.ReadingNS))
	fmt.Fprintf(w, "%s of the work, %s each; preempt_rt=%s\n", plural(r.Rounds, "round"), plural(r.Objects, "object"), map[bool]string{true: "1", false: "0"}[r.PreemptRT])
	if r.Unmeasured > 0 {
		fmt.Fprintf(w, "%s ended by another goroutine, and not measured\n", plural(int(r.Unmeasured), "hold"))
	}
	fmt.Fprintf(w, "longest pinned section by its work %s µs: %s\n", us(longest[0].ByWorkNS), longest[0].Name)
	fmt.Fprintf(w, "longest lock hold by its work      %s µs: %s\n", us(longest[1].ByWorkNS), longest[1].Name)
	for _, x := range r.Rows {
		if x.OK {
			continue
		}
		fmt.Fprintf(w, "above 50 µs, %s %s:\n", x.Kind, x.Name)
		for _, f := range x.Where {
			fmt.Fprintf(w, "  %6s  %s\n", count(f.Over), f.Function)
		}
	}
	switch {
	case missed > 0:
		fmt.Fprintf(w, "FAILED: %s above 50 µs more often than interruptions explain\n", plural(missed, "row"))
	case r.Partial:
		partial(w, true)
	default:
		fmt.Fprintln(w, "ok: interruptions explain what is above 50 µs")
	}
}
