package earlyfree

import (
	"go/ast"
	"go/token"

	"golang.org/x/tools/go/analysis"
)

// nameBefore returns where the name of the function stands in the call whose
// parenthesis is at lparen.
func nameBefore(pass *analysis.Pass, lparen token.Pos, name string) (pos token.Pos) {
	for _, file := range pass.Files {
		if lparen < file.FileStart || lparen >= file.FileEnd {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok || c.Lparen != lparen {
				return true
			}
			switch f := ast.Unparen(c.Fun).(type) {
			case *ast.SelectorExpr:
				if f.Sel.Name == name {
					pos = f.Sel.Pos()
				}
			case *ast.Ident:
				if f.Name == name {
					pos = f.Pos()
				}
			}
			return false
		})
	}
	return pos
}
