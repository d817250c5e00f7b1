package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quiesce/cmd/quiesce/internal/compare"
)

func TestComparePrintsTablesAndWritesThePage(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for some seconds")
	}
	file := filepath.Join(t.TempDir(), "report.html")
	out, errs, status := quiesce(t, "compare", "-strategies", "list,sheaf", "-objects", "2000", "-quick", "-html", file)
	if status != 0 {
		t.Errorf("status %d: %s", status, errs)
	}
	words := strings.Join(strings.Fields(out), " ") // captions are wrapped
	for _, want := range []string{"preempt_rt=1", "preempt_rt=0", "enqueue", "hand-over", "kfree_bulk", "next first write", "survives", "timed cells"} {
		if !strings.Contains(words, want) {
			t.Errorf("no %q in the output", want)
		}
	}
	if strings.ContainsAny(out+errs, "\x1b\r") {
		t.Error("control characters, and no terminal")
	}
	fits(t, out)
	page, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(page), "</html>") {
		t.Errorf("the page: %v, %d bytes", err, len(page))
	}
}

func TestCompareExplainsItself(t *testing.T) {
	out, _, status := quiesce(t, "compare", "-h")
	for _, s := range compare.Strategies {
		if !strings.Contains(out, s.Name) {
			t.Errorf("-h does not name %s", s.Name)
		}
	}
	if status != 0 || !strings.Contains(out, "-html") || !strings.Contains(out, "Exit status") {
		t.Errorf("status %d: %s", status, out)
	}
	for _, args := range [][]string{
		{"-strategies", "magic"}, {"-objects", "1"}, {"-nonsense"}, {"-json", "-csv"}, {"something"}, {"-html", "/nowhere/at/all.html"},
	} {
		badUse(t, "quiesce compare: ", append([]string{"compare"}, args...)...)
	}
}

func TestCompareInterruptedIsPartial(t *testing.T) {
	out := interrupt(t, os.Interrupt, time.Second, "preempt_rt", command("compare", "-json", "-objects", "2000"))
	var rep compare.Report
	if oneObject(t, out, &rep); !rep.Partial {
		t.Error("the report is not partial")
	}
}

// The tables fit with figures as large as those of a busy machine.
func TestCompareTablesFit80Columns(t *testing.T) {
	rep := &compare.Report{Objects: 4_000_000, Cells: 1000, RanS: 12345, Noisy: 1000, Reference: 1234.5, Drift: 12.34,
		Machine: compare.Machine{Go: "go1.26.8", OS: "linux", Arch: "amd64", CPUs: 128, CPU: "a processor with a rather long name", Misses: "n/a: perf_event_open: permission denied"},
		Claims:  []compare.Claim{{Says: strings.Repeat("the mail says ", 20), Verdict: "supported", Figure: strings.Repeat("a figure, ", 30)}}}
	misses, noisy := 1.25, compare.Timed{Noisy: true}
	for _, s := range compare.Strategies {
		for _, exhausted := range []bool{false, true} {
			w := compare.Where{Strategy: s.Name, Caller: "mixed", RT: true, Exhausted: exhausted}
			rep.Hot = append(rep.Hot, compare.Hot{Where: w, Timed: noisy, Call: 12345.6, P99: 12_345_678, Max: 9.99e9, Churn: 1_234_567.8, Fallback: 1})
			rep.Cold = append(rep.Cold, compare.Cold{Where: w, Timed: noisy, Enqueue: 4321.1, HandOver: 54321.2, Bulk: 12345.6, FirstWrite: 1234.5, Peak: 1 << 30, Misses: &misses})
		}
		w := compare.Where{Strategy: s.Name, Caller: "raw", RT: true}
		rep.Light = append(rep.Light, compare.Light{Where: w, Timed: noisy, WakeupsPS: 123_456, GPsPerS: 1_234_567, LatencyMS: 1234.5, LatencyMax: 98765.4})
		rep.Survival = append(rep.Survival, compare.Survival{Where: w, Reports: []string{"a", "b"}})
	}
	rep.Locks = []compare.Locks{{RT: true, Timed: noisy, Raw: compare.Lock{HoldMax: 1e12, BatchPages: 512}}}
	fits(t, renderCompare(rep))
}
