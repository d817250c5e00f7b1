package predict

import (
	"fmt"
	"io"
	"strings"

	"quiesce/cmd/quiesce/internal/kit"
)

func us(ns float64) string { return fmt.Sprintf("%.1f", ns/1e3) }

func usRange(r Range) string {
	if r.Low == r.High {
		return us(r.Mid)
	}
	return fmt.Sprintf("%s (%s–%s)", us(r.Mid), three(r.Low/1e3), three(r.High/1e3))
}

// three is v with three digits, or with all that are before the point.
func three(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func pct(v float64) string  { return fmt.Sprintf("%.1f", 100*v) }
func mib(v float64) string  { return fmt.Sprintf("%.1f", v/(1<<20)) }
func mega(v float64) string { return fmt.Sprintf("%.1f", v/1e6) }
func two(v float64) string  { return fmt.Sprintf("%.2f", v) }

// stackWait is the share of the Ps' time that goes to the depot's shared words.
func (r Result) stackWait() float64 {
	return r.Lost[resFull] + r.Lost[resEmpty] + r.Lost[resPending] + r.Lost[resCounts] + r.Lost[resCookie]
}

// Print writes the report for people.
func (r *Report) Print(out io.Writer) error {
	w := &strings.Builder{}
	printLine(w, 0, "quiesce predict  %s  -seed %d  -work %gns", r.Machine, r.Seed, r.WorkNs)
	r.printParams(w)
	r.printChecks(w)
	r.printPredictions(w)
	r.printShared(w)
	r.printDesigns(w)
	printLine(w, 0, "\nAnswer:")
	for _, a := range r.Answer {
		printLine(w, 2, "%s", a)
	}
	_, err := io.WriteString(out, w.String())
	return err
}

// printLine writes a line, or as many as it takes.
func printLine(w *strings.Builder, indent int, format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	if rest, ok := strings.CutPrefix(s, "\n"); ok {
		w.WriteString("\n")
		s = rest
	}
	w.WriteString(kit.Wrap(indent, s))
}

func (r *Report) printParams(w *strings.Builder) {
	const how = 45
	printLine(w, 0, "\nParameters, measured %s:", r.Calibrated)
	t := kit.NewTable(2, "parameter", "value", "how it is measured").Text(3, how)
	for _, p := range r.Params.List() {
		t.Row(p.Name, two(p.Value), p.How)
	}
	fmt.Fprintln(w, t)
	printLine(w, 0, "\nAssumed, because two processors can't tell:")
	t = kit.NewTable(2, "assumption", "value (low–high)", "what it is").Text(3, how-4)
	for _, a := range r.Assumptions {
		t.Row(a.Name, fmt.Sprintf("%s (%s–%s)", three(a.Mid), three(a.Low), three(a.High)), a.Why)
	}
	fmt.Fprintln(w, t)
}

func (r *Report) printChecks(w *strings.Builder) {
	printLine(w, 0, "\nGrace period over GOMAXPROCS, nothing else running (the scan is real):")
	t := kit.NewTable(1, "GOMAXPROCS", "model µs", "measured µs", "ratio")
	for _, g := range r.GP {
		t.Row(g.Ps, two(g.Model/1e3), two(g.Here/1e3), two(g.Model/g.Here))
	}
	fmt.Fprintln(w, t)
	printLine(w, 0, "\nThe model against this machine:")
	t = kit.NewTable(1, "Ps", "predicted ns", "measured ns", "ratio", "", "what").Text(6, 33)
	for _, c := range r.Checks {
		verdict := "ok"
		if !c.OK {
			verdict = "OFF"
		}
		t.Row(c.Ps, fmt.Sprintf("%.1f", c.Predicted), fmt.Sprintf("%.1f", c.Measured), two(c.Ratio), verdict, c.What+" ("+c.By+")")
	}
	fmt.Fprintln(w, t)
	if r.OK {
		printLine(w, 0, "Within 30 %% everywhere.")
	} else {
		printLine(w, 0, "The model is more than 30 %% OFF where it says so: do not trust what follows.")
	}
	printLine(w, 0, "Reused whole, of the sheaves reclaimed: %s %% simulated and %s %% measured at 1 P, %s and %s at 2.",
		pct(r.SimReused[0]), pct(r.Reused[0]), pct(r.SimReused[1]), pct(r.Reused[1]))
	printLine(w, 0, "Threads waited for a processor %s %% of the time that they could run.", pct(r.Noise))
	if r.Noise > 0.10 {
		printLine(w, 0, "That is a busy machine: run again when it is quiet, with -recalibrate.")
	}
}

func (r *Report) printPredictions(w *strings.Builder) {
	printLine(w, 0, "\nPredictions: grace periods (in brackets what the assumptions leave open)")
	t := kit.NewTable(1, "Ps", "gp µs", "membarrier µs", "drain µs")
	for _, x := range r.Rows {
		t.Row(x.Ps, usRange(x.GP), usRange(x.Membarrier), us(x.Drain.Mid))
	}
	fmt.Fprintln(w, t)
	printLine(w, 0, "\nPredictions: throughput, in million objects a second, and what bounds it:")
	t = kit.NewTable(1, "Ps", "M/s per P", "M/s", "depot wait %", "slab lock %", "worker %")
	for _, x := range r.Rows {
		t.Row(x.Ps, mega(x.Sim.PerP), mega(x.Sim.Total), pct(x.Sim.stackWait()), pct(x.Sim.Busy[resLock]), pct(x.Sim.Busy[resWorker]))
	}
	fmt.Fprintln(w, t)
	printLine(w, 0, "\nPredictions: memory")
	t = kit.NewTable(1, "Ps", "in flight MiB", "held MiB", "growth MiB/s")
	for _, x := range r.Rows {
		t.Row(x.Ps, mib(x.Sim.InFlight), mib(x.Sim.Held), mib(max(x.Sim.Growth, 0)))
	}
	fmt.Fprintln(w, t)
	printLine(w, 0, "\nWhere a P's time goes (%%), simulated; and the share of sheaves reused whole:")
	t = kit.NewTable(1, "Ps", "stacks", "lock", "refill", "zone", "taken", "IPIs", "reused")
	for _, x := range r.Rows {
		l := x.Sim.Lost
		t.Row(x.Ps, pct(x.Sim.stackWait()), pct(l[resLock]), pct(l[resRefill]), pct(l[resZone]), pct(l[resProc]), pct(l[resIPI]), pct(x.Sim.Reused))
	}
	fmt.Fprintln(w, t)
	printLine(w, 0, "\nThe same by mean value analysis of a closed network:")
	t = kit.NewTable(1, "Ps", "M/s per P", "stacks %", "lock busy %", "worker %", "in flight MiB")
	for _, x := range r.Rows {
		t.Row(x.Ps, mega(x.Closed.PerP), pct(x.Closed.StackWait), pct(x.Closed.LockBusy), pct(x.Closed.WorkerBusy), mib(x.InFlight))
	}
	fmt.Fprintln(w, t)
}

func (r *Report) printShared(w *strings.Builder) {
	printLine(w, 0, "\nWhat %d Ps share, per 1,000 objects, as go run ./tests/shared counts it:", sharedPs)
	t := kit.NewTable(2, "workload", "what", "foretold", "counted", "")
	counted := false
	for _, f := range r.Shared {
		is, verdict := "", ""
		if f.Counted != nil {
			is, verdict, counted = fmt.Sprintf("%.3f", *f.Counted), "ok", true
			if !f.OK {
				verdict = "OFF"
			}
		}
		t.Row(f.Workload, f.What, fmt.Sprintf("%.3f", f.Foretold), is, verdict)
	}
	fmt.Fprintln(w, t)
	if !counted {
		printLine(w, 0, "Not compared: -shared takes what go run ./tests/shared -json counted.")
	}
}

func (r *Report) printDesigns(w *strings.Builder) {
	printLine(w, 0, "\nOther designs, simulated (memory in MiB):")
	t := kit.NewTable(1, "Ps", "M/s per P", "gain", "in flight", "held", "design").Text(6, 36)
	for _, l := range r.Levers {
		t.Row(l.Ps, mega(l.PerP), two(l.Gain), mib(l.Flight), mib(l.Held), l.Change)
	}
	fmt.Fprintln(w, t)
	printLine(w, 0, "\nWhere throughput per P falls below 80 %% of one P's, with one thing changed at a time:")
	t = kit.NewTable(1, "from Ps", "changed").Text(2, 60)
	for _, v := range r.Variants {
		n := "none"
		if v.Knee > 0 {
			n = fmt.Sprint(v.Knee)
		}
		t.Row(n, v.What)
	}
	fmt.Fprintln(w, t)
}
