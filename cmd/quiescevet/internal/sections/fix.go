package sections

import (
	"go/ast"
	"go/token"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/ssa"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/ssax"
)

// deferFix suggests a deferred end, after g := rcu.ReadLock(), of a section that
// the function never ends. It does so only where that is right as it stands: not
// in a loop, and not if the function returns a pointer, which the guard may keep
// valid for the caller.
func (w *walker) deferFix(sec *section, c ssa.CallInstruction) []analysis.SuggestedFix {
	if w.ends[sec.src] || sec.lock != "" || c == nil || ssax.Reaches(c.Block(), c.Block()) {
		return nil
	}
	results := w.fn.Signature.Results()
	for v := range results.Variables() {
		if pointerLike(v.Type()) {
			return nil
		}
	}
	method := endOfType(sec.src, api.TypeName(c.Common().Signature().Results().At(0).Type()))
	assign := w.assignment(sec.pos)
	if method == "" || assign == nil {
		return nil
	}
	indent := strings.Repeat("\t", w.pass.Fset.Position(assign.Pos()).Column-1)
	text := "\n" + indent + "defer " + assign.Lhs[0].(*ast.Ident).Name + "." + method + "()"
	return []analysis.SuggestedFix{{
		Message:   "Defer " + method,
		TextEdits: []analysis.TextEdit{{Pos: assign.End(), End: assign.End(), NewText: []byte(text)}},
	}}
}

// endOfType returns the method of a token's type that ends its section.
func endOfType(src *api.Source, typ string) string {
	for _, e := range src.End {
		if head, method, ok := cutLast(e); ok && strings.HasSuffix(head, "."+typ) {
			return method
		}
	}
	return ""
}

func cutLast(name string) (head, tail string, ok bool) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

// assignment returns the statement x := call() whose parenthesis is at lparen.
func (w *walker) assignment(lparen token.Pos) (found *ast.AssignStmt) {
	for _, file := range w.pass.Files {
		if lparen < file.FileStart || lparen >= file.FileEnd {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			block, ok := n.(*ast.BlockStmt)
			if !ok {
				return true
			}
			for _, st := range block.List {
				a, ok := st.(*ast.AssignStmt)
				if !ok || a.Tok != token.DEFINE || len(a.Lhs) != 1 || len(a.Rhs) != 1 {
					continue
				}
				c, ok := a.Rhs[0].(*ast.CallExpr)
				if id, named := a.Lhs[0].(*ast.Ident); ok && named && id.Name != "_" && c.Lparen == lparen {
					found = a
				}
			}
			return true
		})
	}
	return found
}
