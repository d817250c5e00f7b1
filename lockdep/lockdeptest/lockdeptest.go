// Package lockdeptest turns lockdep's reports, and missing ones, into test
// failures.
package lockdeptest

import (
	"sync"
	"testing"

	"quiesce/lockdep"
)

// Check enables lockdep and fails the test for every report until the test and
// its subtests have ended, whichever goroutine it is about, and for goroutines
// that ended while they held a lock or, with -tags lockdep, a guard. A report that
// a table is full is only logged. Tests that run in parallel share lockdep: let
// one of them call Check, or call [lockdep.SetReporter] in TestMain.
func Check(t testing.TB) {
	t.Helper()
	lockdep.Enable()
	var mu sync.Mutex
	ended := false
	restore := lockdep.SetReporter(func(r *lockdep.Report) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case ended:
			return // t must not be used after its test
		case r.Kind == lockdep.TableFull:
			t.Log(r.Text)
		default:
			t.Error(r.Text)
		}
	})
	t.Cleanup(func() {
		lockdep.CheckExited()
		restore()
		mu.Lock()
		ended = true
		mu.Unlock()
	})
}
