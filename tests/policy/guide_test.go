package policy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block is a Go code block of a page.
type block struct {
	where string // page:line
	code  string
	given string // parameters of the function whose body it is
}

var givenMark = regexp.MustCompile(`^<!-- given:(.*) -->$`)

// goBlocks returns a page's Go code. The comment before a block that is no
// whole file,
//
//	<!-- given: m *rcuhash.Map[string, uint64] -->
//
// declares what the block uses: it is the body of a function with these
// parameters. A block without it has declarations.
func goBlocks(page, text string) (blocks []block) {
	var b *block
	given := ""
	for i, l := range strings.Split(text, "\n") {
		switch {
		case b != nil && l == "```":
			blocks, b, given = append(blocks, *b), nil, ""
		case b != nil:
			b.code += l + "\n"
		case l == "```go":
			b = &block{where: fmt.Sprintf("%s:%d", page, i+1), given: given}
		default:
			if m := givenMark.FindStringSubmatch(l); m != nil {
				given = "(" + m[1] + ")"
			} else if l != "" && !strings.HasPrefix(l, "<!--") {
				given = ""
			}
		}
	}
	return blocks
}

var packageUse = regexp.MustCompile(`\b([a-z]+)\.[A-Z]`)

// importable says what a fragment may import, by package name.
func importable(t *testing.T) map[string]string {
	paths := map[string]string{
		"atomic": "sync/atomic", "context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http",
		"log": "log", "os": "os", "slog": "log/slog", "sync": "sync", "testing": "testing", "time": "time", "unsafe": "unsafe",
	}
	for _, p := range publicPackages(t) {
		paths[filepath.Base(p)] = module + p
	}
	return paths
}

// source makes a file of a block.
func (b block) source(paths map[string]string) string {
	if strings.HasPrefix(b.code, "package ") || strings.Contains(b.code, "\npackage ") {
		return b.code
	}
	var out strings.Builder
	out.WriteString("package fragment\n\n")
	seen := map[string]bool{}
	for _, m := range packageUse.FindAllStringSubmatch(b.given+b.code, -1) {
		if path := paths[m[1]]; path != "" && !seen[m[1]] {
			seen[m[1]] = true
			fmt.Fprintf(&out, "import %q\n", path)
		}
	}
	if b.given != "" {
		fmt.Fprintf(&out, "\nfunc _%s {\n%s}\n", b.given, b.code)
	} else {
		out.WriteString("\n" + b.code)
	}
	return out.String()
}

// The code of the pages compiles, in a module of its own that depends on the
// library as a user's does, and vet has nothing to say about it.
func TestTheCodeOfThePagesCompiles(t *testing.T) {
	if testing.Short() {
		t.Skip("vets some twenty packages")
	}
	t.Parallel()
	dir, paths := t.TempDir(), importable(t)
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sys := regexp.MustCompile(`golang\.org/x/sys v\S+`).FindString(read(t, "go.mod"))
	write("go.mod", fmt.Sprintf("module example\n\ngo 1.26.0\n\nrequire (\n\t%s v0.0.0\n\t%s // indirect\n)\n\nreplace %s => %s\n",
		modulePath(), sys, modulePath(), abs))
	write("go.sum", read(t, "go.sum"))
	var where []string
	for _, page := range pages(t) {
		for _, b := range goBlocks(page, read(t, page)) {
			name := "code.go"
			if strings.Contains(b.code, "*testing.T)") {
				name = "code_test.go"
			}
			where = append(where, b.where)
			write(fmt.Sprintf("b%d/%s", len(where), name), b.source(paths))
		}
	}
	if len(where) < 10 {
		t.Fatalf("only %d blocks of Go code", len(where))
	}
	cmd := exec.Command("go", "vet", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		report := string(out)
		for i := len(where); i > 0; i-- {
			report = strings.ReplaceAll(report, fmt.Sprintf("b%d/", i), where[i-1]+" ")
		}
		t.Errorf("go vet: %v\n%s", err, report)
	}
}
