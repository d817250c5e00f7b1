package checks

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/contexts"
)

// root is the library's directory, whose packages the test data import.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^module ` + regexp.QuoteMeta(api.Module) + `$`)
	for {
		if text, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && line.Match(text) {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("the library is not above this directory")
		}
		dir = up
	}
}

// module copies the test data to a module that uses the library itself, by the
// path that it has, and stubs of bbolt and pebble.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	lib := root(t)
	copyTree(t, "testdata/src", dir)
	copyTree(t, "testdata/stubs", filepath.Join(dir, "stubs"))
	for _, stub := range []string{"bbolt", "pebble"} {
		mod, err := os.ReadFile(filepath.Join(dir, "stubs", stub, "mod.txt"))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "stubs", stub, "go.mod"), string(mod)+"\ngo 1.26.0\n")
	}
	libMod, err := os.ReadFile(filepath.Join(lib, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sys := regexp.MustCompile(`golang.org/x/sys v\S+`).FindString(string(libMod))
	sum, err := os.ReadFile(filepath.Join(lib, "go.sum"))
	if err != nil || sys == "" {
		t.Fatal("x/sys is not in go.mod and go.sum: ", err)
	}
	write(t, filepath.Join(dir, "go.sum"), string(sum))
	write(t, filepath.Join(dir, "go.mod"), `module vettest

go 1.26.0

require (
	`+api.Module+` v0.0.0
	go.etcd.io/bbolt v0.0.0
	github.com/cockroachdb/pebble v0.0.0
)

require `+sys+` // indirect

replace `+api.Module+` => `+lib+`

replace go.etcd.io/bbolt => ./stubs/bbolt

replace github.com/cockroachdb/pebble => ./stubs/pebble
`)
	if os.Getenv("QUIESCE_TEST_LONG") == "1" {
		realModules(t, dir)
	}
	return dir
}

// realModules has the test data use bbolt and pebble themselves: what the stubs say of
// them is true.
func realModules(t *testing.T, dir string) {
	t.Helper()
	for _, args := range [][]string{
		{"mod", "edit", "-dropreplace=go.etcd.io/bbolt", "-dropreplace=github.com/cockroachdb/pebble",
			"-require=go.etcd.io/bbolt@v1.5.0", "-require=github.com/cockroachdb/pebble@v1.1.5"},
		{"mod", "tidy"},
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o777)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		write(t, filepath.Join(to, rel), strings.ReplaceAll(string(text), `"quiesce/`, `"`+api.Module+"/"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// together is an analyzer that runs all checks, so that the packages that the
// test data import are parsed once.
func together(all []*analysis.Analyzer) *analysis.Analyzer {
	one := &analysis.Analyzer{Name: "quiescevet", Doc: "all checks"}
	seen := map[*analysis.Analyzer]bool{}
	for _, a := range all {
		for _, r := range a.Requires {
			if !seen[r] {
				seen[r] = true
				one.Requires = append(one.Requires, r)
			}
		}
	}
	one.Run = func(pass *analysis.Pass) (any, error) {
		for _, a := range all {
			if _, err := a.Run(pass); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	return one
}

// Every check finds what its test data say, and nothing else in them.
func TestChecks(t *testing.T) {
	dir := module(t)
	analysistest.RunWithSuggestedFixes(t, dir, together(All(nil)),
		"./unlock", "./borrow", "./closures", "./pinned", "./grace", "./nilalloc", "./gopointers",
		"./earlyfree", "./oneowner", "./bolt", "./pebble", "./ignore", "./custom")
	analysistest.Run(t, dir, contexts.Analyzer, "./pinned/lib")
}

// A check whose test data have no positive and no negative half proves little.
func TestEveryCheckHasBothKindsOfTestData(t *testing.T) {
	for _, a := range All(nil) {
		text, err := os.ReadFile(filepath.Join("testdata/src", a.Name, a.Name+".go"))
		if err != nil {
			t.Error(err)
			continue
		}
		wrong, right, ok := strings.Cut(string(text), "// From here on all is right.")
		if !ok || !strings.Contains(wrong, "// want `") || strings.Contains(right, "// want `") && a.Name != "unlock" || !strings.Contains(right, "func ") {
			t.Errorf("%s: no positive half, or no negative one", a.Name)
		}
	}
}
