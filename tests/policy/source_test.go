package policy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// root is the repository, seen from this package's directory.
const root = "../.."

// file is one Go source file, whatever its build constraints: the rules hold
// on every system.
type file struct {
	path    string // from the root, with slashes
	pkg     string // directory
	test    bool   // of tests only
	nested  bool   // belongs to a nested module
	lines   int
	syntax  *ast.File
	imports []string
}

// testkitPackage is a package that tests alone import.
const testkitPackage = "internal/testkit"

// sources parses every Go file of the repository.
func sources(t *testing.T) []file {
	t.Helper()
	fset := token.NewFileSet()
	var files []file
	nested := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if base := d.Name(); base == "testdata" || base == "vendor" || rel != "." && strings.HasPrefix(base, ".") {
				return filepath.SkipDir
			}
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			nested[rel] = rel != "." && (err == nil || nested[dir(rel)])
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasPrefix(d.Name(), "_") || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(fset, rel, text, parser.ParseComments)
		if err != nil {
			return err
		}
		f := file{
			path:   rel,
			pkg:    dir(rel),
			test:   strings.HasSuffix(rel, "_test.go") || dir(rel) == testkitPackage,
			nested: nested[dir(rel)],
			lines:  strings.Count(string(text), "\n"),
			syntax: syntax,
		}
		for _, i := range syntax.Imports {
			p, _ := strconv.Unquote(i.Path.Value)
			f.imports = append(f.imports, p)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("only %d Go files below %s", len(files), root)
	}
	return files
}

func dir(rel string) string { return filepath.ToSlash(filepath.Dir(rel)) }

// sysPackage has every linkname and every system call.
const sysPackage = "internal/sys"

func isSysPackage(path string) bool {
	return path == "syscall" || path == "golang.org/x/sys" || strings.HasPrefix(path, "golang.org/x/sys/")
}

// unsafeAllowed says why each package may import unsafe.
var unsafeAllowed = map[string]string{
	"internal/pages":                "metadata and bitmaps out of line, found by address arithmetic",
	"internal/sys":                  "linkname; mapped memory has no other type",
	"internal/race":                 "the race detector goes by addresses; memory for pages",
	"internal/percpu":               "slots lie in reserved address space",
	"page":                          "hands out memory",
	"rcu":                           "leaves find the state of the Ps by address",
	"slab":                          "hands out objects in pages; metadata by address arithmetic",
	"internal/depcheck":             "addresses of locks, for reports",
	"rcuhash":                       "buckets and nodes lie in off-heap memory",
	"internal/nodes":                "nodes of a map, by address",
	"cache":                         "its own data lies in front of the nodes of a map",
	"cmd/quiesce/internal/demo":     "holds pages, which are unsafe.Pointers",
	"cmd/quiesce/internal/compare":  "arrays lie in pages, objects are chained by addresses",
	"cmd/quiesce/internal/locktest": "holds pages, which are unsafe.Pointers",
	"cmd/quiesce/internal/scale":    "objects of different sizes in one table, allocated by size",
	"cmd/quiesce/internal/predict":  "holds pages, which are unsafe.Pointers",
	"cmd/quiesce/internal/torture":  "stamps objects of different sizes word by word",
	"contrib/fastcache":             "keys are strings for the length of a call",
	"cmd/quiesced/internal/item":    "keys in a connection's buffer are strings for the length of a call",
}

func TestUnsafeStandsOnlyWhereItIsAllowed(t *testing.T) {
	for _, f := range sources(t) {
		for _, i := range f.imports {
			if i == "unsafe" && !f.test && unsafeAllowed[f.pkg] == "" {
				t.Errorf("%s imports unsafe: find another way, or put the reason into the table of this test", f.path)
			}
		}
	}
}

func TestLinknameStandsOnlyInSys(t *testing.T) {
	for _, f := range sources(t) {
		for _, g := range f.syntax.Comments {
			for _, c := range g.List {
				if strings.HasPrefix(c.Text, "//go:linkname ") && f.pkg != sysPackage {
					t.Errorf("%s: %s", f.path, c.Text)
				}
			}
		}
	}
}

func TestSystemCallsStandOnlyInSys(t *testing.T) {
	for _, f := range sources(t) {
		for _, i := range f.imports {
			if isSysPackage(i) && f.pkg != sysPackage && !f.test && !f.nested {
				t.Errorf("%s imports %s", f.path, i)
			}
		}
	}
}

func TestEveryPackageHasADocComment(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		has := f.syntax.Doc != nil && strings.TrimSpace(f.syntax.Doc.Text()) != ""
		documented[f.pkg] = documented[f.pkg] || has
	}
	for _, pkg := range sorted(documented) {
		if !documented[pkg] {
			t.Errorf("package %s has no doc comment", pkg)
		}
	}
}

// Files aim at 400 lines.
const maxLines = 700

func TestNoFileIsTooLong(t *testing.T) {
	for _, f := range sources(t) {
		if f.lines > maxLines {
			t.Errorf("%s has %d lines, more than %d", f.path, f.lines, maxLines)
		}
	}
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// The library's go.mod requires x/sys and no more, so that a program that imports
// it inherits nothing else. Commands and benchmarks have modules of their own.
func TestGoModRequiresOnlySys(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	block := ""
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "//")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
			continue
		case words[0] == ")":
			block = ""
			continue
		case block != "":
			words = append([]string{block}, words...)
		case len(words) > 1 && words[1] == "(":
			block = words[0]
			continue
		}
		switch words[0] {
		case "module", "go", "toolchain":
		case "require":
			if words[1] != "golang.org/x/sys" {
				t.Errorf("go.mod requires %s", words[1])
			}
		default:
			t.Errorf("go.mod: %s", strings.Join(words, " "))
		}
	}
}
