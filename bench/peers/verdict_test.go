package main

import (
	"testing"

	"quiesce/bench/internal/harness"
)

func TestTargetsAreOnRowsThatThereAre(t *testing.T) {
	rows := map[string]bool{"": true}
	for _, g := range allGroups() {
		for _, r := range g.rows {
			rows[g.id+"/"+r.name] = true
		}
	}
	for _, x := range targets() {
		if !rows[x.a] || !rows[x.b] {
			t.Errorf("%s: %q, %q", x.Claim, x.a, x.b)
		}
	}
}

func TestVerdicts(t *testing.T) {
	rounds := func(name string, v ...float64) (f []harness.Figures) {
		for _, v := range v {
			f = append(f, harness.Figures{name: v})
		}
		return f
	}
	all := results{
		"flood/Quiesce FreeRCU, as it comes":    rounds("whole", 30, 300, 3000),
		"flood/C free at once, mimalloc":        rounds("whole", 20, 200, 2000),
		"readers1/Quiesce rcu.Reader":           rounds("ns", 0.7, 0.7, 0.7),
		"readers1/Go bare procPin pair":         {nil, {"ns": 2}, {"ns": 2}},
		"churn/Quiesce Sheaf.Alloc, FreeRCU":    rounds("ns", 4, 5, 9),
		"call/Quiesce rcu.Call":                 rounds("ns", 11_000),
		"shuffled/Quiesce Alloc, Free":          rounds("ns", 5),
		"hot/Quiesce Alloc, Free of some other": rounds("ns", 5),
	}
	want := map[string]struct {
		figure  float64
		verdict string
	}{
		"cold flood, whole cycle: of mimalloc's free at once": {1.5, harness.Missed},
		"rcu.Reader: of a bare pin pair":                      {0.35, harness.Met},
		"churn through a Sheaf: ns an object":                 {5, harness.Noisy},
		"rcu.Call to callback: ns":                            {11_000, harness.Met},
	}
	for _, v := range judge(all) {
		w, ok := want[v.Claim]
		if !ok {
			w.verdict = harness.Absent
		}
		if v.Verdict != w.verdict || !near(v.Figure, w.figure) {
			t.Errorf("%+v, want %v", v, w)
		}
		delete(want, v.Claim)
	}
	if len(want) > 0 {
		t.Errorf("no verdict on %v", want)
	}
}
