package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Files before, and what becomes of them.
var files = map[string][2]string{
	"go.mod":             {"module quiesce\n\ngo 1.26.0\n", "module example.org/you/q\n\ngo 1.26.0\n"},
	"cmd/quiesce/go.mod": {"module quiesce/cmd/quiesce\n\nrequire quiesce v0.0.0\n\nreplace quiesce => ../..\n", "module example.org/you/q/cmd/quiesce\n\nrequire example.org/you/q v0.0.0\n\nreplace example.org/you/q => ../..\n"},
	"rcu/rcu.go": {
		"package rcu\n\nimport \"quiesce/internal/sys\"\n\n// See quiesce/rcu.ReadLock.\nfunc f() { panic(\"quiesce/rcu: bad\") }\n",
		"package rcu\n\nimport \"example.org/you/q/internal/sys\"\n\n// See example.org/you/q/rcu.ReadLock.\nfunc f() { panic(\"quiesce/rcu: bad\") }\n",
	},
	"internal/sys/sys.go":   {"package sys\n", "package sys\n"},
	"cmd/quiesce/main.go":   {"package main\n\nimport (\n\t_ \"quiesce/cmd/quiesce/internal/demo\"\n\t_ \"quiesce/rcu\"\n)\n", "package main\n\nimport (\n\t_ \"example.org/you/q/cmd/quiesce/internal/demo\"\n\t_ \"example.org/you/q/rcu\"\n)\n"},
	"cmd/quiesce/paths.go":  {"package main\n\nvar p = []string{\"cmd/quiesce/internal/demo\", \"./cmd/quiesce\", `\"quiesce/rcu\"\\n\"quiesce/internal/sys\"`}\n", "package main\n\nvar p = []string{\"cmd/quiesce/internal/demo\", \"./cmd/quiesce\", `\"example.org/you/q/rcu\"\\n\"example.org/you/q/internal/sys\"`}\n"},
	"README.md":             {"# Quiesce\n\n## Install\n\nThe module has no home.\n\n## Use\n\n`go doc quiesce/rcu`\n", "# Quiesce\n\n## Install\n\n```sh\ngo get example.org/you/q\n```\n\n## Use\n\n`go doc example.org/you/q/rcu`\n"},
	"rcu/testdata/seed.txt": {"quiesce/rcu\n", "quiesce/rcu\n"},
	"cmd/quiesce/internal/demo/demo.go": {
		"package demo\n", "package demo\n",
	},
}

func TestRename(t *testing.T) {
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text[0]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		to   string
		want int // index into a file's texts; -1: not compared
	}{{"example.org/you/q", 1}, {"example.net/z", -1}, {"example.org/you/q", 1}} {
		if n, err := rename(root, step.to); err != nil || n == 0 {
			t.Fatalf("rename to %s: %d files, %v", step.to, n, err)
		}
		for name, text := range files {
			got, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			if step.want >= 0 && string(got) != text[step.want] {
				t.Errorf("%s after rename to %s:\n%s\nwant\n%s", name, step.to, got, text[step.want])
			}
		}
	}
}

func TestRenameRefuses(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "go.mod"), []byte("module quiesce\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"", "quiesce", "two words", "/abs", "a//b", "trailing/"} {
		if _, err := rename(root, to); err == nil {
			t.Errorf("rename to %q was done", to)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("rename to %q: %v", to, err)
		}
	}
}
