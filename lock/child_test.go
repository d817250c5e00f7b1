package lock

import (
	"os"
	"strings"
	"testing"
	"time"

	"quiesce/internal/testkit"
)

// What ends the process runs in a child.
func TestMain(m *testing.M) { testkit.Main(m, scenarios, time.Second) }

// child runs the scenario in a child, which lockdep's reports don't end.
func child(scenario string) (string, error) {
	// A collection would stop the holder of a lock, and wait for the pinned
	// goroutine that wants it. The first option of a name counts.
	return testkit.Child{Scenario: scenario, Env: []string{"GOMAXPROCS=4", "GOGC=off",
		"QUIESCE=panic_on_report=0," + os.Getenv("QUIESCE")}}.Output()
}

// reports runs the scenario in a child where lockdep is on, and expects that it
// lives and has one report, of the kind.
func reports(t *testing.T, scenario, kind string) {
	t.Helper()
	out, err := child(scenario)
	if err != nil {
		t.Errorf("%s: %v, want a report and no end\n%s", scenario, err, out)
	}
	if n := strings.Count(out, " ERROR "); n != 1 || !strings.Contains(out, kind) {
		t.Errorf("%s: %d reports, want one: %s\n%s", scenario, n, kind, out)
	}
}

// dies runs the scenario in a child and expects that it ends with every text.
func dies(t *testing.T, scenario string, texts ...string) {
	t.Helper()
	out, err := child(scenario)
	if err == nil {
		t.Errorf("%s: the process survived, want its end with %q\n%s", scenario, texts, out)
		return
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("%s: the process ended (%v) without %q in its output:\n%.1500s", scenario, err, text, out)
		}
	}
}
