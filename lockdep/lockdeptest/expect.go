package lockdeptest

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"quiesce/internal/depcheck"
	"quiesce/internal/sys"
	"quiesce/lockdep"
)

// met are the tests that had their reports, in case they run a second time.
var met = struct {
	sync.Mutex
	tests map[string]bool
}{tests: map[string]bool{}}

// onItsWay is how long Expect waits for reports that were made, in ns: the machine
// may stall.
const onItsWay = 30_000_000_000

// Expect runs f, which breaks rules on purpose. If lockdep is on, the test fails
// unless the reports during f are those in want, in any order. Each is a kind or,
// where the classes matter, "kind: class, …" with the first ones. lockdep reports
// each fault once, so a report may be missing if the test ran before. If lockdep
// is off, Expect only runs f.
//
// Reports about other goroutines count too: tests that run in parallel must not
// use Expect.
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
	before := lockdep.ReadStats()
	defer func() {
		depcheck.Left()
		arrived := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return uint64(len(got)) >= lockdep.ReadStats().Reports-before.Reports
		}
		// A report from a pinned section is counted there, and may still be on its way.
		for end := sys.Nanotime() + onItsWay; !arrived() && sys.Nanotime() < end; {
			sys.Sleep(100_000) // no Go timer: the test may be in a bubble
		}
		restore()
		again := lockdep.ReadStats().Suppressed - before.Suppressed
		mu.Lock()
		defer mu.Unlock()
		missing := slices.Clone(want)
		for _, r := range got {
			i := slices.IndexFunc(missing, func(w string) bool {
				return strings.HasPrefix(r.Kind+": "+strings.Join(r.Classes, ", "), w)
			})
			if i < 0 {
				t.Errorf("unexpected lockdep report (expected: %q):\n%s", want, r.Text)
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
