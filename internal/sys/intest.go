package sys

import (
	"os"
	"runtime/debug"
	"strings"
)

// InTest reports whether the program is a test binary: its build information,
// its name or its flags say so. Package testing would answer for certain, but
// importing it would give every program its flags. Immutable.
var InTest = inTest(builtFrom(), os.Args)

// builtFrom returns the path of the program's main package, if the linker noted
// it. That of a test binary ends in .test, whatever its file is called.
func builtFrom() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Path
	}
	return ""
}

func inTest(path string, args []string) bool {
	if strings.HasSuffix(path, ".test") {
		return true
	}
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
