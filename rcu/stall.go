package rcu

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"quiesce/internal/depcheck"
	"quiesce/internal/percpu"
)

// StallTimeout is how long a grace period may wait for a reader before the
// reader is reported as a stall: once per grace period, through slog's default
// logger. With -tags lockdep the report has the goroutine that has been in a
// section for longest, and the stack at which that section began. Set
// StallTimeout before the first grace period.
//
// Without membarrier (see package sys) a pinned reader delays the stop of the
// world that replaces it, before it can be reported.
//
// Linux: rcu_cpu_stall_timeout.
var StallTimeout = 10 * time.Second

var stalls atomic.Uint64

func reportPinned(ps []pinnedP, ns int64) {
	for _, p := range ps {
		report("pinned", p.id, 1, ns)
	}
}

// reportPreemptible reports readers of index j that have not left, and the P on
// which most of them entered. Where a reader left on another P than it entered
// on, one P's difference means nothing; the sum is right anyway.
//
//go:norace
func reportPreemptible(j uint64, ns int64) {
	var sum int64
	p, most := -1, int64(0)
	for id := range percpu.Readers() {
		c := percpu.Of(id)
		d := int64(atomic.LoadUint64(&c.Lock[j]) - atomic.LoadUint64(&c.Unlock[j])) // ord:stat
		sum += d
		if d > most {
			p, most = id, d
		}
	}
	report("preemptible", p, sum, ns)
}

// report counts and logs a stall. It is hidden from the race detector: the
// driver's goroutine orders no other, not even the one that it starts.
//
//go:norace
func report(flavour string, p int, readers int64, ns int64) {
	stalls.Add(1) // ord:stat
	// On a goroutine of its own: the log handler is user code, and may even
	// wait for a grace period.
	go logStall([]slog.Attr{
		slog.String("flavour", flavour),
		slog.Int("P", p),
		slog.Int64("readers", readers),
		slog.Duration("since", time.Duration(ns)),
		slog.Uint64("seq", seq.Load()), // ord:stat
	})
}

func logStall(attrs []slog.Attr) {
	if depcheck.Tagged {
		if g, stack := depcheck.OldestSection(); g != 0 {
			attrs = append(attrs, slog.Uint64("goroutine", g), slog.String("began", stack))
		}
	}
	slog.LogAttrs(context.Background(), slog.LevelWarn, "rcu: stall: a reader holds up the grace period", attrs...)
}
