// Package lockdeptest fails tests on lockdep's reports, and on those that are
// missing.
package lockdeptest

import (
	"sync"
	"testing"

	"quiesce/lockdep"
)

// Check enables lockdep and fails the test for every report from now until the
// test and its subtests have ended, whichever goroutine it is about, and for
// goroutines that ended while they held a lock or, with -tags lockdep, a guard.
// A report that a table is full is logged only. Tests that run in parallel
// share lockdep: let one of them call Check, or TestMain use SetReporter.
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
			return // t must not be used any more
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
