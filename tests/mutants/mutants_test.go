package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func every(t *testing.T) []mutant {
	t.Helper()
	ms, err := all()
	if err != nil || len(ms) == 0 {
		t.Fatalf("%d mutants, %v", len(ms), err)
	}
	return ms
}

// The list can't go stale: each text is in its function exactly once, and the
// change leaves a Go file.
func TestEveryMutantCanBeMade(t *testing.T) {
	for _, m := range every(t) {
		mutated, err := m.apply(read(t, m.File))
		if err != nil {
			t.Error(err)
			continue
		}
		if m.inAssembly() {
			continue // the assembler will say
		}
		if _, _, err := find(mutated, "file", "package "+filepath.Base(filepath.Dir(m.File))); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
}

func TestEveryMutantNamesItsGuaranteeAndTestsThatExist(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range every(t) {
		if seen[m.Name] || !regexp.MustCompile(`^[A-Za-z0-9-]+$`).MatchString(m.Name) {
			t.Errorf("%s: the name is there twice, or no name", m.Name)
		}
		seen[m.Name] = true
		if m.Breaks == "" || len(m.Breaks) > 80 {
			t.Errorf("%s: what it breaks has %d bytes, want 1 to 80", m.Name, len(m.Breaks))
		}
		files, err := filepath.Glob(filepath.Join(root, m.Killer.Pkg, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: no tests in %s (%v)", m.Name, m.Killer.Pkg, err)
		}
		tests := ""
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			tests += string(text)
		}
		for name := range strings.SplitSeq(m.Killer.Tests, "|") {
			if !strings.Contains(tests, "\nfunc "+name+"(") {
				t.Errorf("%s: %s has no test %s", m.Name, m.Killer.Pkg, name)
			}
		}
	}
	if n := len(every(t)); n < 25 {
		t.Errorf("%d mutants", n)
	}
}

func TestTextsAreComparedByToken(t *testing.T) {
	const text = `package p

func (c *cache[K, V]) work() {
	c.a.Store(1) // ord:a
	fault.Delay("a")
	if fault.Delays {
		fault.Delay("b")
	}
	c.b.Load() /* twice */; c.b.Load()
}

func other() { c.a.Store(1) }
`
	for _, tc := range []struct {
		in, before, after, want string // want: the changed line; or the error, with !
	}{
		{"cache.work", `c.a.Store( 1 )`, `x()`, "\tx() // ord:a\n"},
		{"cache.work", `c.a.Store(1) c.b.Load();`, `x()`, "{\n\tx() c.b.Load()\n}"},
		{"other", `c.a.Store(1)`, `x()`, "func other() { x() }"},
		{"file", `c.a.Store(1)`, `x()`, "!2 times"},
		{"cache.work", `c.b.Load()`, `x()`, "!2 times"},
		{"cache.work", `c.b.Store()`, `x()`, "!0 times"},
		{"cache.works", `c.b.Store()`, `x()`, "!no function"},
	} {
		m := mutant{Name: "m", In: tc.in, Edits: []edit{{Before: tc.before, After: tc.after}}}
		got, err := m.apply(text)
		if want, fails := strings.CutPrefix(tc.want, "!"); fails {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s in %s: error %v, want %q", tc.before, tc.in, err, want)
			}
		} else if err != nil || !strings.Contains(got, want) {
			t.Errorf("%s in %s: %v\n%s", tc.before, tc.in, err, got)
		}
	}
}

func TestJudgeTellsHowATestBinaryEnded(t *testing.T) {
	const run = "=== RUN   TestA\n=== RUN   TestA/sub\n"
	for _, tc := range []struct {
		name, out string
		passed    bool
		want      outcome
	}{
		{"passes", run + "--- PASS: TestA (0.00s)\nPASS\n", true, outcome{"passes", "TestA/sub", ""}},
		{"is skipped", run + "--- SKIP: TestA (0.00s)\nPASS\n", true, outcome{"is skipped", "TestA", ""}},
		{"fails", run + "    a_test.go:9: no such thing\n--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/sub (0.00s)\nFAIL\n", false, outcome{"fails", "TestA/sub", "no such thing"}},
		{"fails, a child's panic in its log", run + "    a_test.go:9: child:\n        panic: quiesce: x\n--- FAIL: TestA (0.00s)\n", false, outcome{"fails", "TestA", "child:"}},
		{"panics", run + "--- FAIL: TestA (0.00s)\npanic: quiesce/slab: double free [recovered, repanicked]\n", false, outcome{"dies", "TestA/sub", "quiesce/slab: double free"}},
		{"fatal", run + "fatal error: schedule: holding locks\n", false, outcome{"dies", "TestA/sub", "schedule: holding locks"}},
		{"hangs", run + "panic: test timed out after 5s\n", false, outcome{"hangs", "TestA/sub", ""}},
	} {
		got, err := judge(tc.out, tc.passed, false)
		if err != nil || got != tc.want {
			t.Errorf("%s: %+v, %v; want %+v", tc.name, got, err, tc.want)
		}
	}
	if _, err := judge("testing: warning: no tests to run\nPASS\n", true, false); err == nil {
		t.Error("no test ran, and no error")
	}
	if got, err := judge(run, false, true); err != nil || got.how != "hangs" {
		t.Errorf("ended by the runner: %+v, %v", got, err)
	}
}
