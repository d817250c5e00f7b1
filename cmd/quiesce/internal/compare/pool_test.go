package compare

import (
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quiesce/page"
)

// Pages are handed out once each, and all of them merge again.
func TestPoolSplitsAndMerges(t *testing.T) {
	in := start(t, "rawlocks", Config{})
	p := in.e.(*batcher).src.(rawlocks).pool
	p.lock.LockIRQ()
	rng := rand.New(rand.NewPCG(1, 2))
	held := map[*array]bool{}
	for range 20_000 {
		if rng.IntN(2) == 0 {
			a := p.takeLocked()
			if a == nil {
				if p.left != 0 {
					t.Fatalf("nil with %d pages left", p.left)
				}
				continue
			}
			if held[a] || a.addr()%page.Size != 0 {
				t.Fatalf("page %p handed out twice, or not a page", a)
			}
			held[a] = true
		} else {
			for a := range held {
				delete(held, a)
				p.putLocked(a)
				break
			}
		}
		if p.left+len(held) != blockPages {
			t.Fatalf("%d left and %d held of %d", p.left, len(held), blockPages)
		}
	}
	for a := range held {
		p.putLocked(a)
	}
	if n := len(p.free[page.MaxOrder]); n != 1 {
		t.Errorf("%d whole blocks at the end, want 1", n)
	}
	p.lock.UnlockIRQ()
	end(t, in)
}

// The pool grows from a clean context.
func TestPoolsGrow(t *testing.T) {
	for _, name := range []string{"rawlocks", "trylock"} {
		in := start(t, name, Config{Depot: 1 << 30})
		objs := fill(t, in, 3*blockPages*arrayCap/2)
		freeAll(in.newCaller(Raw), objs, nil)
		in.Barrier()
		if c := in.Counts(); c.Reclaimed != uint64(len(objs)) {
			t.Errorf("%s: %+v", name, c)
		}
		end(t, in)
	}
}

// Conversions names the sleeping locks of page and slab, all of them.
func TestConversionsAreTheAllocatorsLocks(t *testing.T) {
	var found []string
	for _, pkg := range []string{"page", "slab"} {
		files, err := filepath.Glob("../../../../" + pkg + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatal("no sources of", pkg)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			syntax, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(syntax, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				s, ok := spec.Type.(*ast.StructType)
				if !ok {
					return true
				}
				for _, field := range s.Fields.List {
					sel, ok := field.Type.(*ast.SelectorExpr)
					if !ok {
						continue
					}
					x, _ := sel.X.(*ast.Ident)
					if x == nil || x.Name != "lock" || sel.Sel.Name == "Raw" {
						continue
					}
					for _, name := range field.Names {
						found = append(found, pkg+"."+spec.Name.Name+"."+name.Name+" lock."+sel.Sel.Name)
					}
				}
				return true
			})
		}
	}
	var want []string
	for _, c := range Conversions {
		want = append(want, c.Lock+" "+c.Kind)
	}
	slices.Sort(found)
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("the sources have\n%s\nand Conversions\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
}
