// Package contexts finds out which functions may block, and which may wait for
// a grace period or for memory. What it knows of a function goes to the packages
// that import it, as a fact. There are three origins:
//
//   - a line "Context: task; not pinned." in the doc comment, which Quiesce has
//     at each exported function and programs may have at theirs;
//   - the list of Go's functions in package api;
//   - an operation in the body that every call comes to: a channel receive, or
//     a call of a function with such a fact. What a branch may leave out does
//     not count.
package contexts

import (
	"go/ast"
	"go/token"
	"go/types"
	"reflect"
	"strings"

	"golang.org/x/tools/go/analysis"

	"quiesce/cmd/quiescevet/internal/api"
)

// Fact is what is known of a function.
type Fact struct {
	api.Effects
	// Releases says that the function ends a pinned section that it did not
	// begin: what follows in its caller may not be pinned any more.
	Releases bool
}

// AFact makes Fact an analysis.Fact.
func (*Fact) AFact() {}

func (f *Fact) String() string {
	s := ""
	if f.Blocks != "" {
		s += "blocks"
	}
	if f.Waits != "" {
		s += " waits"
	}
	if f.Releases {
		s += " releases"
	}
	return s
}

// Analyzer exports the facts. Its result is a *Result.
var Analyzer = &analysis.Analyzer{
	Name:       "quiescecontexts",
	Doc:        "find which functions may block or wait for a grace period",
	Run:        run,
	ResultType: reflect.TypeFor[*Result](),
	FactTypes:  []analysis.Fact{new(Fact)},
}

// Result answers questions about functions of this package and of imported ones.
type Result struct {
	pass *analysis.Pass
}

// Of returns what is known of a function.
func (r *Result) Of(f *types.Func) Fact {
	if f == nil {
		return Fact{}
	}
	f = f.Origin()
	if e := api.Std(api.Name(f)); e.Blocks != "" {
		return Fact{Effects: e}
	}
	var fact Fact
	if f.Pkg() != nil {
		r.pass.ImportObjectFact(f, &fact)
	}
	return fact
}

func run(pass *analysis.Pass) (any, error) {
	r := &Result{pass}
	if first, _, _ := strings.Cut(pass.Pkg.Path(), "/"); !strings.Contains(first, ".") && !api.Local(pass.Pkg.Path()) && (pass.Module == nil || pass.Module.Path == "std" || pass.Module.Path == "") {
		return r, nil // Go's library: package api has the list
	}
	var open []*ast.FuncDecl
	for _, file := range pass.Files {
		for _, d := range file.Decls {
			d, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			f, _ := pass.TypesInfo.Defs[d.Name].(*types.Func)
			if f == nil {
				continue
			}
			fact := Fact{Effects: api.FromDoc(d.Doc), Releases: d.Body != nil && releases(pass.TypesInfo, d.Body)}
			if fact != (Fact{}) {
				pass.ExportObjectFact(f, &fact)
			}
			if d.Body != nil && fact.Blocks == "" && !api.DocumentsContext(d.Doc) && !endsPin(pass.TypesInfo, d.Body) {
				open = append(open, d)
			}
		}
	}
	// Each round knows the callees of one more level.
	for again := true; again; {
		again = false
		for _, d := range open {
			f := pass.TypesInfo.Defs[d.Name].(*types.Func)
			was := r.Of(f)
			s := &scan{info: pass.TypesInfo, result: r, found: was.Effects}
			s.block(d.Body.List)
			if s.found != was.Effects {
				pass.ExportObjectFact(f, &Fact{Effects: s.found, Releases: was.Releases})
				again = true
			}
		}
	}
	return r, nil
}

// calls calls fn for each call in a body, in the order of the text, those in
// function literals included.
func calls(info *types.Info, body ast.Node, fn func(name string)) {
	ast.Inspect(body, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			fn(api.Name(api.Callee(info, c)))
		}
		return true
	})
}

// releases reports whether a body ends a raw lock's section before it begins
// one.
func releases(info *types.Info, body ast.Node) bool {
	held, out := 0, false
	calls(info, body, func(name string) {
		for i := range api.RawLock {
			if name == api.RawLock[i] {
				held++
			}
		}
		for i := range api.RawUnlock {
			if name == api.RawUnlock[i] {
				if held == 0 {
					out = true
				}
				held--
			}
		}
	})
	return out
}

// endsPin reports whether a body ends a pinned section or a guard: what it
// waits for may come after that.
func endsPin(info *types.Info, body ast.Node) bool {
	out := false
	calls(info, body, func(name string) {
		switch name {
		case "quiesce/preempt.Pinned.Enable", "quiesce/preempt.IRQState.Restore",
			"quiesce/rcu.Guard.Unlock", "quiesce/rcu.GuardBH.Unlock", "quiesce/rcu.Reader.Unlock":
			out = true
		}
		for _, u := range api.RawUnlock {
			out = out || name == u
		}
	})
	return out
}

// scan looks for operations that every run of a body comes to.
type scan struct {
	info   *types.Info
	result *Result
	found  api.Effects
}

func (s *scan) blocks(why string) {
	if s.found.Blocks == "" {
		s.found.Blocks = why
	}
}

// block walks statements until one may leave the function.
func (s *scan) block(list []ast.Stmt) bool {
	for _, st := range list {
		if !s.stmt(st) {
			return false
		}
	}
	return true
}

// stmt reports whether control always reaches the statement after st.
func (s *scan) stmt(st ast.Stmt) bool {
	switch st := st.(type) {
	case *ast.BlockStmt:
		return s.block(st.List)
	case *ast.ExprStmt:
		s.expr(st.X)
	case *ast.AssignStmt:
		for _, e := range st.Rhs {
			s.expr(e)
		}
	case *ast.DeclStmt:
		s.expr(st.Decl)
	case *ast.ReturnStmt:
		for _, e := range st.Results {
			s.expr(e)
		}
		return false
	case *ast.DeferStmt:
		s.call(st.Call)
	case *ast.IfStmt:
		if st.Init != nil {
			s.stmt(st.Init)
		}
		s.expr(st.Cond)
	case *ast.ForStmt:
		if st.Init != nil {
			s.stmt(st.Init)
		}
		if st.Cond != nil {
			s.expr(st.Cond)
		}
	case *ast.RangeStmt:
		s.expr(st.X)
		if t := s.info.TypeOf(st.X); t != nil {
			if _, ok := t.Underlying().(*types.Chan); ok {
				s.blocks("receives from a channel")
			}
		}
	case *ast.SwitchStmt:
		if st.Tag != nil {
			s.expr(st.Tag)
		}
	case *ast.SelectStmt:
		if !hasDefault(st) {
			s.blocks("waits in a select")
		}
	case *ast.BranchStmt, *ast.LabeledStmt:
		return false
	}
	return !leaves(st)
}

func hasDefault(st *ast.SelectStmt) bool {
	for _, c := range st.Body.List {
		if c.(*ast.CommClause).Comm == nil {
			return true
		}
	}
	return false
}

// leaves reports whether a statement has a return or a jump in it, or a call
// that may not come back.
func leaves(st ast.Stmt) bool {
	out := false
	ast.Inspect(st, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			out = true
		case *ast.BranchStmt:
			out = out || n.Tok == token.GOTO || n.Label != nil
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "panic" {
				out = true
			}
		}
		return !out
	})
	return out
}

// expr looks at what is always evaluated.
func (s *scan) expr(e ast.Node) {
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.BinaryExpr:
			if n.Op == token.LAND || n.Op == token.LOR {
				s.expr(n.X)
				return false
			}
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				s.blocks("receives from a channel")
			}
		case *ast.CallExpr:
			s.call(n)
		}
		return true
	})
}

func (s *scan) call(c *ast.CallExpr) {
	f := api.Callee(s.info, c)
	if f == nil {
		return
	}
	e := s.result.Of(f)
	if e.Blocks != "" {
		s.blocks("calls " + api.Short(f) + ", which " + e.Blocks)
	}
	if e.Waits != "" && s.found.Waits == "" {
		s.found.Waits = "calls " + api.Short(f) + ", which " + e.Waits
	}
}
