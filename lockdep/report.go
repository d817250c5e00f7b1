package lockdep

import "quiesce/internal/depcheck"

// The kinds of reports, as their first lines have them.
const (
	InvalidWaitContext = depcheck.InvalidWaitContext
	Circular           = depcheck.Circular
	Recursion          = depcheck.Recursion
	InconsistentState  = depcheck.InconsistentState
	IrqInversion       = depcheck.IrqInversion
	UnsafeOrder        = depcheck.UnsafeOrder
	UnlockBalance      = depcheck.UnlockBalance
	HeldLockInit       = depcheck.HeldLockInit
	Sleeping           = depcheck.Sleeping
	SuspiciousRCU      = depcheck.SuspiciousRCU
	StillHeld          = depcheck.StillHeld
	TableFull          = depcheck.TableFull
)

// Report is one fault that lockdep found.
type Report struct {
	Kind      string   // one of the constants of this package
	Text      string   // the whole report, many lines, in the kernel's words
	Goroutine uint64   // the goroutine at fault, by its number in Go's traces
	Classes   []string // the lock classes involved; a circle in its order, from the lock wanted
}

// SetReporter makes lockdep call fn with every report until restore is called.
// Without it a report is one record of slog's default logger, at level ERROR. fn
// runs on the goroutine at fault, or on a goroutine of its own where that one is
// pinned. It may block and take locks, and several goroutines may call it at
// once.
func SetReporter(fn func(*Report)) (restore func()) {
	return depcheck.SetReporter(func(r *depcheck.Report) {
		fn(&Report{Kind: r.Kind, Text: r.Text, Goroutine: r.Goroutine, Classes: r.Classes})
	})
}
