package earlyfree

import (
	"go/token"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/ssa"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/ssax"
)

var table = api.NewTable(nil)

// is reports whether a call is of a function that has the role in a guard's section.
func is(c ssa.CallInstruction, r api.Role) bool {
	use, ok := table.Find(api.Name(ssax.Callee(c.Common())), r, nil)
	return ok && use.Source.Kind == api.Read
}

// looksUp reports whether a call returns an object that stays linked.
func looksUp(c *ssa.Call) bool {
	if !is(c, api.Borrow) {
		return false
	}
	name := ssax.Callee(c.Common()).Name()
	return name != "Swap" && name != "LoadAndDelete"
}

// found returns the look-up under a guard whose result a call frees, if nothing
// unlinked the object. It is sure of that where the guard, the look-up and the free
// are of one function, and all that lies on a path between them only reads.
func found(free *ssa.Call) *ssa.Call {
	v := bare(free.Call.Args[len(free.Call.Args)-1])
	lookUp, ok := v.(*ssa.Call)
	if !ok || !looksUp(lookUp) || !shared(lookUp) || !onlyRead(v, free) || ends(free.Parent()) {
		return nil
	}
	for _, b := range free.Parent().Blocks {
		for _, in := range b.Instrs {
			if begin, ok := in.(*ssa.Call); ok && is(begin, api.Begin) && holds(begin, lookUp) && quiet(begin, free) {
				return lookUp
			}
		}
	}
	return nil
}

// bare returns a value without its conversions.
func bare(v ssa.Value) ssa.Value {
	for {
		switch c := v.(type) {
		case *ssa.Convert:
			v = c.X
		case *ssa.ChangeType:
			v = c.X
		default:
			return v
		}
	}
}

// shared reports whether a look-up is in a structure that others may know: one of a
// package's variable, or of a parameter. One that the function made is its own.
func shared(lookUp *ssa.Call) bool {
	v := lookUp.Call.Args[0]
	for {
		switch x := v.(type) {
		case *ssa.Global, *ssa.Parameter:
			return true
		case *ssa.FieldAddr:
			v = x.X
		case *ssa.Field:
			v = x.X
		case *ssa.IndexAddr:
			v = x.X
		case *ssa.UnOp:
			v = x.X
		case *ssa.Call:
			if !looksUp(x) {
				return false
			}
			v = x.Call.Args[0]
		default:
			return false
		}
	}
}

// onlyRead reports whether a pointer goes nowhere but to the free: no function, no
// field, no closure and no other variable gets it.
func onlyRead(v ssa.Value, free *ssa.Call) bool {
	for _, r := range *v.Referrers() {
		switch r := r.(type) {
		case *ssa.FieldAddr, *ssa.IndexAddr, *ssa.BinOp, *ssa.DebugRef:
		case *ssa.UnOp:
			if r.Op != token.MUL {
				return false
			}
		case *ssa.Convert:
			if !onlyRead(r, free) {
				return false
			}
		case *ssa.ChangeType:
			if !onlyRead(r, free) {
				return false
			}
		case *ssa.Call:
			if r != free {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// ends reports whether a function may be the end of a structure, which has no other
// readers any more: it closes something, or says so by its name.
func ends(fn *ssa.Function) bool {
	for f := fn; f != nil; f = f.Parent() {
		name := strings.ToLower(f.Name())
		if slices.ContainsFunc([]string{"clear", "close", "destroy", "drain", "free", "release", "reset", "shut", "stop", "teardown"},
			func(end string) bool { return strings.Contains(name, end) }) {
			return true
		}
	}
	for _, b := range fn.Blocks {
		for _, in := range b.Instrs {
			if c, ok := in.(ssa.CallInstruction); ok {
				if f := ssax.Callee(c.Common()); f != nil && f.Name() == "Close" {
					return true
				}
			}
		}
	}
	return false
}

// holds reports whether the section that a call begins is open at a look-up.
func holds(begin, lookUp *ssa.Call) bool {
	from, to := begin.Block(), lookUp.Block()
	if from == to && slices.Index(from.Instrs, ssa.Instruction(begin)) > slices.Index(to.Instrs, ssa.Instruction(lookUp)) || !from.Dominates(to) {
		return false
	}
	return without(begin, lookUp, func(in ssa.Instruction) bool {
		c, ok := in.(*ssa.Call)
		return ok && (is(c, api.End) || api.Name(ssax.Callee(c.Common())) == api.ReaderUnlock)
	})
}

// quiet reports whether nothing between two calls may unlink an object or wait for
// its readers.
func quiet(from, to *ssa.Call) bool {
	return without(from, to, func(in ssa.Instruction) bool {
		switch in := in.(type) {
		case *ssa.Store:
			_, local := in.Addr.(*ssa.Alloc)
			return !local
		case *ssa.UnOp:
			return in.Op == token.ARROW
		case *ssa.Go, *ssa.MapUpdate, *ssa.Select, *ssa.Send, *ssa.RunDefers:
			return true
		case *ssa.Call:
			if _, builtin := in.Call.Value.(*ssa.Builtin); builtin {
				return false
			}
			name := api.Name(ssax.Callee(in.Common()))
			return !looksUp(in) && !is(in, api.Begin) && !is(in, api.End) && name != api.ReaderUnlock && frees[name] == ""
		}
		return false
	})
}

// without reports whether no path from one call to another has an instruction that is
// bad.
func without(from, to *ssa.Call, bad func(ssa.Instruction) bool) bool {
	ok := true
	ssax.Walk(from, func(in ssa.Instruction) bool {
		if in == ssa.Instruction(from) || in == ssa.Instruction(to) {
			return false
		}
		if bad(in) && (in.Block() == to.Block() || ssax.Reaches(in.Block(), to.Block())) {
			ok = false
		}
		return ok
	})
	return ok
}

func reportFound(pass *analysis.Pass, c *ssa.Call, f *types.Func, lookUp *ssa.Call) {
	pass.Reportf(c.Pos(), "%s of an object that readers may still have: %s found it under a guard, and nothing unlinked it since; unlink it, then use %s",
		api.Short(f), api.Short(ssax.Callee(lookUp.Common())), frees[api.Name(f)])
}
