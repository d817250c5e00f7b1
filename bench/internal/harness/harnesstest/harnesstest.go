// Package harnesstest has what the tests of package harness's commands share.
package harnesstest

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"quiesce/bench/internal/harness"
)

// commandEnv tells a test binary that it is the command.
const commandEnv = "HARNESS_COMMAND=1"

// A Func is a command, or a child of one.
type Func func(args []string, out, errs io.Writer) int

// Main is TestMain of a command whose children have the first argument childArg:
// the test binary is its own child, as the command is, and the command of [Start].
func Main(m *testing.M, childArg string, child, command Func) {
	if len(os.Args) > 1 && os.Args[1] == childArg {
		os.Exit(child(os.Args[2:], os.Stdout, os.Stderr))
	}
	if name, value, _ := strings.Cut(commandEnv, "="); os.Getenv(name) == value {
		os.Exit(command(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// Start is the command as a process of its own, not started yet, with variables
// added to the environment.
func Start(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), commandEnv), env...)
	return cmd
}

// Run runs the command in a process of its own.
func Run(t *testing.T, env []string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := Start(env, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// BadUse checks that the arguments are refused, in one line that has want in it.
func BadUse(t *testing.T, command Func, want string, args ...string) {
	t.Helper()
	var out, errs bytes.Buffer
	status := command(args, &out, &errs)
	if status != harness.ExitUsage || out.Len() > 0 || strings.Count(errs.String(), "\n") != 1 ||
		!strings.Contains(errs.String(), want) || !strings.Contains(errs.String(), "-h") {
		t.Errorf("%q: status %d, %q, %q; want 2 and one line with %q", args, status, out.String(), errs.String(), want)
	}
}

// CommonBadUse checks that wrong uses of the flags that every command has are
// refused.
func CommonBadUse(t *testing.T, command Func) {
	t.Helper()
	BadUse(t, command, "-nonsense", "-nonsense")
	BadUse(t, command, "-run", "-run", "(")
	BadUse(t, command, "no such row", "-run", "nobody")
	BadUse(t, command, "at least 1", "-count", "0")
}

// Help checks that -h tells of every flag, in 80 columns, and returns the text.
func Help(t *testing.T, command Func, fs *flag.FlagSet) string {
	t.Helper()
	var out, errs bytes.Buffer
	if status := command([]string{"-h"}, &out, &errs); status != 0 || errs.Len() > 0 {
		t.Errorf("status %d, %q", status, errs.String())
	}
	fs.VisitAll(func(f *flag.Flag) {
		if !strings.Contains(out.String(), "\n  -"+f.Name) {
			t.Errorf("-h does not tell of -%s", f.Name)
		}
	})
	for line := range strings.Lines(out.String()) {
		if n := len(strings.TrimSuffix(line, "\n")); n > 80 { // bytes: help is plain ASCII
			t.Errorf("%d columns: %s", n, line)
		}
	}
	return out.String()
}

// Fits checks that no line has more than 80 columns.
func Fits(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// JSON decodes the one object that text has to be.
func JSON(t *testing.T, text string, report any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(report); err != nil || d.More() {
		t.Fatalf("%v in %s", err, text)
	}
}
