package sections

import (
	"go/constant"
	"go/token"
	"go/types"
	"maps"
	"strings"

	"golang.org/x/tools/go/ssa"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/ssax"
)

// step follows one instruction. It returns false where the path ends.
func (w *walker) step(s *state, in ssa.Instruction) bool {
	switch in := in.(type) {
	case *ssa.Alloc:
		s.clearCell(cellName(in))
	case *ssa.Store:
		w.store(s, in)
	case *ssa.UnOp:
		w.unary(s, in)
	case *ssa.FieldAddr:
		if t := w.argTie(s, in.X); t.kind == tokenOf {
			w.loosen(s, t) // its insides are looked at
		}
		s.set(in, s.vals[in.X])
	case *ssa.IndexAddr:
		s.set(in, s.vals[in.X])
	case *ssa.Field:
		s.set(in, s.vals[in.X])
	case *ssa.Index:
		s.set(in, s.vals[in.X])
	case *ssa.Slice:
		s.set(in, w.slice(s, in))
	case *ssa.ChangeType:
		s.set(in, s.vals[in.X])
	case *ssa.ChangeInterface:
		s.set(in, s.vals[in.X])
	case *ssa.MakeInterface:
		s.set(in, s.vals[in.X])
	case *ssa.TypeAssert:
		s.set(in, s.vals[in.X])
	case *ssa.Extract:
		s.set(in, w.extract(s, in))
	case *ssa.Convert:
		t := s.vals[in.X]
		if !pointerLike(in.Type()) {
			w.use(s, in.X, in.Pos(), "copied")
			t = tie{}
		}
		s.set(in, t)
	case *ssa.Call:
		s.set(in, tie{})
		name, _ := condition(in)
		delete(s.facts, name)
		return w.call(s, in)
	case *ssa.Defer:
		w.deferred(s, in)
	case *ssa.Go:
		w.spawn(s, in)
	case *ssa.RunDefers:
		for i := len(s.defers) - 1; i >= 0; i-- {
			w.runDeferred(s, s.defers[i])
		}
		s.defers = nil
	case *ssa.Send:
		w.send(s, in)
	case *ssa.Select:
		if in.Blocking {
			w.mayBlock(s, in.Pos(), "waits in a select", "")
			w.waited(s)
		}
	case *ssa.MapUpdate:
		w.mapUpdate(s, in)
	case *ssa.MakeClosure:
		w.closure(s, in)
	case *ssa.Return:
		w.leave(s, in)
		return false
	case *ssa.Panic:
		return false
	}
	return true
}

func (w *walker) unary(s *state, in *ssa.UnOp) {
	switch in.Op {
	case token.ARROW:
		w.mayBlock(s, in.Pos(), "receives from a channel", "")
		w.waited(s)
		s.set(in, tie{})
		return
	case token.MUL:
	default:
		s.set(in, tie{})
		return
	}
	if name, ok := w.cell(in.X); ok {
		s.set(in, s.within(name))
		return
	}
	switch t := s.vals[in.X]; t.kind {
	case borrowed:
		w.use(s, in.X, in.Pos(), "used")
		s.set(in, tie{})
	case container:
		if pointerLike(in.Type()) {
			s.set(in, tie{kind: borrowed, on: t.on})
			return
		}
		s.set(in, tie{})
	case tokenOf:
		s.set(in, t)
	default:
		s.set(in, tie{})
	}
}

func (w *walker) slice(s *state, in *ssa.Slice) tie {
	if a, ok := in.X.(*ssa.Alloc); ok && w.followed(a) {
		t := s.within(cellName(a))
		if t.kind == borrowed {
			t.kind = container
		}
		return t
	}
	return s.vals[in.X]
}

// extract is the tie of one of several results.
func (w *walker) extract(s *state, in *ssa.Extract) tie {
	t := s.vals[in.Tuple]
	if t.kind == noRelation {
		return t
	}
	c, ok := in.Tuple.(*ssa.Call)
	if !ok {
		return tie{}
	}
	f := ssax.Callee(c.Common())
	if f == nil {
		return tie{}
	}
	if u, ok := w.table.Find(api.Name(f), api.Begin, nil); ok {
		if in.Index == u.Source.Token {
			return tie{kind: tokenOf, on: t.on}
		}
		for _, v := range u.Source.Values {
			if v == in.Index {
				return tie{kind: borrowed, on: t.on}
			}
		}
		return tie{}
	}
	if t.kind == tokenOf && in.Index == 0 || t.kind == borrowed && pointerLike(in.Type()) {
		return t
	}
	return tie{}
}

// use reports a value whose sections are over.
func (w *walker) use(s *state, v ssa.Value, pos token.Pos, how string) {
	t := s.vals[v]
	if t.kind != borrowed {
		return
	}
	a := w.arrive(Borrow, pos, how)
	if !s.dead(t) {
		a.right = true
		return
	}
	sec := t.on[0].sec
	if st := s.secs[sec]; st.open && st.gen == t.on[0].gen && st.step != t.on[0].step {
		w.wrong(a, Borrow, pos, secState{endBlock: w.now}, "%s %s after a step of the %s that it came from", valueName(v), how, sec.src.Name)
		return
	}
	w.wrong(a, Borrow, pos, s.secs[sec], "%s %s after %s of the %s that keeps it valid (from %s, %s)",
		valueName(v), how, endName(sec), sec.src.Name, sec.name, w.line(sec.pos))
}

// valueName is what a message calls a value.
func valueName(v ssa.Value) string {
	if i, ok := v.(*ssa.IndexAddr); ok {
		v = i.X
	}
	if _, ok := v.Type().Underlying().(*types.Slice); ok {
		return "slice"
	}
	return "pointer"
}

func (w *walker) store(s *state, in *ssa.Store) {
	t := s.vals[in.Val]
	w.use(s, in.Addr, in.Pos(), "written through")
	if name, ok := w.cell(in.Addr); ok {
		s.clearCell(name)
		if whole, _, part := strings.Cut(name, "."); part && s.cells[whole].kind == container {
			s.setCell(whole, tie{}) // which part it was is not known
		}
		if !w.copyParts(s, name, in.Val) {
			s.setCell(name, t)
		}
		if t.kind == tokenOf && strings.ContainsAny(name, ".[") {
			w.loosen(s, t) // in a struct or a slice: others may end it
		}
		if fv, ok := in.Addr.(*ssa.FreeVar); ok {
			delete(s.escapes, "f:"+fv.Name())
			if t.kind == borrowed || t.kind == container {
				s.escapes["f:"+fv.Name()] = escape{tie: t, pos: in.Pos(), free: fv}
			}
			if t.kind == tokenOf {
				w.loosen(s, t)
			}
		}
		return
	}
	key := placeOf(in.Addr)
	delete(s.escapes, key)
	switch t.kind {
	case tokenOf:
		w.loosen(s, t)
	case borrowed, container:
		what := outlives(in.Addr)
		switch {
		case what == "":
		case s.dead(t):
			w.use(s, in.Val, in.Pos(), "stored in "+what)
		default:
			s.escapes[key] = escape{tie: t, pos: in.Pos(), what: "stored in " + what}
		}
	}
}

// copyParts follows the copy of a struct from one local variable to another,
// field by field. It reports whether the store is one.
func (w *walker) copyParts(s *state, to string, val ssa.Value) bool {
	load, ok := val.(*ssa.UnOp)
	if !ok || load.Op != token.MUL {
		return false
	}
	if _, ok := load.Type().Underlying().(*types.Struct); !ok {
		return false
	}
	from, ok := w.cell(load.X)
	if _, whole := s.cells[from]; !ok || whole {
		return false
	}
	parts := map[string]tie{}
	for k, t := range s.cells {
		if rest, ok := strings.CutPrefix(k, from); ok && rest != "" && rest[0] == '.' {
			parts[to+rest] = t
		}
	}
	maps.Copy(s.cells, parts)
	return len(parts) > 0
}

// outlives says where an address is if that is certain to outlive the call: a
// package's variable, or a field of a parameter or receiver.
func outlives(addr ssa.Value) string {
	switch a := addr.(type) {
	case *ssa.Global:
		return "variable " + a.Name()
	case *ssa.FieldAddr:
		switch x := a.X.(type) {
		case *ssa.Parameter:
			return "field " + fieldName(a) + " of " + x.Name()
		case *ssa.Global:
			return "a field of variable " + x.Name()
		}
	}
	return ""
}

func fieldName(a *ssa.FieldAddr) string {
	st := a.X.Type().Underlying().(*types.Pointer).Elem().Underlying().(*types.Struct)
	return st.Field(a.Field).Name()
}

// loosen gives up on the end of a token's section: the token is in a place from
// which others may end it.
func (w *walker) loosen(s *state, t tie) {
	for _, d := range t.on {
		st := s.secs[d.sec]
		st.loose = true
		s.secs[d.sec] = st
	}
}

func (w *walker) mapUpdate(s *state, in *ssa.MapUpdate) {
	t := s.vals[in.Value]
	if t.kind == tokenOf {
		w.loosen(s, t)
	}
	if t.kind != borrowed && t.kind != container {
		return
	}
	load, ok := in.Map.(*ssa.UnOp)
	if !ok || load.Op != token.MUL {
		return
	}
	what := outlives(load.X)
	if fv, ok := load.X.(*ssa.FreeVar); ok {
		s.escapes["m:"+in.Map.Name()] = escape{tie: t, pos: in.Pos(), free: fv}
		return
	}
	if what != "" {
		s.escapes["m:"+in.Map.Name()] = escape{tie: t, pos: in.Pos(), what: "stored in a map, " + what}
	}
}

func (w *walker) send(s *state, in *ssa.Send) {
	if m, ok := in.Chan.(*ssa.MakeChan); ok {
		if c, ok := m.Size.(*ssa.Const); ok && constant.Sign(c.Value) == 0 {
			w.mayBlock(s, in.Pos(), "sends to a channel without a buffer", "")
		}
	}
	t := s.vals[in.X]
	switch {
	case t.kind == tokenOf:
		w.loosen(s, t)
	case t.kind == borrowed && s.dead(t):
		w.use(s, in.X, in.Pos(), "sent")
	case t.kind == borrowed:
		s.escapes["send:"+in.Chan.Name()] = escape{tie: t, pos: in.Pos(), what: "sent to a channel", wait: true}
	}
}

// waited forgets what others had to finish first: the function waited for
// somebody.
func (w *walker) waited(s *state) {
	for k, e := range s.escapes {
		if e.wait {
			delete(s.escapes, k)
		}
	}
}

// closure looks at what a function literal takes with it.
func (w *walker) closure(s *state, in *ssa.MakeClosure) {
	for _, b := range in.Bindings {
		if t := s.vals[b]; t.kind == tokenOf {
			w.loosen(s, t)
		}
		a, ok := b.(*ssa.Alloc)
		if !ok {
			continue
		}
		if t := s.cells[cellName(a)]; t.kind == tokenOf && !onlyDeferred(in) {
			if use := closureUse(w, in, a); use.ends || use.writes {
				w.loosen(s, t)
			}
		}
	}
}

// spawn follows a go statement: what it takes along may be used after the end.
func (w *walker) spawn(s *state, in *ssa.Go) {
	note := func(t tie, what string) {
		switch {
		case t.kind == tokenOf:
			w.loosen(s, t)
		case t.kind != borrowed:
		case s.dead(t):
		default:
			s.escapes["go:"+in.String()] = escape{tie: t, pos: in.Pos(), what: what, wait: true}
		}
	}
	for _, a := range in.Call.Args {
		note(s.vals[a], "passed to a goroutine")
	}
	if m, ok := in.Call.Value.(*ssa.MakeClosure); ok {
		for _, b := range m.Bindings {
			note(s.vals[b], "captured by a goroutine")
			if a, ok := b.(*ssa.Alloc); ok {
				note(s.within(cellName(a)), "captured by a goroutine")
			}
		}
	}
}
