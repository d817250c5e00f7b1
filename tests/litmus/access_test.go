package litmus

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// A shape is a test of the machine only if each of its accesses is one
// machine instruction, without a fence.
func TestSharedAccessesAreSingleMoves(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skipf("the instructions are amd64's, this is %s", runtime.GOARCH)
	}
	bin := filepath.Join(t.TempDir(), "litmus.test") // go test strips the one that runs
	if out, err := exec.Command("go", "test", "-c", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, want := range map[string]string{
		"load":  `^MOVQ 0\(AX\), AX$`,
		"store": `^MOVQ BX, 0\(AX\)$`,
	} {
		out, err := exec.Command("go", "tool", "objdump", "-s", `^quiesce/tests/litmus\.`+name+`$`, bin).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var code []string
		for l := range strings.Lines(string(out)) {
			if f := strings.Fields(l); len(f) > 3 && f[0] != "TEXT" {
				code = append(code, strings.Join(f[3:], " "))
			}
		}
		// The move, and the return; what pads the function is never run.
		if len(code) < 2 || !regexp.MustCompile(want).MatchString(code[0]) || code[1] != "RET" {
			t.Errorf("%s is %q, want %s and RET", name, code, want)
		}
	}
}
