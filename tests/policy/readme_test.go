package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// between returns the text between two marks.
func between(t *testing.T, text, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, from)
	body, _, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatalf("no text between %q and %q", from, to)
	}
	return strings.TrimSpace(body)
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// README's ten lines are a function that go test compiles and runs.
func TestReadmesExampleIsCompiled(t *testing.T) {
	shown := between(t, read(t, "README.md"), "```go\n", "```")
	body := between(t, read(t, "cache/example_readme_test.go"), "func Example_readme() {\n", "\t// Output:")
	if compiled := strings.ReplaceAll(body, "\n\t", "\n"); shown != compiled {
		t.Errorf("README.md shows\n%s\n\nand cache/example_readme_test.go has\n%s", shown, compiled)
	}
}

// So are the guide's twenty lines of a structure of one's own.
func TestTheGuidesExampleIsCompiled(t *testing.T) {
	shown := between(t, read(t, "docs/guide/own-structure.md"), "```go\n", "```")
	_, compiled, ok := strings.Cut(read(t, "slab/example_test.go"), ")\n\n")
	if !ok || !strings.HasPrefix(strings.TrimSpace(compiled), shown) {
		t.Errorf("docs/guide/own-structure.md shows\n%s\n\nand slab/example_test.go has\n%s", shown, compiled)
	}
}

// Both of the newcomer's commands are there, and CI takes the second one from
// there.
func TestReadmeHasTheNewcomersCommands(t *testing.T) {
	readme := read(t, "README.md")
	if !strings.Contains(readme, "\ngo run ./cmd/quiesce demo\n") {
		t.Error("README.md lacks the command that runs the main job")
	}
	tests := 0
	for line := range strings.Lines(readme) {
		if strings.HasPrefix(line, "go test ") {
			tests++
		}
	}
	if tests != 1 {
		t.Errorf("README.md has %d lines that begin with go test; CI runs the one", tests)
	}
}
