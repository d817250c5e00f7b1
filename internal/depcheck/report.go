package depcheck

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"

	"quiesce/internal/percpu"
	"quiesce/internal/race"
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
	Text      string   // the whole report, many lines, as the kernel words them
	Goroutine uint64   // who was found at it, by the number that Go's traces have
	Classes   []string // the lock classes it is about; a circle in its order, from the lock wanted

	state atomic.Uint32 // claimed, delivered
}

const (
	claimed = 1 + iota
	delivered
)

var reporter atomic.Pointer[func(*Report)]

// panicOnReport ends the program with the first report that nobody's
// SetReporter takes: QUIESCE=panic_on_report=1.
var panicOnReport = func() bool {
	v, ok := sys.Option("panic_on_report")
	return ok && v != "0"
}()

// SetReporter has fn called with every report, in place of one line with many
// lines in slog's default logger (level ERROR), until restore is called. fn is
// called on the goroutine that is at fault, or on one of its own where that is
// pinned; it may do as it likes, take locks too. It may be called by several
// goroutines at a time.
func SetReporter(fn func(*Report)) (restore func()) {
	old := reporter.Swap(&fn)
	return func() { reporter.Store(old) }
}

// hand gives the report to the reporter, once.
func (r *Report) hand() {
	if !r.state.CompareAndSwap(0, claimed) {
		return
	}
	if fn := reporter.Load(); fn != nil {
		(*fn)(r)
	} else {
		slog.LogAttrs(context.Background(), slog.LevelError, r.Text)
		r.end()
	}
	r.state.Store(delivered)
}

// end ends the program if that was asked for.
func (r *Report) end() {
	if panicOnReport && r.Kind != TableFull {
		panic("quiesce: lockdep: QUIESCE=panic_on_report: " + r.Kind)
	}
}

// deliver hands out the reports of the hook's call. The hook has let go of
// everything; only what the user holds is held.
func (r *request) deliver() {
	if r.fault != nil {
		r.deliverSlow()
	}
}

// patience is how long a pinned goroutine waits until its report's delivery has
// begun; for its end, 5 times as long. Long enough for a goroutine to start on
// another P, short for the collector.
const patience = 20_000_000 // ns

//go:noinline
func (r *request) deliverSlow() {
	for f := r.fault; f != nil; f = f.next {
		race.Disable() // else it would order those who report
		tables.counters.reports.Add(1)
		race.Enable()
		rep := f.report()
		if !pinned() {
			rep.hand()
			continue
		}
		// The reporter may block and make system calls, so it can't run here;
		// but what it does should be done before the caller goes on, which
		// may be into the runtime's own fatal error.
		go rep.hand()
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
			// No goroutine was there to do it, or the collector has stopped
			// it and waits for this one. The builtin works in any context;
			// better twice than not at all.
			rep.state.Store(delivered)
			print(rep.Text, "\n")
			rep.end()
		default:
			leave(rep)
		}
	}
}

// undelivered counts tasks with such a report.
var undelivered atomic.Int32

// leave notes a report that is not delivered for the end of the pinned section.
//
//go:norace
func leave(rep *Report) {
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

// settle waits for a report that was not delivered inside of a pinned section,
// once that has ended.
func (r *request) settle(t *task) {
	if pinned() {
		return
	}
	rep := t.take()
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
func (t *task) take() *Report {
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

// overflow notes that a table is full, once.
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

// firstTime reports whether the fault was not reported before. graph is held.
//
//go:norace
func (r *request) firstTime(kind string, a, b, c uint64) bool {
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
