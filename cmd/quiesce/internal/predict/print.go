package predict

import (
	"fmt"
	"io"
	"text/tabwriter"
)

func us(ns float64) string { return fmt.Sprintf("%.1f", ns/1e3) }

func usRange(r Range) string {
	if r.Low == r.High {
		return us(r.Mid)
	}
	return fmt.Sprintf("%s (%.3g–%.3g)", us(r.Mid), r.Low/1e3, r.High/1e3)
}

func pct(v float64) string  { return fmt.Sprintf("%.1f", 100*v) }
func mib(v float64) string  { return fmt.Sprintf("%.1f", v/(1<<20)) }
func mega(v float64) string { return fmt.Sprintf("%.1f", v/1e6) }

// stackWait is the share of the Ps' time that goes to the depot's shared words.
func (r Result) stackWait() float64 {
	return r.Lost[resFull] + r.Lost[resEmpty] + r.Lost[resPending] + r.Lost[resShared]
}

// Print writes the report for people.
func (r *Report) Print(out io.Writer) error {
	w := &printer{w: out}
	w.line("quiesce model  %s  -seed %d  -work %gns", r.Machine, r.Seed, r.WorkNs)
	w.line("\nParameters, measured %s:", r.Calibrated)
	w.table(false, func(row func(...any)) {
		for _, p := range r.Params.List() {
			row("", p.Name, fmt.Sprintf("%.2f", p.Value), p.How)
		}
	})
	w.line("\nAssumed, since no two processors can tell:")
	w.table(false, func(row func(...any)) {
		for _, a := range r.Assumptions {
			row("", a.Name, fmt.Sprintf("%.4g (%.4g–%.4g)", a.Mid, a.Low, a.High), a.Why)
		}
	})
	w.line("\nGrace period over GOMAXPROCS, nobody else running (the scan is real):")
	w.table(true, func(row func(...any)) {
		row("GOMAXPROCS", "model µs", "measured µs", "ratio")
		for _, g := range r.GP {
			row(g.Ps, fmt.Sprintf("%.2f", g.Model/1e3), fmt.Sprintf("%.2f", g.Here/1e3), fmt.Sprintf("%.2f", g.Model/g.Here))
		}
	})
	w.line("\nThe model against this machine:")
	w.table(true, func(row func(...any)) {
		row("Ps", "predicted ns", "measured ns", "ratio", "", "what")
		for _, c := range r.Checks {
			verdict := "ok"
			if !c.OK {
				verdict = "OFF"
			}
			row(c.Ps, fmt.Sprintf("%.1f", c.Predicted), fmt.Sprintf("%.1f", c.Measured), fmt.Sprintf("%.2f", c.Ratio), verdict, c.What+" ("+c.By+")")
		}
	})
	if r.OK {
		w.line("Within 30 %% everywhere.")
	} else {
		w.line("The model is more than 30 %% OFF where it says so: what follows is not to be trusted.")
	}
	w.line("Reused whole, of the sheaves reclaimed: %s %% simulated and %s %% measured at 1 P, %s and %s at 2.",
		pct(r.SimReused[0]), pct(r.Reused[0]), pct(r.SimReused[1]), pct(r.Reused[1]))
	w.line("Threads waited for a processor %s %% of the time that they could run.", pct(r.Noise))
	if r.Noise > 0.10 {
		w.line("That is a busy machine: run again when it is quiet, with -recalibrate.")
	}
	w.line("\nPredictions (in brackets what the assumptions leave open):")
	w.table(true, func(row func(...any)) {
		row("Ps", "gp µs", "membarrier µs", "drain µs", "depot wait %", "slab lock %", "worker %", "M/s per P", "M/s", "in flight MiB", "held MiB", "growth MiB/s")
		for _, x := range r.Rows {
			row(x.Ps, usRange(x.GP), usRange(x.Membarrier), us(x.Drain.Mid), pct(x.Sim.stackWait()), pct(x.Sim.Busy[resLock]),
				pct(x.Sim.Busy[resWorker]), mega(x.Sim.PerP), mega(x.Sim.Total), mib(x.Sim.InFlight), mib(x.Sim.Held), mib(max(x.Sim.Growth, 0)))
		}
	})
	w.line("\nWhere a P's time goes (%%), simulated, and the closed network's view:")
	w.table(true, func(row func(...any)) {
		row("Ps", "stacks", "lock", "refill", "zone", "taken", "IPIs", "reused", "│ MVA M/s per P", "stacks", "lock busy", "worker", "in flight MiB")
		for _, x := range r.Rows {
			l := x.Sim.Lost
			row(x.Ps, pct(x.Sim.stackWait()), pct(l[resLock]), pct(l[resRefill]), pct(l[resZone]), pct(l[resProc]), pct(l[resIPI]), pct(x.Sim.Reused),
				mega(x.Closed.PerP), pct(x.Closed.StackWait), pct(x.Closed.LockBusy), pct(x.Closed.WorkerBusy), mib(x.InFlight))
		}
	})
	w.line("\nOther designs, simulated:")
	w.table(true, func(row func(...any)) {
		row("Ps", "M/s per P", "gain", "in flight MiB", "held MiB", "", "design")
		for _, l := range r.Levers {
			row(l.Ps, mega(l.PerP), fmt.Sprintf("%.2f", l.Gain), mib(l.Flight), mib(l.Held), "", l.Change)
		}
	})
	w.line("\nWhere throughput per P falls below 80 %% of one P's, with one thing changed at a time:")
	w.table(true, func(row func(...any)) {
		row("from Ps", "", "changed")
		for _, v := range r.Variants {
			n := "none"
			if v.Knee > 0 {
				n = fmt.Sprint(v.Knee)
			}
			row(n, "", "  "+v.What)
		}
	})
	w.line("\nAnswer:")
	for _, a := range r.Answer {
		w.line("  %s", a)
	}
	return w.err
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *printer) table(right bool, fill func(row func(cells ...any))) {
	var flags uint
	if right {
		flags = tabwriter.AlignRight
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', flags)
	fill(func(cells ...any) {
		for i, c := range cells {
			end := "\t"
			if i == len(cells)-1 {
				end = "\n"
				if right {
					if s, ok := c.(string); !ok || len(s) < 20 {
						end = "\t\n"
					} else {
						c = "  " + s
					}
				}
			}
			fmt.Fprintf(t, "%v%s", c, end)
		}
	})
	if err := t.Flush(); p.err == nil {
		p.err = err
	}
}
