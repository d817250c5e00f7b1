package rcu

import (
	"context"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"quiesce/internal/depcheck"
	"quiesce/internal/percpu"
	"quiesce/internal/stall"
	"quiesce/internal/sys"
)

// StallTimeout is how long a grace period may wait for a reader before the
// reader is reported as a stall, through slog's default logger: then, after
// twice that time, and so on, at least every five minutes (or StallTimeout, if
// that is longer). A report says what waits for the grace period. With -tags
// lockdep it has the goroutine that has been in a section for longest, and the
// stack at which that section began. A callback that runs for so long is
// reported too. 0 or less turns the reports off. Set StallTimeout before the
// first grace period.
//
// Time for which the process was stopped, or its machine suspended, does not
// count. Without membarrier (see package sys) a pinned reader delays the stop of
// the world that replaces it, before it can be reported.
//
// Linux: rcu_cpu_stall_timeout.
var StallTimeout = 10 * time.Second

var stalls atomic.Uint64

func reportPinned(ps []pinnedP, wait *backoff) {
	for _, p := range ps {
		report("pinned", 1, wait, stallSite{p: p.id})
	}
}

// reportPreemptible reports readers of index j that have not left. If they have by
// now, there is nothing to report.
//
//go:norace
func reportPreemptible(j uint64, wait *backoff) {
	exits := sumUnlocks()[j] // first: readers that leave between the sums count
	readers := int64(sumLocks()[j] - exits)
	if readers <= 0 {
		return
	}
	// The P on which most of them entered. A reader that left on another P than
	// it entered on leaves a difference on both, and where that is seen, no P
	// can be named.
	p, most := -1, int64(0)
	for id := range percpu.Readers() {
		c := percpu.Of(id)
		switch d := int64(atomic.LoadUint64(&c.Lock[j]) - atomic.LoadUint64(&c.Unlock[j])); { // ord:stat
		case d < 0:
			most, p = 1<<62, -1
		case d > most:
			most, p = d, id
		}
	}
	report("preemptible", readers, wait, stallSite{p: p})
}

// reportRegistered reports Readers in a section, and where some of them were made.
//
//go:norace
func reportRegistered(rs []waitedReader, wait *backoff) {
	at := stallSite{p: -1}
	n := 0
	for _, r := range rs {
		if r.slot.dropped.Load() { // ord:stat
			at.dropped++
		}
		pc := r.slot.made.Load() // ord:stat
		known := n == len(at.made)
		for _, m := range at.made[:n] {
			known = known || m == pc
		}
		if !known {
			at.made[n] = pc
			n++
		}
	}
	report("registered", int64(len(rs)), wait, at)
}

// stallSite says what is known of the readers that hold up a grace period.
type stallSite struct {
	p       int        // the P, or -1
	made    [4]uintptr // where registered readers were made, the first few places; 0: none
	dropped int        // those that the program lost in a section
}

// place names a place in the program.
func place(pc uintptr) string {
	f, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	return f.Function + " " + f.File + ":" + strconv.Itoa(f.Line)
}

// attrs adds it to a report.
func (s stallSite) attrs(attrs []slog.Attr) []slog.Attr {
	if s.p >= 0 {
		attrs = append(attrs, slog.Int("P", s.p))
	}
	var places []string
	for _, pc := range s.made {
		if pc != 0 {
			places = append(places, place(pc))
		}
	}
	if len(places) > 0 {
		attrs = append(attrs, slog.String("made", strings.Join(places, ", ")))
	}
	if s.dropped > 0 {
		attrs = append(attrs, slog.Int("dropped_in_section", s.dropped))
	}
	return attrs
}

var readerOf = map[string]string{
	"pinned":      "a pinned reader",
	"preemptible": "a preemptible reader",
	"registered":  "a registered reader",
}

// report counts and logs a stall. It is hidden from the race detector: the
// driver's goroutine orders no other, not even the one that it starts.
//
//go:norace
func report(flavour string, readers int64, wait *backoff, at stallSite) {
	if wait.reports == 1 {
		stalls.Add(1) // ord:stat
	}
	since, reader := time.Duration(wait.waited), readerOf[flavour]
	stall.Begin(reader, since)
	attrs := []slog.Attr{
		slog.String("flavour", flavour),
		slog.Int64("readers", readers),
		slog.Duration("since", since),
		slog.Uint64("seq", seq.Load()), // ord:stat
		slog.Uint64("callbacks_waiting", calls.unstarted()),
	}
	// On a goroutine of its own, and of no bubble: the log handler is user code,
	// and may even wait for a grace period.
	sys.Go(func() {
		stall.Record(stall.Event{Kind: "reader", What: reader, Lasted: since})
		logStall(attrs, at)
	})
}

func logStall(attrs []slog.Attr, at stallSite) {
	attrs = at.attrs(attrs)
	if depcheck.Tagged {
		if g, stack := depcheck.OldestSection(); g != 0 {
			attrs = append(attrs, slog.Uint64("goroutine", g), slog.String("began", stack))
		}
	}
	attrs = append(attrs, stall.Costs()...)
	slog.LogAttrs(context.Background(), slog.LevelWarn, "rcu: stall: a reader holds up the grace period", attrs...)
}
