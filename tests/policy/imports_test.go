package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// module is the library's path with a slash, quoted the same as a pattern: the
// owner of a copy may have renamed it (make rename).
var (
	module = modulePath() + "/"
	quoted = regexp.QuoteMeta(module)
)

// modulePath is what go.mod says.
func modulePath() string {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		panic(err)
	}
	m := regexp.MustCompile(`(?m)^module (\S+)$`).FindSubmatch(text)
	if m == nil {
		panic("go.mod names no module")
	}
	return string(m[1])
}

// floor is the layer of a directory. Imports go down, never up: cmd, bench,
// contrib, tests → public packages → internal.
func floor(pkg string) int {
	first, _, _ := strings.Cut(pkg, "/")
	switch first {
	case "internal":
		return 0
	case "cmd", "bench", "contrib", "tests", "examples":
		return 2
	}
	return 1 // a public package
}

// tree is the directory of the upper floor that a package belongs to: two of
// them share only what lies below.
func tree(pkg string) string {
	if floor(pkg) < 2 {
		return ""
	}
	parts := strings.SplitN(pkg, "/", 3)
	if parts[0] == "cmd" || parts[0] == "contrib" {
		return strings.Join(parts[:min(2, len(parts))], "/")
	}
	return parts[0]
}

// mayImport is the rule, for packages of this module.
func mayImport(from, to string) bool {
	if floor(to) == 2 {
		return tree(from) == tree(to)
	}
	return floor(to) <= floor(from)
}

func TestImportsRunDownwardOnly(t *testing.T) {
	for _, f := range sources(t) {
		for _, i := range f.imports {
			local := strings.TrimPrefix(i, module)
			if local != i && !mayImport(f.pkg, local) {
				t.Errorf("%s imports %s: cmd, bench, contrib, tests → public packages → internal, and never back", f.path, i)
			}
			if local == testkitPackage && !f.test {
				t.Errorf("%s imports %s, which is for tests", f.path, i)
			}
		}
	}
}

func TestTheLibraryNeedsXSysAlone(t *testing.T) {
	for _, f := range sources(t) {
		for _, i := range f.imports {
			first, _, _ := strings.Cut(i, "/")
			switch {
			case i+"/" == module || strings.HasPrefix(i, module):
			case i == "C" && f.path != "tests/leaves/callback_cgo.go": // calls from C are its subject
				t.Errorf("%s uses cgo", f.path)
			case !f.nested && !f.test && strings.Contains(first, ".") && !(f.pkg == sysPackage && isSysPackage(i)):
				t.Errorf("%s imports %s: the library has x/sys, in %s, and nothing else", f.path, i, sysPackage)
			}
		}
	}
}

func TestTheRuleOfImports(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"slab", "rcu", true},
		{"slab", "internal/sys", true},
		{"internal/percpu", "internal/sys", true},
		{"internal/percpu", "gfp", false},
		{"slab", "tests/litmus", false},
		{"cmd/quiesce", "cmd/quiesce/internal/demo", true},
		{"cmd/quiesce/internal/demo", "slab", true},
		{"cmd/quiesced", "cmd/quiesce/internal/demo", false},
		{"tests/policy", "bench/maps", false},
	} {
		if got := mayImport(c.from, c.to); got != c.want {
			t.Errorf("may %s import %s: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}
