package main

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"quiesce/cmd/quiesce/internal/compare"
)

// figures makes a sheet whose columns from the given one on are numbers.
func figures(from int, header ...any) sheet {
	t := newSheet()
	var right []table.ColumnConfig
	for n := from; n <= len(header); n++ {
		right = append(right, table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(right)
	t.AppendHeader(table.Row(header))
	t.Style().Box.PaddingLeft, t.Style().Box.PaddingRight = "", " "
	return t
}

func renderCompare(rep *compare.Report) string {
	var b strings.Builder
	m := rep.Machine
	fmt.Fprintf(&b, "quiesce compare  %s %s/%s, %s, %s; cache miss counters: %s\n", m.Go, m.OS, m.Arch, plural(m.CPUs, "CPU"), m.CPU, m.Misses)
	if rep.Partial {
		fmt.Fprintln(&b, "PARTIAL: interrupted; the figures are those measured until then")
	}
	for _, rt := range []bool{true, false} {
		mode := "preempt_rt=0"
		if rt {
			mode = "preempt_rt=1"
		}
		if t := hotTable(rep, rt); t.Length() > 0 {
			fmt.Fprintf(&b, "\n%s: ns for a call, its p99 and max, ns from allocation to reclaimed, %% on the list\n%s\n", mode, t.Render())
		}
		if t := coldTable(rep, rt); t.Length() > 0 {
			fmt.Fprintf(&b, "\n%s: a flood of %s cold objects, ns for each\n%s\n", mode, count(rep.Objects), t.Render())
		}
		if t := lightTable(rep, rt); t.Length() > 0 {
			fmt.Fprintf(&b, "\n%s: a raw caller once a millisecond; and what the rules say\n%s\n", mode, t.Render())
		}
	}
	for _, l := range rep.Locks {
		t := figures(2, "µs", "raw lock", "lock.Spin")
		us := func(what string, a, b float64) { t.row(what, decimals(a/1e3, 1), decimals(b/1e3, 1)) }
		us("longest hold", l.Raw.HoldMax, l.Spin.HoldMax)
		us("longest pinned section", l.Raw.PinnedMax, l.Spin.PinnedMax)
		us("a thread's wake-up is late by: p50", l.Raw.WakeP50, l.Spin.WakeP50)
		us("p99", l.Raw.WakeP99, l.Spin.WakeP99)
		us("max", l.Raw.WakeMax, l.Spin.WakeMax)
		mode := 0
		if l.RT {
			mode = 1
		}
		fmt.Fprintf(&b, "\npreempt_rt=%d: rawlocks under memory stress, %d pages to a bulk free%s\n%s\n", mode, l.Raw.BatchPages, tilde(l.Timed), t.Render())
	}
	if len(rep.Claims) > 0 {
		fmt.Fprintln(&b, "\nThe mail's claims")
		for _, c := range rep.Claims {
			if c.Figure == "" {
				continue
			}
			fmt.Fprintf(&b, "  %q\n", c.Says)
			for i, l := range strings.Split(strings.TrimSpace(text.WrapSoft(c.Verdict+": "+c.Figure, 74)), "\n") {
				fmt.Fprintf(&b, "%*s%s\n", 4+2*min(i, 1), "", strings.TrimSpace(l))
			}
		}
	}
	fmt.Fprintf(&b, "\n%d timed cells in %.0f s", rep.Cells, rep.RanS)
	if rep.Noisy > 0 {
		fmt.Fprintf(&b, "; the machine was too noisy for %d of them (~)", rep.Noisy)
	}
	fmt.Fprintf(&b, "\na fixed walk through cold memory before each took %s ns a step, within %.0f %%", decimals(rep.Reference, 1), 100*rep.Drift)
	if rep.Drift > 0.2 {
		fmt.Fprint(&b, ":\nthe machine was too noisy to hold cells against each other more closely")
	}
	fmt.Fprintln(&b)
	return b.String()
}

func tilde(t compare.Timed) string {
	if t.Noisy {
		return " ~"
	}
	return ""
}

// once leaves a strategy's name out where it was written above.
func once(last *string, name string) string {
	if *last == name {
		return ""
	}
	*last = name
	return name
}

func hotTable(rep *compare.Report, rt bool) sheet {
	t := figures(3, "", "caller", "plenty call", "p99", "churn", "list %", "exhausted call", "p99", "max", "churn", "list %")
	last := ""
	for _, h := range rep.Hot {
		if h.RT != rt || h.Exhausted {
			continue
		}
		cells := []any{once(&last, h.Strategy), h.Caller}
		if h.Died != "" {
			cells = append(cells, "died", "", "", "")
		} else {
			cells = append(cells, decimals(h.Call, 1), decimals(h.P99, 0), decimals(h.Churn, 1)+tilde(h.Timed), decimals(100*h.Fallback, 1))
		}
		for _, x := range rep.Hot {
			if x.Strategy != h.Strategy || x.Caller != h.Caller || x.RT != rt || !x.Exhausted {
				continue
			}
			if x.Died != "" {
				cells = append(cells, "died", "", "", "", "")
			} else {
				cells = append(cells, decimals(x.Call, 1), decimals(x.P99, 0), si(x.Max), decimals(x.Churn, 1)+tilde(x.Timed), decimals(100*x.Fallback, 1))
			}
		}
		t.row(cells...)
	}
	return t
}

func coldTable(rep *compare.Report, rt bool) sheet {
	t := figures(3, "", "caller, lists", "enqueue", "hand-over", "kfree_bulk", "next first write", "misses", "list %", "MiB")
	last := ""
	for _, c := range rep.Cold {
		if c.RT != rt {
			continue
		}
		where := c.Caller
		if c.Exhausted {
			where += ", exhausted"
		}
		if c.Died != "" {
			t.row(once(&last, c.Strategy), where, "died")
			continue
		}
		misses := "n/a"
		if c.Misses != nil {
			misses = decimals(*c.Misses, 2)
		}
		t.row(once(&last, c.Strategy), where, decimals(c.Enqueue, 1), decimals(c.HandOver, 1), decimals(c.Bulk, 1),
			decimals(c.FirstWrite, 1)+tilde(c.Timed), misses, decimals(100*c.Fallback, 1), mib(c.Peak))
	}
	return t
}

func lightTable(rep *compare.Report, rt bool) sheet {
	t := figures(2, "", "wake-ups/s", "gp/s", "back after ms", "at most", "lockdep", "lock held elsewhere")
	for _, l := range rep.Light {
		if l.RT != rt {
			continue
		}
		cells := []any{l.Strategy, count(int64(l.WakeupsPS)) + tilde(l.Timed), count(int64(l.GPsPerS)), decimals(l.LatencyMS, 2), decimals(l.LatencyMax, 2)}
		if l.Died != "" {
			cells = []any{l.Strategy, "died", "", "", ""}
		}
		for _, s := range rep.Survival {
			if s.Strategy != l.Strategy || s.RT != rt {
				continue
			}
			verdict := "survives"
			if s.Died != "" {
				verdict = "dies"
			}
			reports := "silent"
			switch {
			case s.LDDied != "":
				reports = "died"
			case len(s.Reports) > 0:
				reports = plural(len(s.Reports), "splat")
			}
			cells = append(cells, reports, verdict)
		}
		t.row(cells...)
	}
	return t
}
