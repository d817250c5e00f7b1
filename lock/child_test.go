package lock

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// What ends the process runs in a child: this test binary again, told by the
// environment which scenario to run.
const childEnv = "QUIESCE_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		scenarios[name]()
		time.Sleep(time.Second) // the runtime may be dying on another thread
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child runs the scenario in a child, which lockdep's reports don't end.
func child(t *testing.T, scenario string) (out []byte, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	// A collection would stop the holder of a lock, and wait for the pinned
	// goroutine that wants it.
	cmd.Env = append(os.Environ(), childEnv+"="+scenario, "GOMAXPROCS=4", "GOGC=off",
		"QUIESCE=panic_on_report=0,"+os.Getenv("QUIESCE")) // the first of a name counts
	return cmd.CombinedOutput()
}

// told runs the scenario in a child where lockdep is on, and expects that it
// lives and has one report, of the kind.
func told(t *testing.T, scenario, kind string) {
	t.Helper()
	out, err := child(t, scenario)
	if err != nil {
		t.Errorf("%s: %v, want a report and no end\n%s", scenario, err, out)
	}
	if n := strings.Count(string(out), " ERROR "); n != 1 || !strings.Contains(string(out), kind) {
		t.Errorf("%s: %d reports, want one: %s\n%s", scenario, n, kind, out)
	}
}

// dies runs the scenario in a child and expects that it ends with every text.
func dies(t *testing.T, scenario string, texts ...string) {
	t.Helper()
	out, err := child(t, scenario)
	if err == nil {
		t.Errorf("%s: the process survived, want its end with %q\n%s", scenario, texts, out)
		return
	}
	for _, text := range texts {
		if !strings.Contains(string(out), text) {
			t.Errorf("%s: the process ended (%v) without %q in its output:\n%.1500s", scenario, err, text, out)
		}
	}
}
