package sections

import (
	"go/token"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/tools/go/ssa"

	"quiesce/cmd/quiescevet/internal/api"
)

// section is a place in a function that begins sections: a call, or the entry
// of a function literal that is lent one.
type section struct {
	id    int
	src   *api.Source
	name  string    // of the function that begins it
	pos   token.Pos // of the call
	lent  bool
	walk  bool          // of Range, in which a Put is refused, at worst
	owner *ssa.Function // of a lent one: the literal at whose end it ends
	// deferred says that a defer statement in a loop ends it, which is a fault of
	// its own.
	deferred bool
	lock     string // of a raw lock: its place, as placeOf says
	reader   string // of a Reader's: likewise
}

// secState is what a path knows of a section.
type secState struct {
	open  bool
	loose bool // ended elsewhere, perhaps: no report about its end
	gen   int  // times it began
	step  int  // times that its iterator moved

	endBlock *ssa.BasicBlock // where it was ended last
}

// kind says how a value depends on sections.
type kind byte

const (
	tokenOf    kind = 't' // stands for the section: a guard, a transaction, a bucket
	borrowed   kind = 'b' // memory that is valid until the section ends
	container  kind = 'c' // Go memory that holds borrowed pointers
	noRelation kind = 0
)

// dep is one section that keeps a value valid.
type dep struct {
	sec       *section
	gen, step int
}

// tie is a value's relation to sections: it is valid while one of them is open.
type tie struct {
	kind kind
	on   []dep
	soft bool // of a Go object: a wait for a grace period may be what its user wants
}

// fact is what a path has learned of a condition.
type fact struct {
	value bool
	where *ssa.BasicBlock
}

// escape is a borrowed value in a place that outlives the section, unless it
// leaves there before the section ends.
type escape struct {
	tie  tie
	pos  token.Pos
	what string
	wait bool // over once somebody was waited for
	free *ssa.FreeVar
}

// state is what holds at one point of one path.
type state struct {
	secs    map[*section]secState
	vals    map[ssa.Value]tie
	cells   map[string]tie
	facts   map[string]fact
	escapes map[string]escape
	defers  []*ssa.Defer
	locks   int // locks held that are not ours to follow
}

func newState() *state {
	return &state{
		secs: map[*section]secState{}, vals: map[ssa.Value]tie{}, cells: map[string]tie{},
		facts: map[string]fact{}, escapes: map[string]escape{},
	}
}

func (s *state) clone() *state {
	return &state{
		secs: maps.Clone(s.secs), vals: maps.Clone(s.vals), cells: maps.Clone(s.cells),
		facts: maps.Clone(s.facts), escapes: maps.Clone(s.escapes),
		defers: slices.Clone(s.defers), locks: s.locks,
	}
}

// alive reports whether a section is open since it kept a value.
func (s *state) alive(d dep) bool {
	now := s.secs[d.sec]
	return now.open && now.gen == d.gen && now.step == d.step
}

// dead reports whether no section keeps a value any more.
func (s *state) dead(t tie) bool {
	if t.kind == noRelation || t.kind == tokenOf || len(t.on) == 0 {
		return false
	}
	return !slices.ContainsFunc(t.on, s.alive)
}

// key is equal for states in which all that follows is the same. Numbers of
// generations are not in it, so that loops come to an end.
func (s *state) key() string {
	parts := make([]string, 0, len(s.secs)+len(s.vals)+len(s.cells)+len(s.facts)+len(s.escapes))
	for sec, st := range s.secs {
		parts = append(parts, "s"+strconv.Itoa(sec.id)+truth(st.open)+truth(st.loose))
	}
	for v, t := range s.vals {
		parts = append(parts, "v"+v.Name()+s.tieKey(t))
	}
	for c, t := range s.cells {
		parts = append(parts, "c"+c+s.tieKey(t))
	}
	for k, f := range s.facts {
		parts = append(parts, "f"+k+truth(f.value))
	}
	for k, e := range s.escapes {
		parts = append(parts, "e"+k+s.tieKey(e.tie))
	}
	sort.Strings(parts)
	for _, d := range s.defers {
		parts = append(parts, "d"+strconv.Itoa(int(d.Pos())))
	}
	return strconv.Itoa(s.locks) + strings.Join(parts, " ")
}

func truth(b bool) string {
	if b {
		return "+"
	}
	return "-"
}

func (s *state) tieKey(t tie) string {
	b := []byte{':', byte(t.kind)}
	for _, d := range t.on {
		b = append(strconv.AppendInt(b, int64(d.sec.id), 10), truth(s.alive(d))...)
	}
	return string(b)
}

// openOf returns the sections of some kinds that are open, as what a value that
// is found now depends on.
func (s *state) openOf(kinds ...api.Kind) (on []dep) {
	for sec, st := range s.secs {
		if st.open && slices.Contains(kinds, sec.src.Kind) {
			on = append(on, dep{sec, st.gen, st.step})
		}
	}
	sort.Slice(on, func(i, j int) bool { return on[i].sec.id < on[j].sec.id })
	return on
}

// set gives a value a tie, or takes it.
func (s *state) set(v ssa.Value, t tie) {
	if t.kind == noRelation {
		delete(s.vals, v)
	} else {
		s.vals[v] = t
	}
}

func (s *state) setCell(key string, t tie) {
	if t.kind == noRelation {
		delete(s.cells, key)
	} else {
		s.cells[key] = t
	}
}

// within returns the tie of a variable as a whole: its own, or that of one of
// its fields or elements.
func (s *state) within(cell string) tie {
	if t, ok := s.cells[cell]; ok {
		return t
	}
	var found tie
	var best string
	for k, t := range s.cells {
		rest, ok := strings.CutPrefix(k, cell)
		if !ok || rest == "" || rest[0] != '.' && rest[0] != '[' || t.kind == tokenOf {
			continue
		}
		if best == "" || k < best {
			found, best = tie{kind: container, on: t.on}, k
		}
	}
	return found
}

// clearCell forgets a variable and its parts.
func (s *state) clearCell(cell string) {
	for k := range s.cells {
		if rest, ok := strings.CutPrefix(k, cell); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			delete(s.cells, k)
		}
	}
}
