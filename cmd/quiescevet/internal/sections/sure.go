package sections

import (
	"fmt"
	"go/token"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/ssa"
)

// arrival is what paths brought to one place: whether all of them are wrong
// there. Where a section is ended under a condition, paths on which it is open and
// paths on which it is not come to the same places. A condition later on may be
// the same in other words, so a fault there is certain only if the end leads to
// that place whatever the conditions are.
type arrival struct {
	finding    Finding
	right      bool // on some path
	wrong      bool // on some path
	inevitable bool // on all that the end leads to
}

// arrive notes that a path comes to a place where it is right or wrong.
func (w *walker) arrive(c Category, pos token.Pos, what string) *arrival {
	key := fmt.Sprint(c, pos, what)
	a := w.arrivals[key]
	if a == nil {
		a = new(arrival)
		w.arrivals[key] = a
		w.order = append(w.order, a)
	}
	return a
}

// wrong notes a fault that counts if all paths have it, or if it is inevitable
// after the end that st has seen.
func (w *walker) wrong(a *arrival, c Category, at token.Pos, st secState, format string, args ...any) {
	if !at.IsValid() {
		at = w.fn.Pos()
	}
	a.wrong = true
	a.inevitable = a.inevitable || st.endBlock != nil && inevitable(st.endBlock, w.now)
	a.finding = Finding{c, analysis.Diagnostic{Pos: at, Message: fmt.Sprintf(format, args...)}}
}

// settle reports what is certain once all paths are followed.
func (w *walker) settle() {
	for _, a := range w.order {
		if a.wrong && (!a.right || a.inevitable) {
			w.report(a.finding)
		}
	}
}

// inevitable reports whether every path from one block to a return comes through
// another.
func inevitable(from, through *ssa.BasicBlock) bool {
	seen := map[*ssa.BasicBlock]bool{}
	todo := []*ssa.BasicBlock{from}
	for len(todo) > 0 {
		b := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if b == through || seen[b] {
			continue
		}
		seen[b] = true
		if _, ok := b.Instrs[len(b.Instrs)-1].(*ssa.Return); ok {
			return false
		}
		todo = append(todo, b.Succs...)
	}
	return true
}
