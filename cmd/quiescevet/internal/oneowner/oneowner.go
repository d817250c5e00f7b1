// Package oneowner finds an rcu.Reader or a slab.Sheaf that two goroutines use:
// each belongs to one goroutine at a time.
package oneowner

import (
	"go/token"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/buildssa"
	"golang.org/x/tools/go/ssa"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/ssax"
)

// Analyzer is the check.
var Analyzer = &analysis.Analyzer{
	Name:     "oneowner",
	Doc:      "report an rcu.Reader or slab.Sheaf used by two goroutines\n\nBoth belong to one goroutine, and may be handed on only by what orders the two. The check reports one that a function makes, and that two go statements take along, or one go statement in a loop, or that the function itself goes on using after a go statement took it. It is silent if there is a wait, a channel operation or a lock in between, or in the goroutine.",
	Requires: []*analysis.Analyzer{buildssa.Analyzer},
	Run:      run,
}

func run(pass *analysis.Pass) (any, error) {
	for _, fn := range pass.ResultOf[buildssa.Analyzer].(*buildssa.SSA).SrcFuncs {
		for _, b := range fn.Blocks {
			for _, in := range b.Instrs {
				c, ok := in.(*ssa.Call)
				if !ok {
					continue
				}
				switch f := ssax.Callee(c.Common()); api.Name(f) {
				case "quiesce/rcu.NewReader":
					check(pass, c, c, "rcu.Reader")
				case "quiesce/slab.Cache.Sheaf":
					for _, r := range *c.Referrers() {
						if e, ok := r.(*ssa.Extract); ok && e.Index == 0 {
							check(pass, c, e, "slab.Sheaf")
						}
					}
				}
			}
		}
	}
	return nil, nil
}

// check looks at the uses of a value that a call made.
func check(pass *analysis.Pass, made *ssa.Call, v ssa.Value, what string) {
	gos, uses := users(v)
	for i, g := range gos {
		if synchronizes(g) {
			return
		}
		if ssax.Reaches(g.Block(), g.Block()) && !sameLoop(g.Block(), made.Block()) && !waitsBetween(g, g) {
			pass.Reportf(g.Pos(), "%s is used by the goroutine of every round of the loop: it belongs to one goroutine", what)
			return
		}
		for _, other := range gos[i+1:] {
			if synchronizes(other) {
				return
			}
			if reaches(g, other) && !waitsBetween(g, other) {
				pass.Reportf(other.Pos(), "%s is used by this goroutine and by that of line %d: it belongs to one goroutine", what, pass.Fset.Position(g.Pos()).Line)
				return
			}
		}
		for _, u := range uses {
			if reaches(g, u) && !waitsBetween(g, u) && u.Block() == g.Block() {
				pass.Reportf(u.Pos(), "%s is used here and by the goroutine of line %d: it belongs to one goroutine", what, pass.Fset.Position(g.Pos()).Line)
				return
			}
		}
	}
}

// users returns the go statements that take a value along, and the calls of its
// methods in its own function. A value that goes elsewhere has none.
func users(v ssa.Value) (gos []*ssa.Go, uses []*ssa.Call) {
	var follow func(v ssa.Value) bool
	follow = func(v ssa.Value) bool {
		for _, r := range *v.Referrers() {
			switch r := r.(type) {
			case *ssa.Go:
				gos = append(gos, r)
			case *ssa.MakeClosure:
				for _, u := range *r.Referrers() {
					switch u := u.(type) {
					case *ssa.Go:
						if u.Call.Value != ssa.Value(r) {
							return false
						}
						gos = append(gos, u)
					case *ssa.Defer, *ssa.DebugRef:
					default:
						return false
					}
				}
			case *ssa.Call:
				uses = append(uses, r)
			case *ssa.Defer, *ssa.DebugRef:
			case *ssa.Store:
				if r.Addr == v {
					continue
				}
				a, ok := r.Addr.(*ssa.Alloc)
				if !ok || r.Val != v || stores(a) != 1 || !follow(a) {
					return false
				}
			case *ssa.UnOp:
				if r.Op != token.MUL || !follow(r) {
					return false
				}
			case *ssa.BinOp:
			default:
				return false
			}
		}
		return true
	}
	if a, ok := v.(*ssa.Alloc); ok && stores(a) != 1 {
		return nil, nil
	}
	if !follow(v) {
		return nil, nil
	}
	return gos, uses
}

func stores(a *ssa.Alloc) (n int) {
	for _, r := range *a.Referrers() {
		if s, ok := r.(*ssa.Store); ok && s.Addr == ssa.Value(a) {
			n++
		}
	}
	return n
}

// synchronizes reports whether a goroutine's function may take turns with
// others: a channel operation, a lock or a wait, or a function that the check
// does not see.
func synchronizes(g *ssa.Go) bool {
	m, ok := g.Call.Value.(*ssa.MakeClosure)
	if !ok {
		return true
	}
	for _, b := range m.Fn.(*ssa.Function).Blocks {
		for _, in := range b.Instrs {
			if c, ok := in.(ssa.CallInstruction); ok {
				if f := ssax.Callee(c.Common()); f != nil && f.Name() == "Done" {
					continue // of a WaitGroup: the end
				}
			}
			if mayOrder(in) {
				return true
			}
		}
	}
	return false
}

// mayOrder reports whether an instruction may order goroutines.
func mayOrder(in ssa.Instruction) bool {
	switch in := in.(type) {
	case *ssa.Send, *ssa.Select:
		return true
	case *ssa.UnOp:
		return in.Op == token.ARROW
	case ssa.CallInstruction:
		c := in.Common()
		if _, ok := c.Value.(*ssa.Builtin); ok {
			return false
		}
		f := ssax.Callee(c)
		if f == nil || f.Pkg() == nil {
			return true
		}
		if api.Name(f) == "sync.WaitGroup.Add" {
			return false
		}
		return !api.Library(f.Pkg().Path()) && f.Pkg().Path() != "fmt" && f.Pkg().Path() != "strconv"
	}
	return false
}

func reaches(from, to ssa.Instruction) (yes bool) {
	ssax.Walk(from, func(in ssa.Instruction) bool {
		yes = yes || in == to
		return !yes
	})
	return yes
}

// waitsBetween reports whether a path from one instruction to another may order
// the goroutines.
func waitsBetween(from, to ssa.Instruction) bool {
	clear := false // a path with nothing on it
	ssax.Walk(from, func(in ssa.Instruction) bool {
		if in == to {
			clear = true
			return false
		}
		return in == from || !mayOrder(in)
	})
	return !clear
}

// sameLoop reports whether a value that is made in one block is made again in
// every round that comes to the other.
func sameLoop(b, made *ssa.BasicBlock) bool { return b == made || ssax.Reaches(b, made) }
