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
func dies(t *testing.T, scenario, text string) {
	t.Helper()
	out, err := child(scenario)
	// Once in a while the runtime fails a second time over its own message, on
	// the scheduler's stack, and says nothing but this.
	for try := 0; try < 2 && strings.Contains(out, "fatal error: fatal error:"); try++ {
		out, err = child(scenario)
	}
	if err == nil {
		t.Errorf("%s: the process survived, want its end with %q\n%s", scenario, text, out)
	} else if !strings.Contains(out, text) {
		t.Errorf("%s: the process ended (%v) without %q in its output:\n%.1500s", scenario, err, text, out)
	}
}

func child(scenario string) (string, error) {
	return testkit.Child{Scenario: scenario, Env: []string{"GOMAXPROCS=4"}}.Output()
}
