package sections

import (
	"slices"

	"golang.org/x/tools/go/ssa"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/ssax"
)

// deferred notes a defer statement, and looks for one in a loop.
func (w *walker) deferred(s *state, in *ssa.Defer) {
	if slices.Contains(s.defers, in) {
		return // of a round before: what it ends is ended once more, at most
	}
	s.defers = append(s.defers, in)
	f := ssax.Callee(in.Common())
	if f == nil {
		return
	}
	args := in.Call.Args
	if !w.hasRole(f, api.End) || len(args) == 0 {
		w.arguments(s, in, f)
		return
	}
	for _, d := range w.tieOf(s, args[0]).on {
		begin := w.callOf(d.sec)
		if begin != nil && d.sec.src.Ends && ssax.Reaches(in.Block(), in.Block()) && ssax.Reaches(in.Block(), begin.Block()) {
			d.sec.deferred = true
			w.find(Unlock, in.Pos(), "deferred %s in a loop runs when the function returns: until then the %s of every round is open", endName(d.sec), d.sec.src.Name)
			w.loosen(s, tie{kind: tokenOf, on: []dep{d}})
		}
	}
}

// callOf returns the call that begins a section, or nil if it is lent.
func (w *walker) callOf(sec *section) ssa.CallInstruction {
	for in, known := range w.sections {
		if c, ok := in.(ssa.CallInstruction); ok && known == sec {
			return c
		}
	}
	return nil
}

// runDeferred follows a deferred call, at the end of the function.
func (w *walker) runDeferred(s *state, in *ssa.Defer) {
	if f := ssax.Callee(in.Common()); f != nil && !w.isLiteral(in) {
		w.effects(s, in, f)
		w.endOf(s, in, f, true)
		return
	}
	// A literal: sections that it may end are over, or not.
	m, ok := in.Call.Value.(*ssa.MakeClosure)
	if !ok {
		return
	}
	for _, b := range m.Bindings {
		t := w.tieOf(s, b)
		if t.kind != tokenOf {
			continue
		}
		if a, ok := b.(*ssa.Alloc); ok && !closureUse(w, m, a).ends {
			continue
		}
		for _, d := range t.on {
			if st := s.secs[d.sec]; st.gen == d.gen {
				st.open, st.loose = false, true
				s.secs[d.sec] = st
			}
		}
	}
}

func (w *walker) isLiteral(in *ssa.Defer) bool {
	_, ok := in.Call.Value.(*ssa.MakeClosure)
	return ok
}
