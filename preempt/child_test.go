package preempt

import (
	"strings"
	"testing"
	"time"

	"quiesce/internal/testkit"
)

// Some rules are enforced by the end of the process. Such a scenario runs in
// a child.
func TestMain(m *testing.M) { testkit.Main(m, scenarios, time.Second) }

// dies runs the scenario in a child and expects that it ends with the text.
//
// The runtime dies on the scheduler's stack, and at times not cleanly: it fails
// a second time over its own message, prints half of it, or never ends. That is
// so with any program that blocks while pinned, without this library as well. So
// a child is given little time and five tries; none of them may survive.
func dies(t *testing.T, scenario, text string) {
	t.Helper()
	var out string
	var err error
	for range 5 {
		if out, err = child(scenario); err == nil {
			t.Errorf("%s: the process survived, want its end with %q\n%s", scenario, text, out)
			return
		}
		if strings.Contains(out, text) {
			return
		}
	}
	t.Errorf("%s: the process ended (%v) without %q in its output:\n%.1500s", scenario, err, text, out)
}

func child(scenario string) (string, error) {
	return testkit.Child{Scenario: scenario, Env: []string{"GOMAXPROCS=4"}, Timeout: 5 * time.Second}.Output()
}
