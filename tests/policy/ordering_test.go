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

const orderingPage = "docs/design/memory-ordering.md"

// ordered are the packages whose memory accesses docs/design/memory-ordering.md
// accounts for.
var ordered = map[string]bool{
	"internal/sys": true, "internal/percpu": true, "internal/pin": true, "preempt": true,
	"lock": true,
	"rcu":  true, "internal/pages": true, "page": true, "slab": true, "rcuhash": true, "cache": true,
}

// racy are the fields that owners write by plain stores while others read.
var racy = map[string]bool{
	"word": true,                                                           // rcu.readerSlot
	"Nest": true, "QS": true, "Lock": true, "Unlock": true, "Reader": true, // percpu.CPU
	"busy": true, "main": true, "rcu": true, "spare": true, "reserve": true, // slab.slot, page.pcp
}

// isAtomic names the operations of sync/atomic, functions and methods.
var isAtomic = regexp.MustCompile(`^(Load|Store|Add|Swap|CompareAndSwap|And|Or)(Int32|Int64|Uint32|Uint64|Uintptr|Pointer)?$`)

var tagList = regexp.MustCompile(`\bord:([a-z-]+(?:,[a-z-]+)*)`)

// tagged is what the code says: a tag's lines by function.
type tagged map[string]map[string]bool

// pair is a section of the page.
type pair struct {
	tag   string
	names []string // functions that have one of its ends
	shown string   // what "Shown by" says
}

var (
	namedFunc = regexp.MustCompile("`([a-z]+(?:\\.[A-Za-z0-9]+){1,2})`")
	pairLabel = regexp.MustCompile(`^- \*\*([A-Z][a-z ]+):\*\* *`)
	indexLine = regexp.MustCompile(`^\| \[([a-z-]+)\]\(#([a-z-]+)\) \| .+ \|$`)
)

// pairLabels are what a section may say of its pair; true: what it must say.
var pairLabels = map[string]bool{
	"One side": true, "Other side": true, "Holds": false, "Work": false, "Without it": false, "Shown by": true,
}

// orderingPairs reads the page: a section a tag, in the order of its index.
func orderingPairs(t *testing.T) map[string]pair {
	t.Helper()
	pairs := map[string]pair{}
	var index, order []string
	var tag, label string
	said := map[string]map[string]string{} // by tag and label
	for line := range strings.Lines(read(t, orderingPage)) {
		line = strings.TrimRight(line, "\n")
		if m := indexLine.FindStringSubmatch(line); m != nil {
			if m[1] != m[2] {
				t.Errorf("the page's index links %s to %s", m[1], m[2])
			}
			index = append(index, m[1])
		}
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			tag, label = heading, ""
			if said[tag] != nil {
				t.Errorf("the page has tag %s in two sections", tag)
			}
			said[tag] = map[string]string{}
			order = append(order, tag)
			continue
		}
		if strings.HasPrefix(line, "#") {
			tag = ""
		}
		if tag == "" || line == "" {
			continue
		}
		if m := pairLabel.FindStringSubmatch(line); m != nil {
			label = m[1]
			if _, ok := pairLabels[label]; !ok || said[tag][label] != "" {
				t.Errorf("tag %s: %q is no label, or there twice", tag, label)
			}
			line = line[len(m[0]):]
		}
		if label == "" {
			t.Errorf("tag %s: %q is under no label", tag, line)
		}
		said[tag][label] += strings.TrimSpace(line) + " "
	}
	for tag, texts := range said {
		for label, must := range pairLabels {
			if must && texts[label] == "" {
				t.Errorf("tag %s lacks %q", tag, label)
			}
		}
		if texts["Holds"]+texts["Work"] == "" {
			t.Errorf("tag %s does not say what holds", tag)
		}
		p := pair{tag: tag, shown: texts["Shown by"]}
		for label, text := range texts {
			if label == "Shown by" {
				continue
			}
			for _, m := range namedFunc.FindAllStringSubmatch(text, -1) {
				p.names = append(p.names, m[1])
			}
		}
		pairs[tag] = p
	}
	if !slices.Equal(index, order) {
		t.Errorf("the page's index has\n%s\nand its sections are\n%s", strings.Join(index, " "), strings.Join(order, " "))
	}
	if len(pairs) < 40 {
		t.Fatalf("only %d tags on the page", len(pairs))
	}
	return pairs
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
var debugOnly = regexp.MustCompile(`(?m)^//go:build (poison|race|delay|asan|holds)`)

// orderedFile checks one file: it reports accesses without a tag, and records the
// tags of every function.
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
		whole := tags[line(fn)] // after the signature: for all that fn does
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
				x, _ := n.X.(*ast.Ident)
				if racy[n.Sel.Name] && !methods[n] && (x == nil || !imported[x.Name]) && len(tags[line(n.Sel)]) == 0 {
					t.Errorf("%s:%d: racy field %s without a tag", f.path, line(n.Sel), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// docs/design/memory-ordering.md and the code agree.
func TestEveryRacyAccessHasItsPairOnTheOrderingPage(t *testing.T) {
	pairs := orderingPairs(t)
	found := tagged{}
	for _, f := range sources(t) {
		if ordered[f.pkg] && !f.test {
			orderedFile(t, f, found)
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(found)) {
		if _, ok := pairs[tag]; !ok {
			t.Errorf("tag %s (in %s) is not on the page", tag, strings.Join(sorted(found[tag]), ", "))
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(pairs)) {
		if len(found[tag]) == 0 {
			t.Errorf("tag %s of the page is nowhere in the code", tag)
			continue
		}
		for _, name := range pairs[tag].names {
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
	for _, p := range orderingPairs(t) {
		for _, part := range strings.Split(p.shown, ";") {
			model, names, ok := strings.Cut(part, ":")
			if !ok {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, "formal", strings.TrimSpace(model)+".pml")); err != nil {
				t.Errorf("tag %s: no model %s", p.tag, model)
			}
			for _, name := range mutant.FindAllString(names, -1) {
				n++
				if !regexp.MustCompile(`\b` + name + `\b`).MatchString(run) {
					t.Errorf("tag %s: formal/run has no mutant %s", p.tag, name)
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d mutants on the page", n)
	}
}

// Delays are at tags only, so that what is shaken is what is argued about.
func TestDelaysNameTagsOfTheOrderingPage(t *testing.T) {
	pairs := orderingPairs(t)
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
			if tag := strings.Trim(lit.Value, `"`); pairs[tag].tag == "" {
				t.Errorf("%s: Delay(%q): no such tag", f.path, tag)
			}
			return true
		})
	}
	if n < 30 {
		t.Errorf("only %d delays", n)
	}
}
