package main

import (
	"fmt"
	"io"
	"strings"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/scale"
)

func partial(w io.Writer, is bool) {
	if is {
		fmt.Fprintln(w, "PARTIAL: interrupted; what is above was measured")
	}
}

// unsteady marks what was too noisy.
func unsteady(v string, noisy bool) string {
	if noisy {
		return v + " ~"
	}
	return v
}

const tildeMeans = "~: no majority of the runs lies within 20 %: the machine was too noisy"

func listPresets(w io.Writer) {
	t := kit.NewTable(3, "preset", "what it is, and what the kernel did then").Text(2, 68)
	for i, p := range scale.Presets {
		if i > 0 {
			t.Separator()
		}
		loops, objects, threads, vary := p.Params()
		about := p.About + "\n" + p.Source + fmt.Sprintf("\nkfree_loops %d, kfree_alloc_num %d", loops, objects)
		if threads > 0 {
			about += fmt.Sprintf(", kfree_nthreads %d", threads)
		}
		if vary {
			about += ",\nkfree_vary_obj_size"
		}
		for _, r := range p.Runs {
			about += "\n" + kernelLine(r)
		}
		t.Row(p.Name, about)
	}
	fmt.Fprintln(w, t)
}

func kernelLine(r scale.KernelRun) string {
	return fmt.Sprintf("%s: %.3f s, %s batches, %s MB", r.What, r.Seconds, count(r.Batches), count(r.MB))
}

func renderKfree(w io.Writer, r *scale.KfreeReport) {
	fmt.Fprintln(w, r.SummaryLine())
	t := kit.NewTable(2, "", "s", "ns an object", "batches")
	t.Row("all queued (rcuscale's end)", decimals(float64(r.QueuedNS)/1e9, 3), decimals(r.Queued(), 1), count(r.Batches))
	t.Row("all reclaimed", decimals(float64(r.ReclaimedNS)/1e9, 3), decimals(r.Reclaimed(), 1), count(r.BatchesAll))
	t.Row("processor time until then", decimals(float64(r.CPUNS)/1e9, 3), decimals(r.CPU(), 1), "")
	if k := r.Kernel; k != nil {
		t.Section("the kernel then")
		for _, run := range k.Runs {
			ns := "?"
			if v := k.NSPerObject(run); v > 0 {
				ns = decimals(v, 1)
			}
			t.Row(run.What, decimals(run.Seconds, 3), ns, count(run.Batches))
		}
	}
	fmt.Fprintln(w, t)
	fmt.Fprintf(w, "%s of %s bytes in %s\n", plural(int(r.Objects), "object"), strings.Trim(fmt.Sprint(r.ObjectBytes), "[]"), plural(r.Threads, "thread"))
	fmt.Fprintf(w, "%s%s in arrays, %s on the fallback\n", kit.Wrap(0, r.Does), count(r.Arrays), count(r.Fallback))
	fmt.Fprintf(w, "memory %s MiB on average, at most %s\n", mib(r.Footprint), mib(r.Peak))
	if k := r.Kernel; k != nil {
		fmt.Fprintf(w, "%s\n%s\n", k.About, k.Source)
		fmt.Fprintf(w, "Its time ends at all queued. Here 1/%d of its loops, on another machine.\n", r.Scale)
	}
	partial(w, r.Partial)
}

func renderRead(w io.Writer, r *scale.ReadReport) {
	t := kit.NewTable(2, "scale_type", "mean", "median", "min", "max", "what it does").Text(6, 28)
	noisy := false
	for _, x := range r.Results {
		noisy = noisy || x.Noisy
		t.Row(x.Type, decimals(x.Mean, 2), unsteady(decimals(x.Median, 2), x.Noisy), decimals(x.Min, 2), decimals(x.Max, 2), x.Does)
	}
	fmt.Fprintf(w, "ns for a loop; %s, %s of %s loops, readdelay %v\n",
		plural(r.NReaders, "reader"), plural(r.NRuns, "run"), count(r.Loops), r.ReadDelay)
	fmt.Fprintln(w, t)
	if noisy {
		fmt.Fprintln(w, tildeMeans)
	}
	partial(w, r.Partial)
}

func renderGP(w io.Writer, r *scale.GPReport) {
	fmt.Fprintln(w, r.SummaryLine())
	t := kit.NewTable(1, "min", "p50", "p90", "p99", "max", "mean", "a membarrier")
	us := func(ns float64) string { return decimals(ns/1e3, 2) }
	t.Row(us(r.MinNS), us(r.P50NS), us(r.P90NS), us(r.P99NS), us(r.MaxNS), us(r.MeanNS), us(r.MembarNS))
	fmt.Fprintf(w, "grace-period duration, µs; %s, %s\n", plural(r.NReaders, "reader"), plural(r.NWriters, "writer"))
	fmt.Fprintln(w, t)
	fmt.Fprintf(w, "%s sections were read\n", count(r.Reads))
	partial(w, r.Partial)
}

func renderAlloc(w io.Writer, r *scale.AllocReport) {
	t := kit.NewTable(2, "case", "bytes", "median", "min", "max", "CPU", "new")
	noisy := false
	for i, x := range r.Results {
		if i > 0 && r.Results[i-1].Bytes != x.Bytes {
			t.Separator()
		}
		noisy = noisy || x.Noisy
		fresh := ""
		if x.New > 0 {
			fresh = decimals(x.New, 1)
		}
		t.Row(x.Case, count(x.Bytes), unsteady(decimals(x.NS, 1), x.Noisy), decimals(x.Min, 1), decimals(x.Max, 1), decimals(x.CPU, 1), fresh)
	}
	fmt.Fprintf(w, "ns for an object's allocation and freeing; %s\n", plural(r.Repeats, "repeat"))
	fmt.Fprintln(w, t)
	if noisy {
		fmt.Fprintln(w, tildeMeans)
	}
	partial(w, r.Partial)
}

func renderCheck(w io.Writer, r *scale.CheckReport) {
	t := kit.NewTable(2, "what", "target", "figure", "verdict").Text(4, 20)
	unsure, skipped := false, 0
	for _, x := range r.Rows {
		t.Section(x.Name)
		if x.Skipped != "" {
			skipped++
			t.Row("", "", "", "skipped")
		}
		for _, f := range x.Figures {
			unsure = unsure || f.Unsure
			value := "?"
			if len(f.Repeats) > 0 {
				value = figure(f.Value, f.Unit)
			}
			t.Row("  "+f.Name, target(f), value, verdictOf(f))
		}
	}
	fmt.Fprintln(w, t)
	fmt.Fprintln(w, "By itself, row by row:")
	for _, x := range r.Rows {
		fmt.Fprintf(w, "  %-21s %s\n", x.Name, x.Command)
		if x.Skipped != "" {
			fmt.Fprintf(w, "  %-21s skipped: %s\n", "", strings.TrimSpace(x.Skipped))
		}
		if x.Peers != "" {
			fmt.Fprintf(w, "  %-21s peers in C: %s\n", "", x.Peers)
		}
	}
	if unsure {
		fmt.Fprintln(w, "~: the repeats lie more than 20 % apart, but all have the same verdict, if any")
	}
	switch {
	case r.Missed > 0:
		fmt.Fprintf(w, "FAILED: %s missed, %d too noisy to tell\n", plural(r.Missed, "target"), r.Noisy)
	case r.Partial:
		partial(w, true)
	default:
		fmt.Fprintf(w, "ok: no target missed, %d too noisy to tell, %s skipped\n", r.Noisy, plural(skipped, "row"))
	}
}

func target(f scale.Figure) string {
	switch {
	case !f.Target:
		return ""
	case f.AtLeast:
		return "≥ " + figure(f.Limit, f.Unit)
	}
	return "≤ " + figure(f.Limit, f.Unit)
}

// figure is a number with its unit; a ratio has its sign after it.
func figure(v float64, unit string) string {
	digits := 2
	if v >= 100 || v == float64(int64(v)) {
		digits = 0
	} else if v < 0.2 {
		digits = 3
	}
	return strings.TrimSpace(decimals(v, digits) + " " + unit)
}

func verdictOf(f scale.Figure) string {
	v := f.Verdict
	if v == scale.VerdictMiss && f.MissBy > 0 {
		v += fmt.Sprintf(" by %.0f %%", 100*f.MissBy)
	}
	if v == scale.VerdictNoisy {
		if len(f.Repeats) == 0 {
			return "noisy: no processor"
		}
		return fmt.Sprintf("noisy: ±%.0f %%", 50*f.Spread)
	}
	return strings.TrimSpace(unsteady(v, f.Unsure))
}

func renderMisses(w io.Writer, r *scale.MissesReport) {
	if r.Skipped != "" {
		fmt.Fprintln(w, "skipped:", r.Skipped)
		return
	}
	t := kit.NewTable(2, "", "enqueue", "reclaim", "LL, of list's", "next write", "verdict").Text(6, 12)
	cell := func(m *scale.Misses) string {
		if m == nil {
			return ""
		}
		return fmt.Sprintf("%.2f (%.2f)", max(m.D1, 0), max(m.LL, 0))
	}
	for _, x := range r.Rows {
		verdict := ""
		switch {
		case x.Way == "list" || x.Way == "array":
		case x.OK:
			verdict = "ok: ≤ 1/8"
		default:
			verdict = "MISS: > 1/8"
		}
		t.Row(x.Way, cell(x.Enqueue), cell(&x.Reclaim), fmt.Sprintf("%.3f", x.OfList), cell(x.First), verdict)
	}
	fmt.Fprintln(w, "D1 (LL) misses of data for an object")
	fmt.Fprintln(w, t)
	fmt.Fprintf(w, "%s of 64 bytes, shuffled; %s\n", plural(r.Objects, "object"), r.Caches)
	partial(w, r.Partial)
}
