package main

import (
	"fmt"
	"strings"

	"quiesce/cmd/quiesce/internal/compare"
	"quiesce/cmd/quiesce/internal/kit"
)

func modeName(rt bool) string {
	if rt {
		return "preempt_rt=1"
	}
	return "preempt_rt=0"
}

func renderCompare(rep *compare.Report) string {
	var b strings.Builder
	m := rep.Machine
	b.WriteString(kit.Wrap(0, fmt.Sprintf("quiesce compare  %s %s/%s, %s, %s; cache miss counters: %s", m.Go, m.OS, m.Arch, plural(m.CPUs, "CPU"), m.CPU, m.Misses)))
	if rep.Partial {
		fmt.Fprintln(&b, "PARTIAL: interrupted; the figures are those measured until then")
	}
	put := func(t *kit.Table, format string, args ...any) {
		if t.Len() > 0 {
			fmt.Fprintf(&b, "\n%s%s\n", kit.Wrap(0, fmt.Sprintf(format, args...)), t)
		}
	}
	for _, rt := range []bool{true, false} {
		mode := modeName(rt)
		put(hotTable(rep, rt, false), "%s, memory plenty: ns for a call, its p99 and maximum, ns from allocation to reclaimed (churn), %% of objects on the list", mode)
		put(hotTable(rep, rt, true), "%s, page lists exhausted: the same", mode)
		put(coldTable(rep, rt), "%s: a flood of %s cold objects, ns for each; write is the next first write; with a * the page lists are exhausted", mode, count(rep.Objects))
		put(lightTable(rep, rt), "%s: a raw caller once a millisecond; what lockdep says, and whether the process survives with the lock held elsewhere", mode)
	}
	for _, l := range rep.Locks {
		put(locksTable(l), "%s: rawlocks under memory stress, %d pages to a bulk free%s", modeName(l.RT), l.Raw.BatchPages, tilde(l.Timed))
	}
	renderClaims(&b, rep.Claims)
	fmt.Fprintf(&b, "\n%d timed cells in %.0f s", rep.Cells, rep.RanS)
	if rep.Noisy > 0 {
		fmt.Fprintf(&b, "; the machine was too noisy for %d of them (~)", rep.Noisy)
	}
	b.WriteString("\n")
	walk := fmt.Sprintf("a fixed walk through cold memory before each took %s ns a step, within %.0f %%", decimals(rep.Reference, 1), 100*rep.Drift)
	if rep.Drift > 0.2 {
		walk += ": the machine was too noisy to compare cells more closely than that"
	}
	b.WriteString(kit.Wrap(0, walk))
	return b.String()
}

func renderClaims(b *strings.Builder, claims []compare.Claim) {
	if len(claims) > 0 {
		fmt.Fprintln(b, "\nThe mail's claims")
	}
	for _, c := range claims {
		if c.Figure != "" {
			b.WriteString(kit.Wrap(2, fmt.Sprintf("%q", c.Says)) + kit.Wrap(4, c.Verdict+": "+c.Figure))
		}
	}
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

func hotTable(rep *compare.Report, rt, exhausted bool) *kit.Table {
	t := kit.NewTable(3, "", "caller", "call", "p99", "max", "churn", "list %")
	last := ""
	for _, h := range rep.Hot {
		if h.RT != rt || h.Exhausted != exhausted {
			continue
		}
		cells := []any{once(&last, h.Strategy), h.Caller}
		if h.Died != "" {
			cells = append(cells, "died")
		} else {
			cells = append(cells, decimals(h.Call, 1), decimals(h.P99, 0), si(h.Max), decimals(h.Churn, 1)+tilde(h.Timed), decimals(100*h.Fallback, 1))
		}
		t.Row(cells...)
	}
	return t
}

func coldTable(rep *compare.Report, rt bool) *kit.Table {
	counted := false
	for _, c := range rep.Cold {
		counted = counted || c.Misses != nil
	}
	header := []any{"", "caller", "enqueue", "hand-over", "kfree_bulk", "write", "list %", "MiB"}
	if counted {
		header = append(header, "misses")
	}
	t := kit.NewTable(3, header...)
	last := ""
	for _, c := range rep.Cold {
		if c.RT != rt {
			continue
		}
		cells := []any{once(&last, c.Strategy), c.Caller}
		if c.Exhausted {
			cells[1] = c.Caller + " *"
		}
		if c.Died != "" {
			cells = append(cells, "died")
		} else {
			cells = append(cells, decimals(c.Enqueue, 1), decimals(c.HandOver, 1), decimals(c.Bulk, 1),
				decimals(c.FirstWrite, 1)+tilde(c.Timed), decimals(100*c.Fallback, 1), mib(c.Peak))
			if c.Misses != nil {
				cells = append(cells, decimals(*c.Misses, 2))
			}
		}
		t.Row(cells...)
	}
	return t
}

func lightTable(rep *compare.Report, rt bool) *kit.Table {
	t := kit.NewTable(2, "", "wake-ups/s", "gp/s", "ms back", "at most", "lockdep", "lock held")
	for _, l := range rep.Light {
		if l.RT != rt {
			continue
		}
		cells := []any{l.Strategy, count(int64(l.WakeupsPS)) + tilde(l.Timed), count(int64(l.GPsPerS)), decimals(l.LatencyMS, 2), decimals(l.LatencyMax, 2)}
		if l.Died != "" {
			cells = []any{l.Strategy, "died", "", "", ""}
		}
		for _, s := range rep.Survival {
			if s.Strategy == l.Strategy && s.RT == rt {
				cells = append(cells, lockdepSays(s), fate(s))
			}
		}
		t.Row(cells...)
	}
	return t
}

func lockdepSays(s compare.Survival) string {
	switch {
	case s.LDDied != "":
		return "died"
	case len(s.Reports) > 0:
		return plural(len(s.Reports), "splat")
	}
	return "silent"
}

func fate(s compare.Survival) string {
	if s.Died != "" {
		return "dies"
	}
	return "survives"
}

func locksTable(l compare.Locks) *kit.Table {
	t := kit.NewTable(2, "µs", "raw lock", "lock.Spin")
	us := func(what string, a, b float64) { t.Row(what, decimals(a/1e3, 1), decimals(b/1e3, 1)) }
	us("longest hold", l.Raw.HoldMax, l.Spin.HoldMax)
	us("longest pinned section", l.Raw.PinnedMax, l.Spin.PinnedMax)
	us("a thread's wake-up is late by: p50", l.Raw.WakeP50, l.Spin.WakeP50)
	us("p99", l.Raw.WakeP99, l.Spin.WakeP99)
	us("max", l.Raw.WakeMax, l.Spin.WakeMax)
	return t
}
