package preempt

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Some rules are enforced by the end of the process. Such a scenario runs in
// a child: this test binary again, told by the environment which one to run.
const childEnv = "QUIESCE_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		scenarios[name]()
		time.Sleep(time.Second) // the runtime may be dying on another thread
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// dies runs the scenario in a child and expects that it ends with the text.
func dies(t *testing.T, scenario, text string) {
	t.Helper()
	out, err := child(scenario)
	// Once in a while the runtime fails a second time over its own message, on
	// the scheduler's stack, and says nothing but this.
	for try := 0; try < 2 && bytes.Contains(out, []byte("fatal error: fatal error:")); try++ {
		out, err = child(scenario)
	}
	if err == nil {
		t.Errorf("%s: the process survived, want its end with %q\n%s", scenario, text, out)
	} else if !strings.Contains(string(out), text) {
		t.Errorf("%s: the process ended (%v) without %q in its output:\n%.1500s", scenario, err, text, out)
	}
}

func child(scenario string) (out []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+scenario, "GOMAXPROCS=4")
	return cmd.CombinedOutput()
}
