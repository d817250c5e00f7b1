package lockdep_test

import (
	"fmt"
	"strings"
	"testing"

	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/lockdep"
	"quiesce/preempt"
)

// wrongPrograms go on after their report, if it is up to them.
var wrongPrograms = map[string]struct {
	do   func()
	says string
}{
	"order inversion": {func() {
		a, b := name(new(lock.Mutex), "a"), name(new(lock.Mutex), "b")
		nest(a, b)
		nest(b, a)
	}, lockdep.Circular},
	"order inversion, recovered elsewhere": {func() {
		a, b := name(new(lock.Mutex), "a"), name(new(lock.Mutex), "b")
		nest(a, b)
		<-testkit.Async(func() {
			defer func() { _ = recover() }()
			nest(b, a)
		})
	}, lockdep.Circular},
	"sleeping while pinned": {func() {
		p := preempt.Disable()
		lockdep.MightSleep()
		p.Enable()
	}, lockdep.Sleeping},
}

func init() {
	for what, w := range wrongPrograms {
		run := func() {
			lockdep.Enable()
			w.do()
			fmt.Println("the program went on")
		}
		scenarios["wrong: "+what] = run
		scenarios["wrong, with a reporter: "+what] = func() {
			lockdep.SetReporter(func(*lockdep.Report) {})
			run()
		}
	}
}

// A test run with a report fails, whatever recovers panics and however pinned
// the goroutine is. With QUIESCE=panic_on_report=0 and with a reporter it is
// left alone.
func TestAReportFailsTheTestRun(t *testing.T) {
	run := func(scenario, options string) (out string, passes bool) {
		out, err := testkit.Child{Scenario: scenario, Env: []string{"QUIESCE=lockdep=1" + options}, TestRun: true}.Output()
		return out, err == nil
	}
	for what, w := range wrongPrograms {
		t.Run(what, func(t *testing.T) {
			for _, c := range []struct {
				scenario, options string
				passes, reports   bool
			}{
				{"wrong: ", "", false, true},
				{"wrong: ", ",panic_on_report=0", true, true},
				{"wrong, with a reporter: ", "", true, false},
			} {
				out, passes := run(c.scenario+what, c.options)
				if passes != c.passes || strings.Contains(out, w.says) != c.reports ||
					strings.Contains(out, "the program went on") != c.passes ||
					strings.Contains(out, "the report above ends this test run") == c.passes {
					t.Errorf("%s%s: passes %v\n%s", c.scenario, c.options, passes, out)
				}
			}
		})
	}
}
