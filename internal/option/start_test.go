package option_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"quiesce/internal/testkit"
)

// A program with a bad option ends before main, with one line.
func TestABadOptionEndsTheProgram(t *testing.T) {
	if testkit.Scenario() != "" {
		t.Log("main was reached")
		return
	}
	for list, ok := range map[string]bool{"limit=64M": true, "limt=64M": false, "limit=lots": false} {
		out, err := testkit.OfTest(t, "1", "QUIESCE="+list).Output()
		if ok != (err == nil) || ok != strings.Contains(out, "main was reached") {
			t.Errorf("%s: %v\n%s", list, err, out)
		}
		var exit *exec.ExitError
		if !ok && (strings.Count(out, "\n") != 1 || !strings.Contains(out, list) || !errors.As(err, &exit) || exit.ExitCode() != 2) {
			t.Errorf("%s: %v and %q, want status 2 and one line", list, err, out)
		}
	}
}
