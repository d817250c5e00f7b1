package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	_ "embed"

	"quiesce/tests/internal/overlay"
)

// counted are the packages whose operations are counted: those that
// docs/design/memory-ordering.md accounts for, but for the map.
var counted = []string{
	"internal/sys", "internal/percpu", "internal/pin", "preempt", "lock",
	"rcu", "internal/pages", "page", "slab",
}

// Kinds of sites.
const (
	rmw  = "rmw"  // an atomic read-modify-write
	hold = "hold" // a lock taken
)

// site is a place in the library that is counted.
type site struct {
	File string `json:"file"` // from the root
	Line int    `json:"line"`
	In   string `json:"func"`
	Kind string `json:"kind"`
	Text string `json:"text"` // x.f.CompareAndSwap
	Tags string `json:"ord,omitempty"`
}

// own reports whether the word belongs to the P that changes it: only a P itself
// changes its slots by what has the tag slot alone. A taker's tags are more. And nobody
// shares the word of a fence.
func (s site) own() bool { return s.Tags == "slot" || s.Tags == "fence" }

var (
	isRMW     = regexp.MustCompile(`^(Add|Swap|CompareAndSwap|And|Or)(Int32|Int64|Uint32|Uint64|Uintptr|Pointer)?$`)
	isLock    = regexp.MustCompile(`^R?Lock(IRQ)?$`)
	isTryLock = regexp.MustCompile(`^TryR?Lock(IRQ)?$`)
	ordTags   = regexp.MustCompile(`\bord:([a-z-]+(?:,[a-z-]+)*)`)

	// plainBuildLacks are files of builds that check or measure.
	plainBuildLacks = regexp.MustCompile(`(?m)^//go:build (poison|race|delay|asan|holds|lockdep)`)
)

//go:embed tally/tally.go
var tallyText string

// overlaid is the library with calls of the package tally, by file, and the sites
// that they count: site i has counter i.
type overlaid struct {
	module string // the library's path
	files  map[string]string
	sites  []site
}

// instrumented reads the packages below root and has all their operations counted.
func instrumented(root string, pkgs []string) (*overlaid, error) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	m := regexp.MustCompile(`(?m)^module (\S+)$`).FindSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("%s/go.mod names no module", root)
	}
	o := &overlaid{module: string(m[1]), files: map[string]string{"internal/tally/tally.go": tallyText}}
	for _, pkg := range pkgs {
		names, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pkg), "*.go"))
		if err != nil || len(names) == 0 {
			return nil, fmt.Errorf("no Go files in %s: %v", pkg, err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			if err := o.add(path.Join(pkg, filepath.Base(name)), string(text)); err != nil {
				return nil, err
			}
		}
	}
	return o, nil
}

// edit is a text to put in.
type edit struct {
	at   int // offset
	text string
}

// add has the operations of a file counted. Line numbers stay.
func (o *overlaid) add(name, text string) error {
	if plainBuildLacks.MatchString(text) {
		return nil
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	w := &walker{o: o, fset: fset, name: name, text: text, tags: tagsOf(fset, f), imports: importsOf(f)}
	ast.Inspect(f, w.visit)
	if w.err != nil || len(w.before)+len(w.after) == 0 {
		return w.err
	}
	at := fset.Position(f.Name.End()).Offset
	all := append([]edit{{at, fmt.Sprintf("; import tallied %q", o.module+"/internal/tally")}}, w.before...)
	// Of two at one place, an outer call's comes first: it was seen first. What is
	// put in after calls is closing parentheses only.
	all = append(all, w.after...)
	slices.SortStableFunc(all, func(a, b edit) int { return a.at - b.at })
	var b strings.Builder
	from := 0
	for _, e := range all {
		b.WriteString(text[from:e.at])
		b.WriteString(e.text)
		from = e.at
	}
	b.WriteString(text[from:])
	o.files[name] = b.String()
	return nil
}

// tagsOf returns the ord tags of each line.
func tagsOf(fset *token.FileSet, f *ast.File) map[int]string {
	tags := map[int]string{}
	for _, g := range f.Comments {
		for _, c := range g.List {
			if m := ordTags.FindStringSubmatch(c.Text); m != nil {
				tags[fset.Position(c.Pos()).Line] = m[1]
			}
		}
	}
	return tags
}

// importsOf returns the names of imported packages.
func importsOf(f *ast.File) map[string]bool {
	names := map[string]bool{}
	for _, i := range f.Imports {
		names[path.Base(strings.Trim(i.Path.Value, `"`))] = true
		if i.Name != nil {
			names[i.Name.Name] = true
		}
	}
	return names
}

// walker finds the operations of a file.
type walker struct {
	o             *overlaid
	fset          *token.FileSet
	name, text    string
	tags          map[int]string
	imports       map[string]bool
	up            []ast.Node // from the file to the parent
	before, after []edit
	err           error
}

func (w *walker) visit(n ast.Node) bool {
	if n == nil {
		w.up = w.up[:len(w.up)-1]
		return true
	}
	if c, ok := n.(*ast.CallExpr); ok {
		w.call(c)
	}
	w.up = append(w.up, n)
	return true
}

func (w *walker) offset(p token.Pos) int { return w.fset.Position(p).Offset }

// call counts a call if it is an operation.
func (w *walker) call(c *ast.CallExpr) {
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return
	}
	line := w.fset.Position(s.Sel.Pos()).Line
	x, _ := s.X.(*ast.Ident)
	ofPackage := x != nil && w.imports[x.Name]
	fn := w.function()
	tags := w.tags[line]
	if tags == "" && fn != nil {
		tags = w.tags[w.fset.Position(fn.Pos()).Line] // after the signature: for all of it
	}
	at := site{File: w.name, Line: line, In: overlay.FuncName(fn), Text: w.source(s), Tags: tags}
	name := s.Sel.Name
	switch {
	// tests/policy holds that each atomic operation has a tag: what has the name
	// and no tag is none.
	case isRMW.MatchString(name) && tags != "" && (!ofPackage || x.Name == "atomic"):
		at.Kind = rmw
		w.count(c, at, "Value")
	case path.Dir(w.name) == "lock" || ofPackage || len(c.Args) > 0:
		// The locks' own parts are no holds.
	case isLock.MatchString(name):
		at.Kind = hold
		w.count(c, at, "")
	case isTryLock.MatchString(name):
		at.Kind = hold
		w.count(c, at, "Got")
	}
}

// count has fn count a call, or if fn is "" a statement put before it.
func (w *walker) count(c *ast.CallExpr, at site, fn string) {
	n := len(w.o.sites)
	w.o.sites = append(w.o.sites, at)
	begin := c.Pos()
	switch parent := w.up[len(w.up)-1].(type) {
	case *ast.DeferStmt, *ast.GoStmt:
		// Wrapped, it would run at once.
		if fn == "Got" || !w.inBlock(2) {
			w.fail(at)
		}
		fn, begin = "", parent.Pos()
	case *ast.ExprStmt:
		if fn == "" && !w.inBlock(2) {
			w.fail(at)
		}
	default:
		if fn == "" {
			w.fail(at)
		}
	}
	if fn == "" {
		w.before = append(w.before, edit{w.offset(begin), fmt.Sprintf("tallied.Hit(%d); ", n)})
		return
	}
	w.before = append(w.before, edit{w.offset(begin), fmt.Sprintf("tallied.%s(%d, ", fn, n)})
	w.after = append(w.after, edit{w.offset(c.End()), ")"})
}

// inBlock reports whether the node so many levels up is a list of statements.
func (w *walker) inBlock(levels int) bool {
	switch w.up[len(w.up)-levels].(type) {
	case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause:
		return true
	}
	return false
}

func (w *walker) fail(at site) {
	if w.err == nil {
		w.err = fmt.Errorf("%s:%d: %s stands where it can't be counted", at.File, at.Line, at.Text)
	}
}

// function returns the declaration that the walk is in.
func (w *walker) function() *ast.FuncDecl {
	for _, n := range w.up {
		if fn, ok := n.(*ast.FuncDecl); ok {
			return fn
		}
	}
	return nil
}

// source is an expression as the file has it.
func (w *walker) source(n ast.Node) string {
	return strings.Join(strings.Fields(w.text[w.offset(n.Pos()):w.offset(n.End())]), " ")
}
