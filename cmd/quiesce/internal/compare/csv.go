package compare

import (
	"encoding/csv"
	"io"
	"strconv"
)

// WriteCSV writes one line for each figure: table, strategy, caller,
// preempt_rt, lists_exhausted, noisy, figure, value.
func (rep *Report) WriteCSV(out io.Writer) error {
	w := csv.NewWriter(out)
	w.Write([]string{"table", "strategy", "caller", "preempt_rt", "lists_exhausted", "noisy", "figure", "value"})
	line := func(table string, at Where, noisy bool, figure string, v float64) {
		w.Write([]string{table, at.Strategy, at.Caller, strconv.FormatBool(at.RT), strconv.FormatBool(at.Exhausted),
			strconv.FormatBool(noisy), figure, strconv.FormatFloat(v, 'g', 6, 64)})
	}
	type figure struct {
		name string
		v    float64
	}
	lines := func(table string, at Where, noisy bool, dead string, misses *float64, fs ...figure) {
		if dead != "" {
			line(table, at, noisy, "died", 1)
			return
		}
		for _, f := range fs {
			line(table, at, noisy, f.name, f.v)
		}
		if misses != nil {
			line(table, at, noisy, "cache_misses_per_object", *misses)
		}
	}
	for _, h := range rep.Hot {
		lines("hot", h.Where, h.Noisy, h.Died, h.Misses,
			figure{"call_ns", h.Call}, figure{"call_p50_ns", h.P50}, figure{"call_p99_ns", h.P99}, figure{"call_max_ns", h.Max},
			figure{"longest_pinned_call_ns", h.RawMax}, figure{"alloc_to_reclaimed_ns", h.Churn},
			figure{"alloc_to_reclaimed_cpu_ns", h.ChurnCPU}, figure{"reclaim_hot_cpu_ns", h.Reclaim},
			figure{"fallback_share", h.Fallback}, figure{"grace_periods_per_s", h.GPsPerS},
			figure{"thread_sleeps_per_s", h.SleepsPerS}, figure{"peak_bytes", float64(h.Peak)})
	}
	for _, c := range rep.Cold {
		lines("cold", c.Where, c.Noisy, c.Died, c.Misses,
			figure{"enqueue_ns", c.Enqueue}, figure{"hand_over_ns", c.HandOver}, figure{"kfree_bulk_ns", c.Bulk},
			figure{"first_write_ns", c.FirstWrite}, figure{"fallback_share", c.Fallback}, figure{"peak_bytes", float64(c.Peak)})
	}
	for _, l := range rep.Light {
		lines("light", l.Where, l.Noisy, l.Died, nil,
			figure{"wakeups_per_s", l.WakeupsPS}, figure{"grace_periods_per_s", l.GPsPerS},
			figure{"reclaim_latency_p50_ms", l.LatencyMS}, figure{"reclaim_latency_max_ms", l.LatencyMax},
			figure{"idle_wakeups_per_s", l.IdleWakes})
	}
	for _, s := range rep.Survival {
		dies := 0.0
		if s.Died != "" {
			dies = 1
		}
		lines("survival", s.Where, false, "", nil, figure{"dies_contended", dies}, figure{"lockdep_reports", float64(len(s.Reports))})
	}
	for _, l := range rep.Locks {
		for _, k := range []struct {
			name string
			l    Lock
		}{{"rawlocks.raw", l.Raw}, {"rawlocks.spin", l.Spin}} {
			lines("locks", Where{Strategy: k.name, RT: l.RT}, l.Noisy, "", nil,
				figure{"longest_hold_ns", k.l.HoldMax}, figure{"longest_pinned_ns", k.l.PinnedMax},
				figure{"wakeup_latency_p50_ns", k.l.WakeP50}, figure{"wakeup_latency_p99_ns", k.l.WakeP99},
				figure{"wakeup_latency_max_ns", k.l.WakeMax}, figure{"bulk_frees_per_s", k.l.OpsPerS})
		}
	}
	if t := rep.Tracking; t != nil {
		lines("tracking", Where{}, t.Noisy, "", nil,
			figure{"pin_pair_ns", t.Bare}, figure{"pin_pair_counted_ns", t.Counted}, figure{"preempt_disable_ns", t.Disable},
			figure{"preempt_atomic_ns", t.Atomic}, figure{"raw_lock_pair_ns", t.Raw}, figure{"raw_lock_pair_track_ns", t.Tracked})
	}
	w.Flush()
	return w.Error()
}
