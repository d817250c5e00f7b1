package depcheck

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"

	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/internal/report"
	"quiesce/internal/sys"
)

// The kinds of reports, as their first lines have them.
const (
	InvalidWaitContext = "Invalid wait context"
	Circular           = "possible circular locking dependency detected"
	Recursion          = "possible recursive locking detected"
	InconsistentState  = "inconsistent lock state"
	IrqInversion       = "possible irq lock inversion dependency detected"
	UnsafeOrder        = "irq-safe -> irq-unsafe lock order detected"
	UnlockBalance      = "bad unlock balance detected"
	HeldLockInit       = "held lock initialised"
	Sleeping           = "sleeping function called from invalid context"
	SuspiciousRCU      = "suspicious RCU usage"
	StillHeld          = "still has locks held"
	TableFull          = "table full"
)

// Report is one fault that was found.
type Report struct {
	Kind      string   // one of the constants of this package
	Text      string   // the whole report, many lines, in the kernel's words
	Goroutine uint64   // the goroutine at fault, by its number in Go's traces
	Classes   []string // the lock classes involved; a circle in its order, from the lock wanted

	state atomic.Uint32 // claimed, delivered
}

const (
	claimed = 1 + iota
	delivered
)

var reporter atomic.Pointer[func(*Report)]

// SetReporter makes lockdep call fn with every report until restore is called, in
// place of a record of slog's default logger at level ERROR. fn runs on the
// goroutine at fault, or on a goroutine of its own where that one is pinned. It
// may block and take locks, and several goroutines may call it at once.
func SetReporter(fn func(*Report)) (restore func()) {
	old := reporter.Swap(&fn)
	return func() { reporter.Store(old) }
}

// deliver passes the report to the reporter, once.
func (r *Report) deliver() {
	if !r.state.CompareAndSwap(0, claimed) {
		return
	}
	if fn := reporter.Load(); fn != nil {
		(*fn)(r)
	} else {
		slog.LogAttrs(context.Background(), slog.LevelError, r.Text)
		r.untaken()
	}
	r.state.Store(delivered)
}

// untaken is called after a report was written because there is no reporter. It
// may end the program.
func (r *Report) untaken() {
	if r.Kind != TableFull {
		report.Untaken("lockdep", r.Kind)
	}
}

// deliver delivers the reports of a hook's call. The hook has released its locks;
// only those of the user are held.
func (r *request) deliver() {
	if r.fault != nil {
		r.deliverSlow()
	}
}

// patience is how long a pinned goroutine waits for the delivery of its report to
// begin, in ns; for its end it waits five times as long. It is long enough for a
// goroutine to start on another P, and short for the garbage collector.
const patience = 20_000_000

//go:noinline
func (r *request) deliverSlow() {
	for f := r.fault; f != nil; f = f.next {
		race.Disable() // or it would order the goroutines that report
		tables.counters.reports.Add(1)
		race.Enable()
		rep := f.report()
		if !pinned() {
			rep.deliver()
			continue
		}
		// The reporter may block and make system calls, so it can't run here.
		// But it should be done before the caller continues, which may be
		// into a fatal error of the runtime.
		go rep.deliver()
		if runtime.GOMAXPROCS(0) > 1 {
			start := sys.Nanotime()
			for s := rep.state.Load(); s != delivered; s = rep.state.Load() {
				if waited := sys.Nanotime() - start; waited > 5*patience || waited > patience && s != claimed {
					break
				}
				sys.Pause(20)
				sys.Yield()
			}
		}
		switch {
		case rep.state.Load() == delivered:
		case reporter.Load() == nil:
			// The goroutine did not start, or the collector has stopped it
			// and waits for this one. The builtin works in any context, and
			// twice is better than not at all.
			rep.state.Store(delivered)
			print(rep.Text, "\n")
			rep.untaken()
		default:
			keepUndelivered(rep)
		}
	}
}

// undelivered counts the tasks that have a report whose delivery did not end in
// time.
var undelivered struct {
	_ [128]byte // every release reads it
	atomic.Int32
	_ [128]byte
}

// keepUndelivered keeps a report that is not delivered yet for the end of the
// pinned section.
//
//go:norace
func keepUndelivered(rep *Report) {
	var r request
	r.begin()
	if t := r.find(true); t != nil {
		if t.undelivered.Swap(rep) == nil {
			undelivered.Add(1)
		}
		t.mu.unlock()
	}
	r.end()
}

// awaitUndelivered waits for a report that could not be delivered inside of a
// pinned section, if that has ended.
func (r *request) awaitUndelivered(t *task) {
	if pinned() {
		return
	}
	rep := t.takeUndelivered()
	if rep == nil {
		return
	}
	for end := sys.Nanotime() + 50*patience; rep.state.Load() != delivered && sys.Nanotime() < end; {
		runtime.Gosched()
	}
	r.begin()
	r.retire(t)
	r.end()
}

//go:norace
func (t *task) takeUndelivered() *Report {
	race.Disable()
	rep := t.undelivered.Swap(nil)
	if rep != nil {
		undelivered.Add(-1)
	}
	race.Enable()
	return rep
}

// pinned reports whether the goroutine is in a pinned section of package
// preempt.
//
//go:norace
func pinned() bool {
	in := percpu.Pin().Nest != 0
	sys.ProcUnpin()
	return in
}

// Bits of tables.full.
const (
	fullClasses = 1 << iota
	fullEdges
	fullChains
	fullStacks
	fullFaults
	fullTasks
	fullHeld
)

// overflow reports that a table is full, once.
//
//go:norace
func (r *request) overflow(table uint32) {
	for {
		old := tables.full.Load()
		if old&table != 0 {
			return
		}
		if tables.full.CompareAndSwap(old, old|table) {
			break
		}
	}
	r.fault = &fault{next: r.fault, kind: TableFull, goid: r.goid, full: table}
}

// firstTimeLocked reports whether the fault was not reported before.
//
//go:norace
func (r *request) firstTimeLocked(kind string, a, b, c uint64) bool {
	h := uint64(len(kind)) << 56
	for i := 0; i < len(kind); i++ {
		h = h*31 + uint64(kind[i])
	}
	h = mix(mix(mix(h^a)^b) ^ c)
	t := &tables
	i := h % uint64(len(t.faults))
	for ; t.faults[i] != 0; i = (i + 1) % uint64(len(t.faults)) {
		if t.faults[i] == h {
			t.counters.suppressed.Add(1)
			return false
		}
	}
	if t.nfaults == maxFaults {
		r.overflow(fullFaults)
		t.counters.suppressed.Add(1)
		return false
	}
	t.faults[i] = h
	t.nfaults++
	return true
}
