package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// library returns the functions of the library's package in dir, by name, with
// their doc comments.
func library(t *testing.T, pkg string) map[string]*ast.FuncDecl {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "..", strings.TrimPrefix(pkg, Module+"/"))
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*ast.FuncDecl{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			d, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := pkg + "."
			if d.Recv != nil {
				name += receiver(d.Recv.List[0].Type) + "."
			}
			all[name+d.Name.Name] = d
		}
	}
	return all
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// The names in the tables are those of functions that exist. Package srcu counts
// once it is there.
func TestTheTablesNameFunctionsOfTheLibrary(t *testing.T) {
	names := append([]string{ReaderUnlock}, append(RawLock, RawUnlock...)...)
	for name := range NewTable(nil) {
		names = append(names, name)
	}
	packages := map[string]map[string]*ast.FuncDecl{}
	n := 0
	for _, name := range names {
		if !Local(name) {
			continue
		}
		slash := strings.LastIndex(name, "/")
		pkg := name[:slash+strings.Index(name[slash:], ".")]
		if _, err := os.Stat(filepath.Join("..", "..", "..", "..", strings.TrimPrefix(pkg, Module+"/"))); err != nil && pkg == Srcu {
			continue
		}
		if packages[pkg] == nil {
			packages[pkg] = library(t, pkg)
		}
		if packages[pkg][name] == nil {
			t.Errorf("there is no %s", name)
		}
		n++
	}
	if n < 40 {
		t.Errorf("only %d names", n)
	}
}

func TestEffectsOfDocComments(t *testing.T) {
	rcu, slab := library(t, Rcu), library(t, Slab)
	for name, want := range map[*ast.FuncDecl]string{
		rcu[Rcu+".Synchronize"]:       "blocks waits",
		rcu[Rcu+".NewReader"]:         "blocks",
		rcu[Rcu+".ReadLock"]:          "",
		rcu[Rcu+".Batch.Close"]:       "blocks waits",
		slab[Slab+".Cache.Alloc"]:     "",
		slab[Slab+".Cache.FreeRCU"]:   "",
		slab[Slab+".KfreeRCUBarrier"]: "blocks waits",
	} {
		e := FromDoc(name.Doc)
		got := ""
		if e.Blocks != "" {
			got = "blocks"
		}
		if e.Waits != "" {
			got += " waits"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name.Name.Name, got, want)
		}
	}
}

func TestFlagsAreThoseOfPackageGfp(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "gfp", "gfp.go"))
	if err != nil {
		t.Fatal(err)
	}
	// mayWait is bit 0 and NoLocks bit 2, in the order of the constants.
	wait, reserve, locks := strings.Index(string(text), "\tmayWait Flags = 1 << iota\n"), strings.Index(string(text), "\tmayReserve\n"), strings.Index(string(text), "\tNoLocks\n")
	if wait < 0 || reserve < wait || locks < reserve || !MaySleep(1) || MaySleep(1|4) || MaySleep(2) || MayLock(4) || !MayLock(0) {
		t.Error("the bits of gfp.Flags are others")
	}
}

func TestConfigurationsThatAreWrongAreRefused(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"sources": [{"name": "x", "lend": ["example.org/p.With"]}]}`:                                      true,
		`{"sources": [{"name": "x", "begin": ["p.Begin"], "end": ["p.T.End"], "values": [0], "token": 1}]}`: true,
		`{"sources": [{"lend": ["p.With"]}]}`:                                                               false, // no name
		`{"sources": [{"name": "x"}]}`:                                                                      false, // nothing begins it
		`{"sources": [{"name": "x", "begin": ["p.Begin"]}]}`:                                                false, // nothing ends it
		`{"sources": [{"name": "x", "lend": ["(*p.T).With"]}]}`:                                             false, // another form
		`{"sources": [{"name": "x", "lend": ["With"]}]}`:                                                    false, // no package
		`{"sources": [{"name": "x", "lends": ["p.With"]}]}`:                                                 false, // no such key
		`{"sources": [{"name": "x", "begin": ["p.B"], "end": ["p.E"], "token": -1}]}`:                       false,
	} {
		if _, err := ParseConfig(strings.NewReader(text)); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
