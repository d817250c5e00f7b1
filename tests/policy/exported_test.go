package policy

import (
	"go/ast"
	"go/build"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// publicPackages are the directories of the library's public packages.
func publicPackages(t *testing.T) (dirs []string) {
	t.Helper()
	for _, f := range sources(t) {
		if !f.test && !f.nested && f.pkg != "." && !strings.HasPrefix(f.pkg, "internal/") && !slices.Contains(dirs, f.pkg) {
			dirs = append(dirs, f.pkg)
		}
	}
	if len(dirs) < 8 {
		t.Fatalf("public packages: %v", dirs)
	}
	slices.Sort(dirs)
	return dirs
}

// exportedNames returns what go doc shows of a package in a plain build:
// pkg.Name, and pkg.Type.Method.
func exportedNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	pkg, err := build.Default.ImportDir(filepath.Join(root, dir), 0)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range append(pkg.GoFiles, pkg.CgoFiles...) {
		f, err := parser.ParseFile(fset, filepath.Join(root, dir, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(fset, files, module+dir)
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string) {
		if ast.IsExported(name[strings.LastIndex(name, ".")+1:]) {
			names = append(names, p.Name+"."+name)
		}
	}
	values := func(vs []*doc.Value) {
		for _, v := range vs {
			for _, n := range v.Names {
				add(n)
			}
		}
	}
	funcs := func(fs []*doc.Func) {
		for _, f := range fs {
			add(f.Name)
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs(p.Funcs)
	for _, typ := range p.Types {
		add(typ.Name)
		values(typ.Consts)
		values(typ.Vars)
		funcs(typ.Funcs)
		for _, m := range typ.Methods {
			if m.Name != "Error" && m.Name != "Unwrap" && m.Name != "Is" { // of errors: called by others
				add(typ.Name + "." + m.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// mentioned says which names users can read about: in code on a page, as
// pkg.Name, pkg.Type.Method or Type.Method, and in Examples, as pkg.Name or as
// a method's name in an Example of its package.
type mentioned struct {
	pages    map[string]bool            // dotted names
	examples map[string]map[string]bool // by package: selected names
}

var dotted = regexp.MustCompile(`\b[A-Za-z]+(?:\.[A-Z][A-Za-z0-9]*)+`)

func mentions(t *testing.T) mentioned {
	t.Helper()
	all := mentioned{pages: map[string]bool{}, examples: map[string]map[string]bool{}}
	for _, page := range pages(t) {
		if page != "README.md" && !strings.HasPrefix(page, "docs/guide/") {
			continue // not for users
		}
		for _, m := range dotted.FindAllString(read(t, page), -1) {
			all.pages[m] = true
			for i := len(m); i > 0; i = strings.LastIndex(m[:i], ".") {
				all.pages[m[:i]] = true // pkg.Type.Method mentions pkg.Type
			}
		}
	}
	for _, f := range sources(t) {
		if !strings.HasPrefix(filepath.Base(f.path), "example") || f.nested {
			continue
		}
		used := all.examples[f.pkg]
		if used == nil {
			used = map[string]bool{}
			all.examples[f.pkg] = used
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			used[s.Sel.Name] = true
			if x, ok := s.X.(*ast.Ident); ok {
				all.pages[x.Name+"."+s.Sel.Name] = true // pkg.Name, in any package's Example
			}
			return true
		})
	}
	return all
}

func (m mentioned) has(dir, name string) bool {
	_, short, _ := strings.Cut(name, ".")
	method := strings.Contains(short, ".")
	if m.pages[name] || method && m.pages[short] {
		return true
	}
	return method && m.examples[dir][short[strings.LastIndex(short, ".")+1:]]
}

// An exported name that no page and no Example mentions is one that users
// can't find, or one that is not meant for them.
func TestEveryExportedNameIsMentioned(t *testing.T) {
	m := mentions(t)
	for _, dir := range publicPackages(t) {
		for _, name := range exportedNames(t, dir) {
			if !m.has(dir, name) {
				t.Errorf("%s: no page and no Example mentions %s", dir, name)
			}
		}
	}
}
