package rcu

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"quiesce/internal/depcheck"
	"quiesce/internal/percpu"
)

// StallTimeout is the age from which a reader that holds up a grace period is
// reported, once per grace period, through slog's default logger; with -tags
// lockdep with the goroutine that has been in a section for longest, and the
// stack on which that began. Set it
// before the first grace period. Without membarrier a pinned reader
// holds up the stopped world before it can be reported. The kernel's
// rcu_cpu_stall_timeout.
var StallTimeout = 10 * time.Second

var stalls atomic.Uint64

func reportPinned(ws []waitFor, ns int64) {
	for _, w := range ws {
		report("pinned", w.id, 1, ns)
	}
}

// reportPreemptible names the Ps on which readers of index j entered that
// have not left. Where a reader left on another P than it entered on, the
// difference of one P says nothing; the sum is right all the same.
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

// report is hidden: the driver's goroutine orders nobody, the one that it starts
// included.
//
//go:norace
func report(flavour string, p int, readers int64, ns int64) {
	stalls.Add(1) // ord:stat
	// From a goroutine of its own: the handler is the user's, and may even wait
	// for a grace period.
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
