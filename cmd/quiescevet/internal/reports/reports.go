// Package reports passes findings on, except those that a comment in the source
// tells it to leave out:
//
//	g.Unlock() //quiescevet:ignore the test wants the panic
//
// The comment is at the end of the line, on a line of its own before it, in the
// doc comment of the function, or before the package clause, for the file. It
// needs a reason.
package reports

import (
	"go/ast"
	"go/token"
	"strings"

	"golang.org/x/tools/go/analysis"
)

const mark = "//quiescevet:ignore"

// ignored is the part of a file that a comment is about.
type ignored struct {
	file     *token.File
	from, to int // lines
}

// Filter returns a copy of a pass whose reports heed the comments.
func Filter(pass *analysis.Pass) *analysis.Pass {
	var quiet []ignored
	for _, f := range pass.Files {
		tf := pass.Fset.File(f.FileStart)
		for _, group := range f.Comments {
			for _, c := range group.List {
				if reasoned(c.Text) {
					line := tf.Line(c.Pos())
					quiet = append(quiet, ignored{tf, line, line + 1})
				}
			}
		}
		for _, group := range f.Comments {
			for _, c := range group.List {
				if group.Pos() < f.Package && reasoned(c.Text) {
					quiet = append(quiet, ignored{tf, 1, tf.LineCount()})
				}
			}
		}
		for _, d := range f.Decls {
			d, ok := d.(*ast.FuncDecl)
			if !ok || d.Doc == nil {
				continue
			}
			for _, c := range d.Doc.List {
				if reasoned(c.Text) {
					quiet = append(quiet, ignored{tf, tf.Line(d.Pos()), tf.Line(d.End())})
				}
			}
		}
	}
	filtered := *pass
	filtered.Report = func(d analysis.Diagnostic) {
		tf := pass.Fset.File(d.Pos)
		for _, q := range quiet {
			if tf == q.file {
				if line := tf.Line(d.Pos); line >= q.from && line <= q.to {
					return
				}
			}
		}
		pass.Report(d)
	}
	return &filtered
}

// reasoned reports whether a comment is the mark with a reason.
func reasoned(text string) bool {
	rest, ok := strings.CutPrefix(text, mark)
	return ok && strings.TrimSpace(rest) != "" && (rest[0] == ' ' || rest[0] == '\t')
}
