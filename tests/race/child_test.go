package race_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"quiesce/internal/race"
	"quiesce/internal/testkit"
)

// Every scenario runs in a process of its own that was built with -race.

type scenario struct {
	name   string
	run    func()
	procs  int      // GOMAXPROCS; 0: both 1 and 4
	frames []string // what a report must have; none: there must be no report
}

func all() []scenario { return slices.Concat(correct, wrong, own) }

func TestScenariosHaveDifferentNames(t *testing.T) {
	names := map[string]bool{}
	for _, s := range all() {
		if names[s.name] {
			t.Errorf("two scenarios are called %q", s.name)
		}
		names[s.name] = true
	}
}

func TestMain(m *testing.M) {
	scenarios := map[string]func(){}
	for _, s := range all() {
		scenarios[s.name] = s.run
	}
	testkit.Main(m, scenarios, 0)
}

// run returns what the detector wrote in a scenario.
func run(t *testing.T, scenario, gorace string, procs int) string {
	t.Helper()
	out, err := testkit.Child{Scenario: scenario, Binary: testkit.RaceBinary(t), Timeout: time.Minute,
		Env: []string{"GORACE=atexit_sleep_ms=10 " + gorace, fmt.Sprint("GOMAXPROCS=", procs), awhileEnv + "=" + turn()}}.Output()
	if err != nil && (errors.Is(err, context.DeadlineExceeded) || !strings.Contains(out, "DATA RACE")) {
		t.Fatalf("%s: %v\n%s", scenario, err, out)
	}
	return out
}

// turn is the time of a scenario. go test -race, which .ci/run calls too, gives
// each more.
func turn() string {
	if race.Enabled || testkit.Long() {
		return "300ms"
	}
	return "100ms"
}

func check(t *testing.T, list []scenario) {
	for _, s := range list {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel() // a process of its own
			for _, procs := range []int{1, 4} {
				if s.procs != 0 && s.procs != procs {
					continue
				}
				out := run(t, s.name, "halt_on_error=1 history_size=7", procs)
				if strings.Contains(out, "DATA RACE") != (s.frames != nil) {
					t.Errorf("GOMAXPROCS=%d: want a report: %v\n%s", procs, s.frames != nil, out)
					continue
				}
				for _, f := range s.frames {
					if !strings.Contains(out, f) {
						t.Errorf("GOMAXPROCS=%d: the report lacks %s:\n%s", procs, f, out)
					}
				}
			}
		})
	}
}
