package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"quiesce/cmd/quiesce/internal/demo"
	"quiesce/cmd/quiesce/internal/kit"
)

// sheet is a table in the making.
type sheet struct{ table.Writer }

func newSheet() sheet {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	return sheet{t}
}

func (s sheet) row(cells ...any) { s.AppendRow(cells) }

// section begins a group of rows under a heading.
func (s sheet) section(name string) {
	s.AppendSeparator()
	s.row(text.Bold.Sprint(name))
}

func count[N int | int64 | uint64](n N) string { return kit.Count(n) }
func si(v float64) string                      { return kit.SI(v) }

// perSecond is a whole number with thousands separators.
func perSecond(v float64) string { return humanize.Comma(int64(v + 0.5)) }

// decimals keeps figures of a column aligned.
func decimals(v float64, n int) string {
	if v >= 1000 {
		return humanize.FormatFloat("#,###."+strings.Repeat("#", n), v)
	}
	return fmt.Sprintf("%.*f", n, v)
}

func percent(part, all uint64) string {
	if all == 0 {
		return ""
	}
	return decimals(100*float64(part)/float64(all), 2) + " %"
}

func mib(n int64) string { return decimals(float64(n)/(1<<20), 1) }
func ms(ns int64) string { return decimals(float64(ns)/1e6, 3) }
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + one + "s"
}

// renderDemo writes the report for people.
func renderDemo(w io.Writer, r *demo.Report) {
	fmt.Fprintf(w, "quiesce demo  %s  -seed %d\n", r.Dir, r.Seed)
	if r.Partial {
		fmt.Fprintf(w, "PARTIAL: interrupted in phase %q; the figures cover the time until then\n", r.EndedIn)
	}
	main := newSheet()
	main.SetColumnConfigs([]table.ColumnConfig{{Number: 2, Align: text.AlignRight, WidthMin: 13}, {Number: 4, WidthMax: 28}})
	loaded(main, r)
	if r.RunS > 0 {
		ran(main, r)
		freed(main, r)
	}
	verdict(main, r)
	fmt.Fprintln(w, main.Render())
	for _, s := range append(r.IntegritySamples, r.LeakSamples...) {
		fmt.Fprintln(w, "  "+s)
	}
	if r.ColdFlood != nil {
		flooded(w, r.ColdFlood)
	}
	switch {
	case !r.OK:
		fmt.Fprintf(w, "FAILED: %d integrity errors, %d leaks\n", r.IntegrityErrors, r.Leaks)
	case r.Partial:
		fmt.Fprintln(w, "clean so far: no integrity errors, no leaks")
	default:
		fmt.Fprintln(w, "ok: no integrity errors, no leaks")
	}
}

func loaded(t sheet, r *demo.Report) {
	t.section("Load")
	t.row("files", count(r.Files), "", fmt.Sprintf("in %.2f s", r.LoadS))
	t.row("content", mib(r.ContentBytes), "MiB", r.ContentChecksum+" of each file")
	t.row("unreadable", count(r.FilesUnreadable), "", "")
	t.row("not regular files", count(r.NotRegular), "", "passed over")
}

func ran(t sheet, r *demo.Report) {
	t.section("Run")
	t.row("duration", decimals(r.RunS, 2), "s", plural(r.Readers, "reader")+", "+plural(r.Writers, "writer"))
	procs := []string{fmt.Sprint(r.GOMAXPROCS)}
	for _, n := range r.GOMAXPROCSChanges {
		procs = append(procs, fmt.Sprint(n))
	}
	t.row("GOMAXPROCS changes", count(len(r.GOMAXPROCSChanges)), "", strings.Join(procs, " → "))
	t.row("lookups", perSecond(r.LookupsPerS), "/s", count(r.Lookups)+", each verified")
	t.row("replacements", perSecond(r.ReplacementsPerS), "/s", count(r.Replacements))
	t.row("deletes", perSecond(r.DeletesPerS), "/s", count(r.Deletes))
	t.row("re-inserts", perSecond(r.ReinsertsPerS), "/s", count(r.Reinserts))
	t.row("long holds of a guard", count(r.Holds), "", "the longest "+ms(r.LongestHoldNS)+" ms")
	if r.NoMemory > 0 {
		t.row("writes without memory", count(r.NoMemory), "", "given up: the limit is small")
	}
	t.row("grace periods", count(r.GracePeriods), "", "")
}

func freed(t sheet, r *demo.Report) {
	c, all := r.FreeRCU, r.FreeRCU.Total()
	t.section("FreeRCU by context")
	t.row("plain goroutine", count(c.Plain), "", percent(c.Plain, all))
	t.row("lock.Raw held", count(c.RawLock), "", percent(c.RawLock, all))
	t.row("preemption disabled", count(c.Preempt), "", percent(c.Preempt, all))
	t.row("interrupts off", count(c.IRQ), "", percent(c.IRQ, all))
	t.row("hard interrupt", count(c.Hardirq), "", percent(c.Hardirq, all))
	t.section("Objects by route")
	t.row("in: array", count(r.Routes.Array), "", percent(r.Routes.Array, all))
	t.row("in: fallback chain", count(r.Routes.Fallback), "", percent(r.Routes.Fallback, all))
	t.row("out: whole-sheaf reuse", count(r.Routes.Reused), "", percent(r.Routes.Reused, all))
	t.row("out: kfree_bulk", count(r.Routes.Bulk), "", percent(r.Routes.Bulk, all))
	t.row("out: off the chain", count(r.Routes.Chained), "", percent(r.Routes.Chained, all))
	t.section("NoLocks refusals")
	t.row("objects", count(r.RefusedAllocs), "", "writes retried: "+count(r.RefusedWrites))
	t.row("pages for arrays", count(r.RefusedPages), "", decimals(r.PressureS, 2)+" s of pressure")
}

func verdict(t sheet, r *demo.Report) {
	t.section("Memory")
	if r.LimitBytes > 0 {
		t.row("off-heap peak", mib(r.PeakBytes), "MiB", "limit "+mib(r.LimitBytes)+" MiB")
	}
	if r.RunS > 0 {
		t.row("Go GC cycles", count(r.GCCycles), "", count(r.GCAsked)+" of them asked for")
		t.row("Go GC pauses, total", ms(r.GCPauseTotalNS), "ms", "")
		t.row("Go GC pause, longest", ms(r.GCPauseMaxNS), "ms", "")
	}
	t.section("Verdict")
	t.row("integrity errors", count(r.IntegrityErrors), "", "")
	t.row("leaks", count(r.Leaks), "", "")
}

func flooded(w io.Writer, f *demo.FloodReport) {
	t := newSheet()
	right := func(n int) table.ColumnConfig {
		return table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight}
	}
	t.SetColumnConfigs([]table.ColumnConfig{right(2), right(3)})
	t.AppendHeader(table.Row{"ns per object", "hand-over", "kfree_bulk"})
	ns := func(name string, a, b float64) { t.row(name, decimals(a, 1), decimals(b, 1)) }
	ns("enqueue (FreeRCU)", f.HandOver.Enqueue, f.Bulk.Enqueue)
	ns("reclaim (Barrier)", f.HandOver.Reclaim, f.Bulk.Reclaim)
	t.AppendSeparator()
	ns("enqueue to reclaimed", f.HandOver.Enqueue+f.HandOver.Reclaim, f.Bulk.Enqueue+f.Bulk.Reclaim)
	ns("next allocation and first write", f.HandOver.FirstWrite, f.Bulk.FirstWrite)
	t.AppendSeparator()
	t.row("the same as a list: bare walk", decimals(f.ListWalk, 1), "")
	t.row("the same: bare first write", decimals(f.ColdWrite, 1), "")
	fmt.Fprintf(w, "\nCold flood: %s objects of %d bytes, shuffled; medians of %d rounds\n",
		count(f.Objects), f.ObjectBytes, f.Rounds)
	fmt.Fprintln(w, t.Render())
}
