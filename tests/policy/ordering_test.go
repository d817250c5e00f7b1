package policy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const orderingPage = root + "/docs/design/memory-ordering.md"

// ordered are the packages whose memory accesses docs/design/memory-ordering.md
// accounts for.
var ordered = map[string]bool{
	"internal/sys": true, "internal/percpu": true, "preempt": true, "lock": true,
	"rcu": true, "page": true, "slab": true, "rcuhash": true,
}

// racy are the fields that owners write by plain stores while others look.
var racy = map[string]bool{
	"Nest": true, "QS": true, "Lock": true, "Unlock": true, "Reader": true, // percpu.CPU
	"busy": true, "main": true, "rcu": true, "spare": true, "reserve": true, // slab.slot, page.pcp
}

// isAtomic names the operations of sync/atomic, functions and methods.
var isAtomic = regexp.MustCompile(`^(Load|Store|Add|Swap|CompareAndSwap|And|Or)(Int32|Int64|Uint32|Uint64|Uintptr|Pointer)?$`)

var tagList = regexp.MustCompile(`\bord:([a-z-]+(?:,[a-z-]+)*)`)

// tagged is what the code says: a tag's lines by function.
type tagged map[string]map[string]bool

// row is a row of the page's tables.
type row struct {
	tag   string
	names []string // functions that hold one of its ends
	shown string   // the last cell
}

func orderingRows(t *testing.T) map[string]row {
	t.Helper()
	text, err := os.ReadFile(orderingPage)
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`([a-z]+(?:\\.[A-Za-z]+){1,2})`")
	rows := map[string]row{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 {
			continue
		}
		tag := strings.TrimSpace(cells[1])
		if tag == "tag" || strings.HasPrefix(tag, "--") {
			continue
		}
		if _, twice := rows[tag]; twice {
			t.Errorf("the page has tag %s in two rows", tag)
		}
		r := row{tag: tag, shown: cells[len(cells)-2]}
		for _, m := range name.FindAllStringSubmatch(cells[2]+cells[3]+cells[4], -1) {
			r.names = append(r.names, m[1])
		}
		rows[tag] = r
	}
	if len(rows) < 20 {
		t.Fatalf("only %d tags on the page", len(rows))
	}
	return rows
}

// qualified is a function's name as the page writes it: slab.cache.free.
func qualified(pkg string, fn *ast.FuncDecl) string {
	name := filepath.Base(pkg) + "."
	if fn.Recv != nil {
		typ := fn.Recv.List[0].Type
		if s, ok := typ.(*ast.StarExpr); ok {
			typ = s.X
		}
		switch x := typ.(type) {
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		}
		name += typ.(*ast.Ident).Name + "."
	}
	return name + fn.Name.Name
}

// debugOnly are files that no plain build has; their comments argue for them.
var debugOnly = regexp.MustCompile(`(?m)^//go:build (poison|race|delay|asan)`)

// orderedFile looks through one file: it reports accesses without a tag, and
// notes the tags of every function.
func orderedFile(t *testing.T, f file, found tagged) {
	if debugOnly.MatchString(read(t, f.path)) {
		return
	}
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, filepath.Join(root, f.path), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	line := func(n ast.Node) int { return fset.Position(n.Pos()).Line }
	tags := map[int][]string{} // by line
	for _, g := range syntax.Comments {
		for _, c := range g.List {
			if m := tagList.FindStringSubmatch(c.Text); m != nil {
				tags[line(c)] = append(tags[line(c)], strings.Split(m[1], ",")...)
			}
		}
	}
	imported := map[string]bool{}
	for _, i := range f.imports {
		imported[filepath.Base(i)] = true
	}
	for _, d := range syntax.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		whole := tags[line(fn)] // behind the signature: for all that fn does
		for l := line(fn); l <= fset.Position(fn.End()).Line; l++ {
			for _, tag := range tags[l] {
				if found[tag] == nil {
					found[tag] = map[string]bool{}
				}
				found[tag][qualified(f.pkg, fn)] = true
			}
		}
		methods := map[*ast.SelectorExpr]bool{}
		ast.Inspect(fn, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				s, ok := n.Fun.(*ast.SelectorExpr)
				if !ok {
					break
				}
				methods[s] = true
				x, _ := s.X.(*ast.Ident)
				ofPackage := x != nil && imported[x.Name]
				barrier := ofPackage && x.Name == "sys" && s.Sel.Name == "Membarrier"
				if barrier || isAtomic.MatchString(s.Sel.Name) && (!ofPackage || x.Name == "atomic") {
					if len(tags[line(s.Sel)])+len(whole) == 0 {
						t.Errorf("%s:%d: %s without a tag", f.path, line(s.Sel), s.Sel.Name)
					}
				}
				// An address that is passed on is not accessed here.
				for _, arg := range n.Args {
					if u, ok := arg.(*ast.UnaryExpr); ok && u.Op == token.AND {
						if s, ok := u.X.(*ast.SelectorExpr); ok {
							methods[s] = true
						}
					}
				}
			case *ast.SelectorExpr:
				if racy[n.Sel.Name] && !methods[n] && len(tags[line(n.Sel)]) == 0 {
					t.Errorf("%s:%d: racy field %s without a tag", f.path, line(n.Sel), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// docs/design/memory-ordering.md and the code tell the same story.
func TestEveryRacyAccessHasItsPairOnTheOrderingPage(t *testing.T) {
	rows := orderingRows(t)
	found := tagged{}
	for _, f := range sources(t) {
		if ordered[f.pkg] && !f.test {
			orderedFile(t, f, found)
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(found)) {
		if _, ok := rows[tag]; !ok {
			t.Errorf("tag %s (in %s) is not on the page", tag, strings.Join(sorted(found[tag]), ", "))
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(rows)) {
		if len(found[tag]) == 0 {
			t.Errorf("tag %s of the page is nowhere in the code", tag)
			continue
		}
		for _, name := range rows[tag].names {
			if !found[tag][name] {
				t.Errorf("the page has %s as an end of tag %s; the tag is in %s", name, tag, strings.Join(sorted(found[tag]), ", "))
			}
		}
	}
}

// The models' mutants that the page refers to are among those that are run.
func TestTheOrderingPagesMutantsAreRun(t *testing.T) {
	run := read(t, "formal/run")
	mutant := regexp.MustCompile(`\b[A-Z]{2}[A-Z0-9_]*\b`)
	n := 0
	for _, r := range orderingRows(t) {
		for _, part := range strings.Split(r.shown, ";") {
			model, names, ok := strings.Cut(part, ":")
			if !ok {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, "formal", strings.TrimSpace(model)+".pml")); err != nil {
				t.Errorf("tag %s: no model %s", r.tag, model)
			}
			for _, name := range mutant.FindAllString(names, -1) {
				n++
				if !regexp.MustCompile(`\b` + name + `\b`).MatchString(run) {
					t.Errorf("tag %s: formal/run has no mutant %s", r.tag, name)
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d mutants on the page", n)
	}
}

// Delays stand at tags only, so that what is shaken is what is argued about.
func TestDelaysNameTagsOfTheOrderingPage(t *testing.T) {
	rows := orderingRows(t)
	n := 0
	for _, f := range sources(t) {
		if !ordered[f.pkg] || f.test {
			continue
		}
		ast.Inspect(f.syntax, func(node ast.Node) bool {
			c, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			s, ok := c.Fun.(*ast.SelectorExpr)
			if !ok || s.Sel.Name != "Delay" {
				return true
			}
			n++
			lit, ok := c.Args[0].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: Delay of something that is no literal", f.path)
				return true
			}
			if tag := strings.Trim(lit.Value, `"`); rows[tag].tag == "" {
				t.Errorf("%s: Delay(%q): no such tag", f.path, tag)
			}
			return true
		})
	}
	if n < 30 {
		t.Errorf("only %d delays", n)
	}
}
