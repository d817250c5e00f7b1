package main

import "quiesce/bench/internal/harness"

// results are the rounds of all rows, by GROUP/NAME.
type results map[string][]harness.Figures

// target is what must hold for a figure of a row, alone or as a ratio to
// another row's in the same round.
type target struct {
	harness.Target
	figure string
	a, b   string // GROUP/NAME; b may be ""
}

// targets are what this command can measure of what Quiesce must reach.
func targets() []target {
	of := func(claim, group, a, b string, limit float64) target {
		return target{harness.Target{Claim: claim, Limit: limit}, "ns", group + "/" + a, group + "/" + b}
	}
	ns := func(claim, group, a string, limit float64) target {
		return target{harness.Target{Claim: claim, Limit: limit}, "ns", group + "/" + a, ""}
	}
	const (
		flood  = "Quiesce FreeRCU, as it comes"
		pin    = "Go bare procPin pair"
		typed  = "Quiesce Alloc, Free"
		inSlab = "Quiesce Sheaf.Alloc, Free"
	)
	whole := of("cold flood, whole cycle: of mimalloc's free at once", "flood", flood, "C free at once, mimalloc", 1)
	whole.figure = "whole"
	return []target{
		whole,
		of("preempt.Disable: of a bare pin pair", "readers1", "Quiesce preempt.Disable", pin, 1.1),
		of("rcu.ReadLock: of a bare pin pair", "readers1", "Quiesce rcu.ReadLock", pin, 1.25),
		of("rcu.Reader: of a bare pin pair", "readers1", "Quiesce rcu.Reader", pin, 0.4),
		of("hot Alloc, Free: of mimalloc's time", "hot", typed, "C, mimalloc", 0.8),
		of("hot Alloc, Free: of jemalloc's time", "hot", typed, "C, jemalloc", 1.1),
		of("hot Sheaf: of jemalloc's time", "hot", inSlab, "C, jemalloc", 0.8),
		of("hot Kmalloc, Kfree: of Alloc, Free", "hot", "Quiesce Kmalloc, Kfree", typed, 1.3),
		of("10,000 shuffled: of mimalloc's time", "shuffled", typed, "C, mimalloc", 1.2),
		of("freed in another thread: of mimalloc's time", "remote", typed, "C, mimalloc", 0.5),
		ns("churn: ns an object", "churn", "Quiesce Alloc, FreeRCU", 6),
		ns("churn through a Sheaf: ns an object", "churn", "Quiesce Sheaf.Alloc, FreeRCU", 4.5),
		of("Synchronize without readers: of a membarrier", "sync", "Quiesce rcu.Synchronize", "bare membarrier", 1.5),
		ns("rcu.Call to callback: ns", "call", "Quiesce rcu.Call", 50_000),
	}
}

// judge compares what was measured with the targets.
func judge(all results) []harness.Verdict {
	out := []harness.Verdict{}
	for _, t := range targets() {
		var rounds []float64
		for k, a := range all[t.a] {
			switch {
			case a == nil:
			case t.b == "":
				rounds = append(rounds, a[t.figure])
			case k < len(all[t.b]) && all[t.b][k][t.figure] > 0:
				rounds = append(rounds, a[t.figure]/all[t.b][k][t.figure])
			}
		}
		out = append(out, t.Judge(rounds))
	}
	return out
}
