package sections

import (
	"fmt"
	"go/token"
	"go/types"
	"strconv"

	"golang.org/x/tools/go/ssa"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/ssax"
)

// placeOf names a value by how it is computed, so that two computations of the
// same thing have one name: two loads of s.closed, the two ends of &s.mu.
func placeOf(v ssa.Value) string {
	switch v := v.(type) {
	case *ssa.Const:
		return v.String()
	case *ssa.Global:
		return "g:" + v.String()
	case *ssa.Parameter:
		return "p:" + v.Name()
	case *ssa.FreeVar:
		return "f:" + v.Name()
	case *ssa.Alloc:
		return cellName(v)
	case *ssa.FieldAddr:
		return placeOf(v.X) + "." + strconv.Itoa(v.Field)
	case *ssa.Field:
		return placeOf(v.X) + "." + strconv.Itoa(v.Field)
	case *ssa.IndexAddr:
		return placeOf(v.X) + "[" + placeOf(v.Index) + "]"
	case *ssa.UnOp:
		if v.Op != token.ARROW {
			return v.Op.String() + "(" + placeOf(v.X) + ")"
		}
	case *ssa.BinOp:
		return "(" + placeOf(v.X) + v.Op.String() + placeOf(v.Y) + ")"
	case *ssa.ChangeType:
		return placeOf(v.X)
	case *ssa.Convert:
		return "conv(" + placeOf(v.X) + ")"
	case *ssa.Call:
		if b, ok := v.Call.Value.(*ssa.Builtin); ok && b.Name() == "len" {
			return "len(" + placeOf(v.Call.Args[0]) + ")"
		}
	}
	return "r:" + v.Name()
}

func cellName(a *ssa.Alloc) string { return fmt.Sprintf("a:%s:%d", a.Name(), a.Pos()) }

// condition returns a condition's name and its sense: !x and x have one name, a
// != b and a == b too.
func condition(v ssa.Value) (name string, sense bool) {
	switch v := v.(type) {
	case *ssa.UnOp:
		if v.Op == token.NOT {
			n, s := condition(v.X)
			return n, !s
		}
	case *ssa.BinOp:
		x, y := placeOf(v.X), placeOf(v.Y)
		switch v.Op {
		case token.NEQ:
			return x + "==" + y, false
		case token.EQL:
			return x + "==" + y, true
		case token.LEQ:
			return x + ">" + y, false
		case token.GTR:
			return x + ">" + y, true
		case token.GEQ:
			return x + "<" + y, false
		case token.LSS:
			return x + "<" + y, true
		}
	}
	return placeOf(v), true
}

// cell returns the name of a local variable, or of a field or element of one,
// that an address leads to. ok is false for other addresses, and for variables
// that are changed where this function does not see it.
func (w *walker) cell(addr ssa.Value) (name string, ok bool) {
	switch a := addr.(type) {
	case *ssa.Alloc:
		return cellName(a), w.followed(a)
	case *ssa.FreeVar:
		return "f:" + a.Name(), true
	case *ssa.FieldAddr:
		n, ok := w.cell(a.X)
		if _, free := a.X.(*ssa.FreeVar); free {
			return "", false
		}
		return n + "." + strconv.Itoa(a.Field), ok
	case *ssa.IndexAddr:
		c, constant := a.Index.(*ssa.Const)
		if _, local := a.X.(*ssa.Alloc); !local || !constant {
			return "", false
		}
		n, ok := w.cell(a.X)
		return n + "[" + c.String() + "]", ok
	}
	return "", false
}

// followed reports whether every change of a variable is a store that the walk
// sees.
func (w *walker) followed(a *ssa.Alloc) bool {
	known, ok := w.follow[a]
	if !ok {
		known = w.onlySeen(a, a)
		w.follow[a] = known
	}
	return known
}

func (w *walker) onlySeen(a *ssa.Alloc, v ssa.Value) bool {
	for _, r := range *v.Referrers() {
		switch r := r.(type) {
		case *ssa.Store:
			if r.Val == v {
				return false
			}
		case *ssa.UnOp, *ssa.DebugRef, *ssa.Slice, *ssa.Return:
		case *ssa.FieldAddr:
			if !w.onlySeen(a, r) {
				return false
			}
		case *ssa.IndexAddr:
			if !w.onlySeen(a, r) {
				return false
			}
		case ssa.CallInstruction:
			if f := ssax.Callee(r.Common()); f == nil || len(r.Common().Args) == 0 || r.Common().Args[0] != v || !w.ofLibrary(f) && !w.hasRole(f, api.End) {
				return false
			}
		case *ssa.MakeClosure:
			if use := closureUse(w, r, v); use.writes || use.ends && !onlyDeferred(r) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// captured is what a function literal does with a variable of the function that
// it is in.
type captured struct{ writes, ends bool }

func closureUse(w *walker, m *ssa.MakeClosure, v ssa.Value) (use captured) {
	fn := m.Fn.(*ssa.Function)
	for i, b := range m.Bindings {
		if b != v {
			continue
		}
		if i >= len(fn.FreeVars) || fn.Synthetic != "" && len(fn.Blocks) == 0 {
			return captured{true, true}
		}
		fv := fn.FreeVars[i]
		for _, r := range *fv.Referrers() {
			switch r := r.(type) {
			case *ssa.UnOp, *ssa.DebugRef:
			case *ssa.MakeClosure:
				inner := closureUse(w, r, fv)
				use.writes, use.ends = use.writes || inner.writes, use.ends || inner.ends
			case ssa.CallInstruction:
				if f := ssax.Callee(r.Common()); f != nil && w.hasRole(f, api.End) {
					use.ends = true
				} else {
					use.writes = true
				}
			default:
				use.writes = true
			}
		}
	}
	return use
}

// onlyDeferred reports whether a literal is run by a defer statement and by
// nothing else.
func onlyDeferred(m *ssa.MakeClosure) bool {
	for _, r := range *m.Referrers() {
		d, ok := r.(*ssa.Defer)
		if !ok || d.Call.Value != m {
			if _, debug := r.(*ssa.DebugRef); !debug {
				return false
			}
		}
	}
	return true
}

func (w *walker) hasRole(f *types.Func, r api.Role) bool {
	_, ok := w.table.Find(api.Name(f), r, nil)
	return ok || r == api.End && api.Name(f) == api.ReaderUnlock
}

func (w *walker) ofLibrary(f *types.Func) bool { return f.Pkg() != nil && api.Library(f.Pkg().Path()) }

// pointerLike reports whether a value of the type leads to other memory that a
// section may keep valid.
func pointerLike(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Pointer, *types.Slice:
		return true
	case *types.Basic:
		return u.Kind() == types.UnsafePointer
	}
	return false
}
