// Package sections follows the paths through a function, with the sections that
// are open on each and the values that they keep valid: guards of read-side
// sections, pinned sections, raw locks, and what a configuration names, such as
// transactions. The checks unlock, borrow, pinned and grace report what it finds.
//
// A path is followed with what it has learned of conditions, so that an unlock
// under the same condition as the lock is found. What the walk does not see, it
// gives up: a guard that is stored or passed to a function of the program may be
// unlocked there, and a variable that a function literal changes has any value.
// A function with too many paths is followed as far as a bound of work allows.
package sections

import (
	"fmt"
	"go/token"
	"reflect"
	"regexp"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/buildssa"
	"golang.org/x/tools/go/ssa"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/contexts"
	"quiesce/cmd/quiescevet/internal/ssax"
)

// Category is the check that a finding belongs to.
type Category string

// The checks.
const (
	Unlock Category = "unlock"
	Borrow Category = "borrow"
	Blocks Category = "pinned"
	Waits  Category = "grace"
)

// Finding is one fault.
type Finding struct {
	Category Category
	analysis.Diagnostic
}

// Result is the faults of a package.
type Result struct {
	Findings []Finding
}

// New makes the analyzer for a table of sources. The table is asked for when the
// analysis runs, after flags are parsed.
func New(table func(pass *analysis.Pass) (api.Table, error)) *analysis.Analyzer {
	return &analysis.Analyzer{
		Name:       "quiescesections",
		Doc:        "follow guards, transactions and pinned sections through each function",
		Requires:   []*analysis.Analyzer{buildssa.Analyzer, contexts.Analyzer},
		ResultType: reflect.TypeFor[*Result](),
		Run: func(pass *analysis.Pass) (any, error) {
			t, err := table(pass)
			if err != nil {
				return nil, err
			}
			return run(pass, t), nil
		},
	}
}

func run(pass *analysis.Pass, table api.Table) *Result {
	r := new(Result)
	seen := map[string]bool{}
	for _, fn := range pass.ResultOf[buildssa.Analyzer].(*buildssa.SSA).SrcFuncs {
		w := &walker{
			pass: pass, table: table, fn: fn,
			contexts: pass.ResultOf[contexts.Analyzer].(*contexts.Result),
			sections: map[any]*section{}, follow: map[*ssa.Alloc]bool{}, visited: map[string]bool{}, arrivals: map[string]*arrival{},
			report: func(f Finding) {
				if k := fmt.Sprint(f.Category, f.Pos); !seen[k] {
					seen[k] = true
					r.Findings = append(r.Findings, f)
				}
			},
		}
		w.function()
	}
	return r
}

// walker follows one function.
type walker struct {
	pass     *analysis.Pass
	table    api.Table
	contexts *contexts.Result
	fn       *ssa.Function
	report   func(Finding)

	sections   map[any]*section
	follow     map[*ssa.Alloc]bool
	repeated   map[string]int // conditions by name: how often they are asked
	ends       map[*api.Source]bool
	readerEnds map[string]bool // readers, by place, that the function calls Unlock of
	visited    map[string]bool
	work       int
	now        *ssa.BasicBlock
	arrivals   map[string]*arrival
	order      []*arrival
}

// maxWork bounds the instructions that are followed in one function, untuned.
const maxWork = 100_000

// point is a place to go on from.
type point struct {
	block, from *ssa.BasicBlock
	state       *state
}

func (w *walker) function() {
	if len(w.fn.Blocks) == 0 || w.onPurpose() {
		return
	}
	s := newState()
	if !w.lent(s) && !w.begins() {
		return
	}
	w.count()
	todo := []point{{w.fn.Blocks[0], nil, s}}
	for len(todo) > 0 && w.work < maxWork {
		p := todo[len(todo)-1]
		todo = append(todo[:len(todo)-1], w.block(p)...)
	}
	w.settle()
}

// begins reports whether the function begins a section.
func (w *walker) begins() bool {
	for _, b := range w.fn.Blocks {
		for _, in := range b.Instrs {
			c, ok := in.(ssa.CallInstruction)
			if !ok {
				continue
			}
			if f := ssax.Callee(c.Common()); f != nil && (w.hasRole(f, api.Begin) || isOne(api.Name(f), api.RawLock)) {
				return true
			}
		}
	}
	return false
}

// count finds the conditions that are asked more than once, and what the
// function ends.
func (w *walker) count() {
	w.repeated, w.ends, w.readerEnds = map[string]int{}, map[*api.Source]bool{}, map[string]bool{}
	for _, b := range w.fn.Blocks {
		for _, in := range b.Instrs {
			switch in := in.(type) {
			case *ssa.If:
				name, _ := condition(in.Cond)
				w.repeated[name]++
			case ssa.CallInstruction:
				w.countEnds(in.Common())
			}
		}
	}
	for _, anon := range w.fn.AnonFuncs {
		for _, b := range anon.Blocks {
			for _, in := range b.Instrs {
				if c, ok := in.(ssa.CallInstruction); ok {
					w.countEnds(c.Common())
				}
			}
		}
	}
}

func (w *walker) countEnds(c *ssa.CallCommon) {
	f := ssax.Callee(c)
	if f == nil {
		return
	}
	for _, u := range w.table[api.Name(f)] {
		if u.Role == api.End {
			w.ends[u.Source] = true
		}
	}
	if api.Name(f) == api.ReaderUnlock {
		w.readerEnds[placeOf(c.Args[0])] = true
	}
}

// purpose matches the names of functions that run a literal which is wrong on
// purpose.
var purpose = regexp.MustCompile(`(?i)panic|expect|recover|crash|dies|misuse|fatal`)

// onPurposeCalls matches those whose call says that their caller is such a test.
var onPurposeCalls = regexp.MustCompile(`(?i)panics|mustpanic|testkit.*\.Scenario$|lockdeptest\.Expect$|\.SetReporter$`)

// onPurpose reports whether the function is there to do what is wrong: it, or
// one that it is in, recovers from a panic, or it is passed to a helper that
// says so.
func (w *walker) onPurpose() bool {
	for fn := w.fn; fn != nil; fn = fn.Parent() {
		if purpose.MatchString(passedTo(fn)) {
			return true
		}
		for _, anon := range append([]*ssa.Function{fn}, fn.AnonFuncs...) {
			for _, b := range anon.Blocks {
				for _, in := range b.Instrs {
					if c, ok := in.(ssa.CallInstruction); ok {
						if bi, ok := c.Common().Value.(*ssa.Builtin); ok && bi.Name() == "recover" {
							return true
						}
						if f := ssax.Callee(c.Common()); f != nil && onPurposeCalls.MatchString(api.Name(f)) {
							return true
						}
					}
				}
			}
		}
	}
	return false
}

// passedTo returns the name of the function that a literal is passed to.
func passedTo(fn *ssa.Function) string {
	c := literalCall(fn)
	if c == nil {
		return ""
	}
	if f := ssax.Callee(c.Common()); f != nil {
		return f.Name()
	}
	return c.Common().Value.Name()
}

// literalCall returns the call that a function literal is an argument of, or nil
// if there is none or more than that.
func literalCall(fn *ssa.Function) ssa.CallInstruction {
	if fn.Parent() == nil {
		return nil
	}
	var found ssa.CallInstruction
	for _, b := range fn.Parent().Blocks {
		for _, in := range b.Instrs {
			if c, ok := in.(ssa.CallInstruction); ok {
				for _, a := range c.Common().Args {
					if literal(a) == fn {
						if found != nil {
							return nil
						}
						found = c
					}
				}
			}
		}
	}
	return found
}

// literal returns the function of a literal, or nil.
func literal(v ssa.Value) *ssa.Function {
	switch v := v.(type) {
	case *ssa.Function:
		return v
	case *ssa.MakeClosure:
		return v.Fn.(*ssa.Function)
	case *ssa.ChangeType:
		return literal(v.X)
	}
	return nil
}

// block follows a block and returns where paths go on.
func (w *walker) block(p point) []point {
	s := p.state
	w.now = p.block
	w.phis(p)
	key := fmt.Sprint(p.block.Index, " ", s.key())
	if w.visited[key] {
		return nil
	}
	w.visited[key] = true
	for _, in := range p.block.Instrs {
		w.work++
		if _, ok := in.(*ssa.Phi); ok {
			continue
		}
		if !w.step(s, in) {
			return nil
		}
	}
	var next []point
	succs := p.block.Succs
	cond, ok := p.block.Instrs[len(p.block.Instrs)-1].(*ssa.If)
	for i := len(succs) - 1; i >= 0; i-- {
		to, t := succs[i], s
		if ok {
			name, sense := condition(cond.Cond)
			value := sense == (i == 0)
			if c, isConst := cond.Cond.(*ssa.Const); isConst {
				if (c.Value.String() == "true") != (i == 0) {
					continue
				}
			}
			if f, known := s.facts[name]; known && f.value != value {
				continue
			}
			t = s.clone()
			if w.repeated[name] > 1 {
				t.facts[name] = fact{value, p.block}
			}
		}
		if to.Dominates(p.block) { // round a loop: conditions are asked again
			t = t.clone()
			for k, f := range t.facts {
				if to.Dominates(f.where) {
					delete(t.facts, k)
				}
			}
		}
		next = append(next, point{to, p.block, t})
	}
	return next
}

// phis gives the variables of a block the values of the edge that it is entered
// by.
func (w *walker) phis(p point) {
	edge := -1
	for i, pred := range p.block.Preds {
		if pred == p.from {
			edge = i
		}
	}
	if edge < 0 {
		return
	}
	ties := map[*ssa.Phi]tie{}
	for _, in := range p.block.Instrs {
		phi, ok := in.(*ssa.Phi)
		if !ok {
			break
		}
		ties[phi] = p.state.vals[phi.Edges[edge]]
		name, sense := condition(phi)
		delete(p.state.facts, name)
		if c, ok := phi.Edges[edge].(*ssa.Const); ok && c.Value != nil && w.repeated[name] > 0 {
			if v := c.Value.String(); v == "true" || v == "false" {
				p.state.facts[name] = fact{(v == "true") == sense, p.block}
			}
		}
	}
	for phi, t := range ties {
		p.state.set(phi, t)
	}
}

func isOne(name string, list []string) bool {
	for _, l := range list {
		if l == name {
			return true
		}
	}
	return false
}

func (w *walker) find(c Category, pos token.Pos, format string, args ...any) {
	if !pos.IsValid() {
		pos = w.fn.Pos()
	}
	w.report(Finding{c, analysis.Diagnostic{Pos: pos, Message: fmt.Sprintf(format, args...)}})
}

// line says where something is, for a message about another place.
func (w *walker) line(pos token.Pos) string {
	return fmt.Sprintf("line %d", w.pass.Fset.Position(pos).Line)
}

// endName returns how a section is ended, in words.
func endName(sec *section) string {
	switch {
	case sec.lock != "":
		return "Unlock"
	case len(sec.src.End) == 0:
		return "its end"
	}
	var names []string
	for _, e := range sec.src.End {
		n := e[strings.LastIndex(e, ".")+1:]
		if !isOne(n, names) {
			names = append(names, n)
		}
	}
	return strings.Join(names, " or ")
}
