package sections

import (
	"fmt"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/ssa"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/ssax"
)

// effects looks at what a call may do that an open section forbids.
func (w *walker) effects(s *state, in ssa.CallInstruction, f *types.Func) {
	known := w.contexts.Of(f)
	if known.Blocks != "" {
		w.mayBlock(s, in.Pos(), "calls "+api.Short(f)+", which "+known.Blocks, known.Waits)
	}
	if known.Blocks == "" && known.Waits != "" {
		w.mayWait(s, in.Pos(), api.Short(f), known.Waits)
	} else if known.Waits != "" && w.pinned(s) == nil {
		w.mayWait(s, in.Pos(), api.Short(f), known.Waits)
	}
	if known.Waits != "" {
		for v, t := range s.vals {
			if t.soft {
				delete(s.vals, v)
			}
		}
		for k, t := range s.cells {
			if t.soft {
				delete(s.cells, k)
			}
		}
	}
	if flags, ok := ssax.Flags(in.Common()); ok && w.ofLibrary(f) {
		switch sec := w.pinned(s); {
		case sec != nil && (api.MaySleep(flags) || api.MayLock(flags)) && allocates(f):
			w.find(Blocks, in.Pos(), "%s with flags that may wait for a lock or for memory, in the %s from %s (%s): use gfp.NoLocks", api.Short(f), sec.src.Name, sec.name, w.line(sec.pos))
		case sec == nil && api.MaySleep(flags):
			w.mayWait(s, in.Pos(), api.Short(f), "may wait for memory with gfp.Kernel")
		}
	}
	if known.Releases {
		w.unpin(s)
	}
}

// allocates reports whether a function of the library takes a lock that parks if
// it gets flags that allow it.
func allocates(f *types.Func) bool {
	switch f.Name() {
	case "Alloc", "AllocBulk", "Kmalloc", "Krealloc", "PutFlags":
		return true
	}
	return false
}

// pinned returns a pinned section that is open for certain.
func (w *walker) pinned(s *state) *section {
	for _, d := range s.openOf(api.Pinned) {
		if !s.secs[d.sec].loose {
			return d.sec
		}
	}
	return nil
}

func (w *walker) mayBlock(s *state, pos token.Pos, what, _ string) {
	sec := w.pinned(s)
	if sec == nil {
		return
	}
	if sec.lock != "" {
		w.find(Blocks, pos, "%s while a lock.Raw is held (%s): nothing may block there", what, w.line(sec.pos))
		return
	}
	w.find(Blocks, pos, "%s in the %s from %s (%s): nothing may block there", what, sec.src.Name, sec.name, w.line(sec.pos))
}

// mayWait looks at a wait for a grace period or for memory, which a read-side
// section must not contain: the grace period waits for the section.
func (w *walker) mayWait(s *state, pos token.Pos, name, why string) {
	for _, d := range s.openOf(api.Read) {
		if st := s.secs[d.sec]; !st.loose && !(d.sec.walk && strings.HasPrefix(name, "Map.Put") || d.sec.walk && strings.HasPrefix(name, "Bytes.Put")) {
			w.find(Waits, pos, "%s in the read-side section from %s (%s): it %s", name, d.sec.name, w.line(d.sec.pos), why)
			return
		}
	}
}

// leave follows a return: sections that are still open, and borrowed values that
// are in places which outlive their section.
func (w *walker) leave(s *state, in *ssa.Return) {
	kept := map[*section]bool{}
	for _, r := range in.Results {
		t := s.vals[r]
		if a, ok := r.(*ssa.Alloc); ok {
			t = s.within(cellName(a))
		}
		switch {
		case t.kind == tokenOf:
			for _, d := range t.on {
				kept[d.sec] = true
			}
		case s.dead(t):
			w.returned(s, r, t, in)
		case t.kind == borrowed || t.kind == container:
			w.arrive(Borrow, in.Pos(), "returned").right = true
		}
	}
	for sec, st := range s.secs {
		a := w.arrive(Unlock, in.Pos(), fmt.Sprint("open ", sec.id, in.Block().Index))
		if !st.open || st.loose || sec.lock != "" || kept[sec] || !w.mustEnd(sec) {
			a.right = true
			continue
		}
		if (w.ends[sec.src] || w.readerEnds[sec.reader]) && in.Pos().IsValid() {
			w.wrong(a, Unlock, sec.pos, secState{}, "%s from %s is not ended on the path that returns at %s: call %s", sec.src.Name, sec.name, w.line(in.Pos()), endName(sec))
		} else {
			w.wrong(a, Unlock, sec.pos, secState{}, "%s from %s is not ended on a path to the return: call %s", sec.src.Name, sec.name, endName(sec))
			a.finding.SuggestedFixes = w.deferFix(sec, w.callOf(sec))
		}
	}
	for _, e := range s.escapes {
		w.escaped(s, e)
	}
}

// returned reports a result that is dead for the caller.
func (w *walker) returned(s *state, r ssa.Value, t tie, in *ssa.Return) {
	sec := t.on[0].sec
	if s.secs[sec].open {
		return
	}
	a := w.arrive(Borrow, in.Pos(), "returned")
	what := valueName(r)
	if t.kind == container {
		what = "value that holds a pointer"
	}
	w.wrong(a, Borrow, in.Pos(), s.secs[sec], "%s returned that is valid only until %s of the %s from %s (%s): return a copy", what, endName(sec), sec.src.Name, sec.name, w.line(sec.pos))
}

func (w *walker) escaped(s *state, e escape) {
	if len(e.tie.on) == 0 {
		return
	}
	sec := e.tie.on[0].sec
	ended := s.dead(e.tie) && !s.secs[sec].loose
	if !ended && !sec.lent {
		return // the caller ends it
	}
	if e.free != nil {
		if pos := w.usedOutside(e.free, sec); pos.IsValid() {
			w.find(Borrow, e.pos, "stored in variable %s, which is used after the %s of %s has ended (%s): store a copy", e.free.Name(), sec.src.Name, sec.name, w.line(pos))
		}
		return
	}
	w.find(Borrow, e.pos, "%s, but valid only until the %s of %s ends (%s): use a copy", e.what, sec.src.Name, sec.name, w.line(sec.pos))
}
