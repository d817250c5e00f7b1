package policy

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"quiesce/internal/testkit"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// hooked are the files of fast paths that report to lockdep in builds with its
// tag.
var hooked = []string{"rcu/reader.go", "rcu/registered.go", "preempt/preempt.go", "slab/typed.go", "slab/hooks.go", "slab/pointer.go", "slab/kmalloc.go", "page/page.go"}

// hook is the beginning of a condition that a plain build compiles to false:
// lockdep's tag, or slab's constant that says whether allocations are
// reported.
var hook = regexp.MustCompile(`^(depcheck\.Tagged|hooked)\b`)

// hookless returns a file without the statements that such a condition guards,
// and how many those are.
func hookless(t *testing.T, path string) (text []byte, hooks int) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, filepath.Join(root, path), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	source := []byte(read(t, path))
	var cuts [][2]int
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.IfStmt); ok && hook.MatchString(exprText(source, fset, s.Cond)) {
			cuts = append(cuts, [2]int{fset.Position(s.Pos()).Offset, fset.Position(s.End()).Offset})
			return false
		}
		return true
	})
	for _, c := range slices.Backward(cuts) {
		source = slices.Delete(source, c[0], c[1])
	}
	if !bytes.Contains(source, []byte("depcheck.")) {
		source = bytes.Replace(source, []byte("\t\""+module+"internal/depcheck\"\n"), nil, 1)
	}
	if source, err = format.Source(source); err != nil {
		t.Fatalf("%s without its hooks: %v", path, err)
	}
	return source, len(cuts)
}

func exprText(source []byte, fset *token.FileSet, e ast.Expr) string {
	return string(source[fset.Position(e.Pos()).Offset:fset.Position(e.End()).Offset])
}

// place is what differs between two binaries that do the same: addresses, and
// positions in the source.
var place = regexp.MustCompile(`0x[0-9a-f]{4,}`)

// instructions are those of a function, without places.
func instructions(code []string) (out []string) {
	for _, line := range code {
		fields := strings.Split(line, "\t") // file:line, address, bytes, instruction
		if text := strings.TrimSpace(fields[len(fields)-1]); !strings.HasPrefix(text, "NOP") {
			out = append(out, place.ReplaceAllString(text, "ADDR"))
		}
	}
	return out
}

// The plain build pays nothing for what lockdep's tag adds to fast paths: it
// compiles to the instructions that it would have without the hooks.
func TestFastPathsAreTheSameWithoutLockdepsHooks(t *testing.T) {
	t.Parallel()
	texts := map[string][]byte{}
	for _, path := range hooked {
		text, hooks := hookless(t, path)
		if hooks == 0 {
			t.Errorf("%s has no hook of lockdep's", path)
		}
		texts[path] = text
	}
	with, without := functions(t, fastSymbols()), fastCode(t, texts)
	compared := 0
	for symbol, code := range with {
		a, b := instructions(code), instructions(without[symbol])
		if len(a) < 5 {
			continue // a name that has no code of its own
		}
		compared++
		if !slices.Equal(a, b) {
			t.Errorf("%s:\n%s\nand without hooks:\n%s", symbol, strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
		for _, instruction := range a {
			if strings.Contains(instruction, module+"internal/depcheck") {
				t.Errorf("%s: %s", symbol, instruction)
			}
		}
	}
	if compared < len(fastPaths) {
		t.Errorf("%d functions were compared, want the %d fast paths", compared, len(fastPaths))
	}
}

// The comparison can fail: a hook that is not constant is caught.
func TestAHookInAFastPathIsSeen(t *testing.T) {
	if !testkit.Long() {
		t.Skip("compiles the library once more")
	}
	t.Parallel()
	path, symbol := "rcu/reader.go", module+"rcu.(*Guard).unlock"
	text := strings.Replace(read(t, path), "if depcheck.Tagged &&", "if depcheck.Enabled() &&", 1)
	planted := fastCode(t, map[string][]byte{path: []byte(text)})[symbol]
	if len(planted) == 0 || slices.Equal(instructions(planted), instructions(functions(t, fastSymbols())[symbol])) {
		t.Errorf("%s is the same with a check of depcheck.Enabled:\n%s", symbol, strings.Join(planted, "\n"))
	}
}

// fastCode compiles the fast paths, some files with other texts.
func fastCode(t *testing.T, texts map[string][]byte) map[string][]string {
	t.Helper()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	dir := t.TempDir()
	for path, text := range texts {
		copied := filepath.Join(dir, strings.ReplaceAll(path, "/", "_"))
		if err := os.WriteFile(copied, text, 0o600); err != nil {
			t.Fatal(err)
		}
		abs, err := filepath.Abs(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		overlay.Replace[abs] = copied
	}
	config, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	configPath := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(configPath, config, 0o600); err != nil {
		t.Fatal(err)
	}
	return disassemble(t, testBinary(t, "-overlay", configPath), fastSymbols())
}
