package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quiesce/cmd/quiescevet/internal/checks"
)

func TestUsageNamesEveryCheckAndFits(t *testing.T) {
	text := usage()
	for _, a := range checks.All(nil) {
		if !strings.Contains(text, "\n  "+a.Name+" ") {
			t.Errorf("-h does not name %s", a.Name)
		}
	}
	for line := range strings.Lines(text) {
		if len([]rune(line)) > 81 {
			t.Errorf("more than 80 columns: %s", line)
		}
	}
}

// doc.go and the guide say of each check what it finds.
func TestEveryCheckIsDocumented(t *testing.T) {
	for _, name := range []string{"doc.go", filepath.Join("..", "..", "docs", "guide", "vet.md")} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range checks.All(nil) {
			if !strings.Contains(string(text), "// "+a.Name+" finds") && !strings.Contains(string(text), "| `"+a.Name+"` |") {
				t.Errorf("%s does not describe %s", name, a.Name)
			}
		}
	}
}

// go vet keeps results by what -V=full prints: a configuration is part of it.
func TestTheIdentityDependsOnTheConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	seen := map[string]bool{}
	for _, text := range []string{"", `{"sources": []}`, `{}`} {
		if text != "" {
			if err := os.WriteFile("quiescevet.json", []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		id, err := identity()
		if err != nil {
			t.Fatal(err)
		}
		if seen[id] {
			t.Errorf("the same identity with %q", text)
		}
		seen[id] = true
	}
}
