package sections

import (
	"go/token"

	"golang.org/x/tools/go/ssa"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/ssax"
)

// lent opens the sections that a function literal is called in, and ties its
// parameters. It reports whether there are any.
func (w *walker) lent(s *state) bool {
	c := literalCall(w.fn)
	if c == nil {
		return false
	}
	if _, isGo := c.(*ssa.Go); isGo {
		return false
	}
	f := ssax.Callee(c.Common())
	if f == nil {
		return false
	}
	for _, u := range w.table[api.Name(f)] {
		switch u.Role {
		case api.Lend, api.LendValues, api.Inside:
			sec := &section{id: len(w.sections), src: u.Source, name: api.Short(f), pos: c.Pos(), lent: true, owner: w.fn, walk: f.Name() == "Range"}
			w.sections[w.fn] = sec
			w.bind(s, sec, u.Role)
			return true
		case api.Each:
			owner, outer := w.lender(w.fn.Parent(), u.Source)
			if owner == nil {
				return false
			}
			sec := &section{id: len(w.sections), src: u.Source, name: outer, pos: c.Pos(), lent: true, owner: owner}
			w.sections[w.fn] = sec
			w.bind(s, sec, u.Role)
			return true
		}
	}
	return false
}

// bind gives the literal's parameters their ties to a section that is open.
func (w *walker) bind(s *state, sec *section, r api.Role) {
	s.secs[sec] = secState{open: true, gen: 1}
	on := []dep{{sec, 1, 0}}
	for i, p := range w.fn.Params {
		switch {
		case r == api.Lend && i == 0:
			s.set(p, tie{kind: tokenOf, on: on})
		case r != api.Lend && r != api.Inside && pointerLike(p.Type()):
			s.set(p, tie{kind: borrowed, on: on})
		}
	}
}

// lender returns the nearest literal around fn, or fn, that is lent a section of
// a source, and the name of the function that lends it.
func (w *walker) lender(fn *ssa.Function, src *api.Source) (*ssa.Function, string) {
	for ; fn != nil; fn = fn.Parent() {
		c := literalCall(fn)
		if c == nil {
			return nil, ""
		}
		f := ssax.Callee(c.Common())
		if f == nil {
			return nil, ""
		}
		if _, ok := w.table.Find(api.Name(f), api.Lend, src); ok {
			return fn, api.Short(f)
		}
	}
	return nil, ""
}

// usedOutside returns where a variable that a literal has captured is used after
// the section's owner has returned: in the function that calls the lender. It
// returns token.NoPos if that is not certain.
func (w *walker) usedOutside(fv *ssa.FreeVar, sec *section) token.Pos {
	if sec.owner == nil {
		return token.NoPos // begun in this literal, and who calls that, and when, is not known
	}
	fn, v := w.fn, ssa.Value(fv)
	inside := true // fn is the owner or in it
	for {
		free, ok := v.(*ssa.FreeVar)
		if !ok {
			break
		}
		up := fn.Parent()
		if up == nil {
			return token.NoPos
		}
		m := makerOf(up, fn)
		if m == nil {
			return token.NoPos
		}
		var next ssa.Value
		for i, f := range fn.FreeVars {
			if f == free {
				next = m.Bindings[i]
			}
		}
		inside = inside && fn != sec.owner
		fn, v = up, next
	}
	a, ok := v.(*ssa.Alloc)
	if !ok || inside {
		return token.NoPos
	}
	// The call in fn that the section lies in.
	child := sec.owner
	for child.Parent() != fn {
		if child = child.Parent(); child == nil {
			return token.NoPos
		}
	}
	c, ok := literalCall(child).(*ssa.Call)
	if !ok {
		return token.NoPos
	}
	for _, r := range *a.Referrers() {
		if st, ok := r.(*ssa.Store); ok && st.Addr == ssa.Value(a) && !loadOf(st.Val, a) && (st.Block() == c.Block() && st.Pos() > c.Pos() || ssax.Reaches(c.Block(), st.Block())) {
			return token.NoPos // replaced there, perhaps whenever it matters
		}
	}
	return loadedAfter(a, c)
}

// loadOf reports whether a value is a variable's own: return v stores it in the
// result v.
func loadOf(v ssa.Value, a *ssa.Alloc) bool {
	l, ok := v.(*ssa.UnOp)
	return ok && l.Op == token.MUL && l.X == ssa.Value(a)
}

// makerOf returns the only instruction that makes a closure of a literal.
func makerOf(in, fn *ssa.Function) *ssa.MakeClosure {
	var found *ssa.MakeClosure
	for _, b := range in.Blocks {
		for _, i := range b.Instrs {
			if m, ok := i.(*ssa.MakeClosure); ok && m.Fn == fn {
				if found != nil {
					return nil
				}
				found = m
			}
		}
	}
	return found
}

// loadedAfter returns where a variable is loaded after a call, and its content
// looked at, with no store between.
func loadedAfter(a *ssa.Alloc, c *ssa.Call) token.Pos {
	type point struct {
		b *ssa.BasicBlock
		i int
	}
	start := point{c.Block(), 0}
	for i, in := range c.Block().Instrs {
		if in == ssa.Instruction(c) {
			start.i = i + 1
		}
	}
	seen := map[*ssa.BasicBlock]bool{}
	todo := []point{start}
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		over := false
		for _, in := range p.b.Instrs[p.i:] {
			switch in := in.(type) {
			case *ssa.Store:
				over = over || in.Addr == ssa.Value(a)
			case *ssa.Alloc:
				over = over || in == a // the next round's variable
			case *ssa.UnOp:
				if in.X == ssa.Value(a) && !over {
					if pos := contentUsed(in); pos.IsValid() {
						return pos
					}
				}
			}
			if over || in == ssa.Instruction(c) {
				over = true
				break
			}
		}
		if over {
			continue
		}
		for _, next := range p.b.Succs {
			if !seen[next] {
				seen[next] = true
				todo = append(todo, point{next, 0})
			}
		}
	}
	return token.NoPos
}

// contentUsed returns where the memory that a loaded pointer or slice leads to is
// used, as opposed to the pointer compared or the length asked for.
func contentUsed(v ssa.Value) token.Pos {
	for _, r := range *v.Referrers() {
		switch r := r.(type) {
		case *ssa.UnOp:
			if r.Op == token.MUL {
				return pos(r, v)
			}
		case *ssa.Store:
			return pos(r, v)
		case *ssa.Return, *ssa.Send:
			return pos(r, v)
		case *ssa.Convert:
			return pos(r, v)
		case ssa.CallInstruction:
			if b, ok := r.Common().Value.(*ssa.Builtin); ok && (b.Name() == "len" || b.Name() == "cap") {
				continue
			}
			return pos(r, v)
		case *ssa.FieldAddr, *ssa.IndexAddr, *ssa.Slice, *ssa.MakeInterface, *ssa.ChangeType:
			if p := contentUsed(r.(ssa.Value)); p.IsValid() {
				return p
			}
		}
	}
	return token.NoPos
}

func pos(in ssa.Instruction, v ssa.Value) token.Pos {
	if in.Pos().IsValid() {
		return in.Pos()
	}
	if v.Pos().IsValid() {
		return v.Pos()
	}
	return in.Parent().Pos()
}
