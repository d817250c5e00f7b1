package sections

import (
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/ssa"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/ssax"
)

// call follows a call. It returns false if that does not come back.
func (w *walker) call(s *state, in *ssa.Call) bool {
	c := in.Common()
	if b, ok := c.Value.(*ssa.Builtin); ok {
		w.builtin(s, in, b.Name())
		return true
	}
	f := ssax.Callee(c)
	if f == nil {
		w.arguments(s, in, nil)
		return true
	}
	name := api.Name(f)
	if api.NoReturn(name) {
		return false
	}
	w.effects(s, in, f)
	if w.endOf(s, in, f, false) {
		return true
	}
	if isOne(name, api.RawLock) {
		if strings.Contains(placeOf(c.Args[0]), "[") {
			return true // one of many, which another loop unlocks
		}
		w.open(s, w.section(in, f, w.raw()), in.Pos())
		return true
	}
	if u, ok := w.table.Find(name, api.Begin, nil); ok {
		w.begin(s, in, f, u.Source)
		return true
	}
	w.arguments(s, in, f)
	w.results(s, in, f)
	switch f.Name() {
	case "Lock", "RLock", "LockIRQ", "LockNested":
		s.locks = min(s.locks+1, 3)
	case "Unlock", "RUnlock", "UnlockIRQ":
		s.locks = max(0, s.locks-1)
	case "Wait":
		w.waited(s)
	}
	return true
}

// raw is the source that raw locks are sections of.
func (w *walker) raw() *api.Source {
	u, _ := w.table.Find("quiesce/preempt.Disable", api.Begin, nil)
	return u.Source
}

// section returns the section that a call begins.
func (w *walker) section(in ssa.CallInstruction, f *types.Func, src *api.Source) *section {
	if sec := w.sections[in]; sec != nil {
		return sec
	}
	sec := &section{id: len(w.sections), src: src, name: api.Short(f), pos: in.Pos()}
	if args := in.Common().Args; len(args) > 0 {
		switch name := api.Name(f); {
		case isOne(name, api.RawLock):
			sec.lock = placeOf(args[0])
		case strings.HasSuffix(name, ".Reader.ReadLock"):
			sec.reader = placeOf(args[0])
		}
	}
	w.sections[in] = sec
	return sec
}

// open begins a section and returns what keeps its values.
func (w *walker) open(s *state, sec *section, pos token.Pos) dep {
	st := s.secs[sec]
	if st.open && !st.loose && sec.lock == "" && w.mustEnd(sec) {
		w.find(Unlock, pos, "%s from %s is not ended before the next one begins here: call %s on every path through the loop", sec.src.Name, sec.name, endName(sec))
	}
	st = secState{open: true, gen: st.gen + 1}
	s.secs[sec] = st
	return dep{sec, st.gen, st.step}
}

// mustEnd reports whether a section has to be ended by the function that begins
// it, as far as its kind goes. One of a Reader is ended by the reader, too: by
// others, if this function never does that.
func (w *walker) mustEnd(sec *section) bool {
	switch {
	case !sec.src.Ends || sec.lent || sec.deferred:
		return false
	case sec.reader == "":
		return true
	}
	return w.readerEnds[sec.reader] || w.ends[sec.src] && len(w.readerEnds) == 0
}

func (w *walker) begin(s *state, in *ssa.Call, f *types.Func, src *api.Source) {
	sec := w.section(in, f, src)
	of := func(t tie) bool { return t.kind == tokenOf && len(t.on) == 1 && t.on[0].sec == sec }
	// A token of the round before that is still in a variable may be ended by it,
	// under conditions that the walk does not connect: every 64 rounds, say.
	kept := false
	for k, t := range s.cells {
		if of(t) {
			kept = true
			delete(s.cells, k)
		}
	}
	for v, t := range s.vals {
		if _, phi := v.(*ssa.Phi); phi && of(t) {
			kept = true
			delete(s.vals, v)
		}
	}
	if kept {
		w.loosen(s, tie{kind: tokenOf, on: []dep{{sec: sec}}})
	}
	d := w.open(s, sec, in.Pos())
	if kept {
		w.loosen(s, tie{kind: tokenOf, on: []dep{d}})
	}
	s.set(in, tie{kind: tokenOf, on: []dep{d}})
}

// endOf follows a call that may end a section or move an iterator. It reports
// whether the call is one of these.
func (w *walker) endOf(s *state, in ssa.CallInstruction, f *types.Func, deferred bool) bool {
	c, name := in.Common(), api.Name(f)
	var recv ssa.Value
	switch {
	case c.IsInvoke():
		recv = c.Value
	case len(c.Args) > 0:
		recv = c.Args[0]
	default:
		return false
	}
	if isOne(name, api.RawUnlock) {
		w.rawUnlock(s, placeOf(recv))
		return true
	}
	if name == api.ReaderUnlock {
		w.readerUnlock(s, placeOf(recv))
		return true
	}
	t := w.tieOf(s, recv)
	if _, ok := w.table.Find(name, api.End, nil); ok {
		if t.kind == tokenOf {
			for _, d := range t.on {
				if _, ok := w.table.Find(name, api.End, d.sec.src); ok {
					w.end(s, d, in.Pos(), deferred)
				}
			}
		}
		return true
	}
	if _, ok := w.table.Find(name, api.Step, nil); ok && t.kind == tokenOf {
		for i, d := range t.on {
			if st := s.secs[d.sec]; st.gen == d.gen {
				st.step++
				s.secs[d.sec] = st
				t.on[i].step = st.step
			}
		}
		return true
	}
	return false
}

// tieOf is the tie of a value, or of the local variable that it is the address
// of.
func (w *walker) tieOf(s *state, v ssa.Value) tie {
	if t, ok := s.vals[v]; ok {
		return t
	}
	if name, ok := w.cell(v); ok {
		return s.cells[name]
	}
	return tie{}
}

func (w *walker) end(s *state, d dep, pos token.Pos, deferred bool) {
	st := s.secs[d.sec]
	switch {
	case st.gen != d.gen || st.loose:
	case d.sec.lent:
		if d.sec.src.Ends {
			w.find(Unlock, pos, "%s ends its %s itself when the function returns; this ends it twice", d.sec.name, d.sec.src.Name)
		}
	case st.open:
		w.arrive(Unlock, pos, "twice").right = true
	case d.sec.src.Ends:
		if deferred {
			w.find(Unlock, pos, "deferred %s ends the %s from %s (%s) a second time: a path to the return has ended it", endName(d.sec), d.sec.src.Name, d.sec.name, w.line(d.sec.pos))
		} else {
			w.wrong(w.arrive(Unlock, pos, "twice"), Unlock, pos, st, "%s from %s (%s) is ended twice", d.sec.src.Name, d.sec.name, w.line(d.sec.pos))
		}
	}
	if !d.sec.lent && st.gen == d.gen {
		st.open, st.endBlock = false, w.now
		s.secs[d.sec] = st
	}
}

func (w *walker) rawUnlock(s *state, place string) {
	found := false
	for sec, st := range s.secs {
		if sec.lock != "" && st.open && sec.lock == place {
			st.open, found = false, true
			s.secs[sec] = st
		}
	}
	if !found {
		w.unpin(s)
	}
}

// unpin forgets that raw locks are held: one that is not known was released.
func (w *walker) unpin(s *state) {
	for sec, st := range s.secs {
		if sec.lock != "" {
			st.open = false
			s.secs[sec] = st
		}
	}
}

// readerUnlock ends the latest section of a reader.
func (w *walker) readerUnlock(s *state, place string) {
	var last *section
	for sec, st := range s.secs {
		if sec.reader == place && st.open && (last == nil || sec.id > last.id) {
			last = sec
		}
	}
	if last == nil {
		// One that this function did not begin, or not by this name.
		for sec, st := range s.secs {
			if sec.reader != "" {
				st.loose = true
				s.secs[sec] = st
			}
		}
		return
	}
	st := s.secs[last]
	st.open, st.endBlock = false, w.now
	s.secs[last] = st
}

// arguments follows what a call gets.
func (w *walker) arguments(s *state, in ssa.CallInstruction, f *types.Func) {
	library := f != nil && w.ofLibrary(f)
	for i, a := range in.Common().Args {
		switch t := w.argTie(s, a); t.kind {
		case tokenOf:
			if !library && !w.known(f) && !w.keeps(in.Common(), i, t, 0) {
				w.loosen(s, t)
			}
		case borrowed:
			if !library {
				w.use(s, a, in.Pos(), "passed on")
			}
		}
	}
}

// argTie is the tie of an argument, or of the local variable whose address it
// is, if that is a token: the callee may end it.
func (w *walker) argTie(s *state, a ssa.Value) tie {
	if t, ok := s.vals[a]; ok {
		return t
	}
	if alloc, ok := a.(*ssa.Alloc); ok {
		if t := s.cells[cellName(alloc)]; t.kind == tokenOf {
			return t
		}
	}
	return tie{}
}

// known reports whether a function is in the table of sources: then it does with
// a token what the table says.
func (w *walker) known(f *types.Func) bool { return f != nil && len(w.table[api.Name(f)]) > 0 }

// keeps reports whether a function of this package can't end the section of its
// argument: there is no call in it that could.
func (w *walker) keeps(c *ssa.CallCommon, arg int, t tie, depth int) bool {
	fn := c.StaticCallee()
	if fn == nil || fn.Pkg == nil || fn.Pkg != w.fn.Pkg || len(fn.Blocks) == 0 || depth > 3 {
		return false
	}
	typ := c.Args[arg].Type()
	for _, body := range append([]*ssa.Function{fn}, fn.AnonFuncs...) {
		for _, b := range body.Blocks {
			for _, in := range b.Instrs {
				switch in := in.(type) {
				case *ssa.Return:
					for _, r := range in.Results {
						if types.Identical(r.Type(), typ) {
							return false
						}
					}
				case ssa.CallInstruction:
					if _, ok := in.(*ssa.Go); ok {
						return false
					}
					f := ssax.Callee(in.Common())
					if f != nil && w.hasRole(f, api.End) {
						return false
					}
					for i, a := range in.Common().Args {
						if types.Identical(a.Type(), typ) && (f == nil || !w.ofLibrary(f) && !w.keeps(in.Common(), i, t, depth+1)) {
							return false
						}
					}
				case *ssa.Store:
					if _, local := in.Addr.(*ssa.Alloc); !local && types.Identical(in.Val.Type(), typ) {
						return false
					}
				}
			}
		}
	}
	return true
}

// results gives a call's results their ties.
func (w *walker) results(s *state, in *ssa.Call, f *types.Func) {
	c := in.Common()
	values := c.Args
	if c.IsInvoke() {
		values = append([]ssa.Value{c.Value}, values...)
	}
	for _, u := range w.table[api.Name(f)] {
		switch u.Role {
		case api.Handle:
			for _, a := range values {
				if t := w.tieOf(s, a); t.kind == tokenOf {
					s.set(in, t)
				}
			}
		case api.Borrow:
			t := w.borrow(s, values, u.Source)
			t.soft = api.Name(f) == "quiesce/rcu.Pointer.Load"
			s.set(in, t)
		case api.Into:
			t := w.borrow(s, values[:min(2, len(values))], u.Source)
			if i := u.Arg + 1; t.kind == borrowed && i < len(values) {
				s.set(values[i], tie{kind: container, on: t.on})
			}
		}
	}
}

// borrow is the tie of what a function finds under the tokens that it gets: all
// sections that are open now keep it, if they are read-side sections.
func (w *walker) borrow(s *state, values []ssa.Value, src *api.Source) tie {
	var on []dep
	for _, v := range values {
		t := w.tieOf(s, v)
		switch {
		case t.kind == tokenOf && len(t.on) > 0 && t.on[0].sec.src == src:
			on = append(on, t.on...)
		case t.kind == borrowed && src.Kind == api.Read:
			on = append(on, t.on...)
		}
	}
	if len(on) == 0 || src.Kind == api.Read && s.locks > 0 {
		return tie{}
	}
	for _, d := range on {
		st := s.secs[d.sec]
		if !st.open || st.gen != d.gen {
			return tie{}
		}
	}
	for i := range on {
		on[i].step = s.secs[on[i].sec].step
	}
	if src.Kind == api.Read {
		on = append(on, s.openOf(api.Read, api.Pinned)...)
	}
	return tie{kind: borrowed, on: on}
}

func (w *walker) builtin(s *state, in *ssa.Call, name string) {
	args := in.Call.Args
	s.set(in, tie{})
	switch name {
	case "copy":
		w.use(s, args[0], in.Pos(), "written to")
		w.use(s, args[1], in.Pos(), "copied")
	case "append":
		s.set(in, s.vals[args[0]])
		if len(args) < 2 {
			return
		}
		t := s.vals[args[1]]
		switch t.kind {
		case borrowed: // bytes are copied; pointers in a borrowed slice are not ours to follow
			w.use(s, args[1], in.Pos(), "copied")
		case container:
			s.set(in, t)
		case tokenOf:
			w.loosen(s, t)
		}
	case "clear":
		if t := s.vals[args[0]]; t.kind == container {
			s.set(args[0], tie{})
		}
	}
}
