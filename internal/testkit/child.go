package testkit

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// ChildEnv names the scenario that a child process runs. It is set in children
// only.
const ChildEnv = "QUIESCE_TEST_CHILD"

// execEnv has the command that runs a test binary where the system does not:
// the argument of go test's -exec.
const execEnv = "QUIESCE_TEST_EXEC"

// Emulated reports whether the tests run under an emulator of the processor.
func Emulated() bool { return os.Getenv(execEnv) != "" }

// Scenario returns the name of the scenario that this process runs, or "" if
// it is not a child.
func Scenario() string { return os.Getenv(ChildEnv) }

// Main runs the tests or, in a child, its scenario. It is the body of
// TestMain. A scenario that returns waits for so long before its process ends:
// the runtime may be ending the process on another thread.
func Main(m *testing.M, scenarios map[string]func(), wait time.Duration) {
	if name := Scenario(); name != "" {
		run := scenarios[name]
		if run == nil {
			fmt.Fprintf(os.Stderr, "testkit: no scenario %q\n", name)
			os.Exit(2)
		}
		run()
		time.Sleep(wait)
		os.Exit(0)
	}
	code := m.Run()
	removeRaceBinary()
	os.Exit(code)
}

// Child describes a process that runs a test binary again, with ChildEnv set.
type Child struct {
	Scenario string
	Binary   string // "": this test binary
	Args     []string
	Env      []string      // added to this process's environment; the last of a name counts
	Timeout  time.Duration // Output ends the child after it; 0: 30 s
	TestRun  bool          // reports end the child as they end a test run; otherwise it is a program that may break rules
}

// OfTest describes a child that runs the calling test, from its beginning if t
// is a subtest. The test finds Scenario set.
func OfTest(t testing.TB, scenario string, env ...string) Child {
	name, _, _ := strings.Cut(t.Name(), "/")
	return Child{Scenario: scenario, Env: env, Timeout: time.Minute + 10*time.Second,
		Args: []string{"-test.run=^" + name + "$", "-test.v", "-test.timeout=60s"}}
}

// Command returns the command that starts the child. Under an emulator, which
// QUIESCE_TEST_EXEC names, the child runs under it too.
func (c Child) Command(ctx context.Context) *exec.Cmd {
	args := append(strings.Fields(os.Getenv(execEnv)), os.Args[0])
	if c.Binary != "" {
		args[len(args)-1] = c.Binary
	}
	args = append(args, c.Args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(append(os.Environ(), ChildEnv+"="+c.Scenario), c.Env...)
	if options := lastOf(cmd.Env, "QUIESCE="); !c.TestRun && !strings.Contains(options, "panic_on_report=") {
		cmd.Env = append(cmd.Env, "QUIESCE="+strings.Join([]string{options, "panic_on_report=0"}, ","))
	}
	return cmd
}

// lastOf returns the rest of the last element that begins with prefix: the last
// of a name counts.
func lastOf(env []string, prefix string) (rest string) {
	for _, e := range env {
		if r, ok := strings.CutPrefix(e, prefix); ok {
			rest = r
		}
	}
	return rest
}

// Output runs the child and returns what it wrote. The error is not nil if the
// child failed or had to be ended.
func (c Child) Output() (string, error) {
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	out, err := c.Command(ctx).CombinedOutput()
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("the child did not end within %v: %w", c.Timeout, ctx.Err())
	}
	return string(out), err
}
