package sys

import (
	"os"
	"strings"
)

// InTest reports whether the program is a test binary: go test names it so, or
// passes it flags that only test binaries have. Package testing would answer
// for certain, but importing it would give every program its flags. Immutable.
var InTest = inTest(os.Args)

func inTest(args []string) bool {
	if len(args) == 0 {
		return false
	}
	if strings.HasSuffix(args[0], ".test") || strings.HasSuffix(args[0], ".test.exe") {
		return true
	}
	for _, a := range args[1:] {
		if strings.HasPrefix(strings.TrimLeft(a, "-"), "test.") && strings.HasPrefix(a, "-") {
			return true
		}
	}
	return false
}
