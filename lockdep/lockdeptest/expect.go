package lockdeptest

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"quiesce/internal/depcheck"
	"quiesce/lockdep"
)

// met are the tests that had their reports, for a second run of them.
var met = struct {
	sync.Mutex
	tests map[string]bool
}{tests: map[string]bool{}}

// Expect runs f, which breaks rules on purpose. Where lockdep is on, the test
// fails unless what is reported meanwhile is what is wanted: kinds, or where
// the classes matter "kind: class, ...", the first ones, as often as given and
// in any order. lockdep reports each fault once, so a wanted report may be
// missing if the test was run before. Where lockdep is off f is run and nothing else.
//
// Reports about goroutines that f does not know of count too: tests that run in
// parallel must not use it.
func Expect(t testing.TB, f func(), want ...string) {
	t.Helper()
	if !lockdep.Enabled() {
		f()
		return
	}
	var mu sync.Mutex
	var got []*lockdep.Report
	restore := lockdep.SetReporter(func(r *lockdep.Report) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r)
	})
	before := lockdep.ReadStats().Suppressed
	defer func() {
		depcheck.Left() // a report from a pinned section may still be on its way
		restore()
		again := lockdep.ReadStats().Suppressed - before
		mu.Lock()
		defer mu.Unlock()
		missing := slices.Clone(want)
		for _, r := range got {
			i := slices.IndexFunc(missing, func(w string) bool {
				return strings.HasPrefix(r.Kind+": "+strings.Join(r.Classes, ", "), w)
			})
			if i < 0 {
				t.Errorf("lockdep reports what is not expected here (%q):\n%s", want, r.Text)
				continue
			}
			missing = slices.Delete(missing, i, i+1)
		}
		met.Lock()
		defer met.Unlock()
		if len(missing) == 0 {
			met.tests[t.Name()] = true
		} else if again == 0 && !met.tests[t.Name()] {
			t.Errorf("lockdep did not report %q", missing)
		}
	}()
	f()
}
