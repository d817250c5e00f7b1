// Package earlyfree finds objects that are freed at once where readers may still
// look at them: what was just taken out of a slab.Pointer, or was found under a
// guard and is still linked.
package earlyfree

import (
	"go/token"
	"go/types"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/buildssa"
	"golang.org/x/tools/go/ssa"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/contexts"
	"quiesce/cmd/quiescevet/internal/ssax"
)

// Analyzer is the check.
var Analyzer = &analysis.Analyzer{
	Name:     "earlyfree",
	Doc:      "report Free of an object that readers may still have\n\nThe old value of a slab.Pointer's Swap that puts another object there, or the value that a CompareAndSwap replaced, was visible to readers until now. It has to go to FreeRCU, or to wait for a grace period. The check reports a Free of it in the same function with no wait between. It also reports a Free of what a look-up under a guard returned in the same function, as a Load or a map's Get does, if nothing between may have unlinked it. It is silent where the pointer is set to nil, as at the end of a structure, and in packages that have no readers. A fix is suggested: FreeRCU.",
	Requires: []*analysis.Analyzer{buildssa.Analyzer, contexts.Analyzer},
	Run:      run,
}

// frees maps functions that free at once to those that wait for readers.
var frees = map[string]string{
	"quiesce/slab.Cache.Free": "FreeRCU",
	"quiesce/slab.Sheaf.Free": "FreeRCU",
	"quiesce/slab.Kfree":      "KfreeRCU",
	"quiesce/slab.Heap.Kfree": "KfreeRCU",
}

func run(pass *analysis.Pass) (any, error) {
	if !reads(pass) {
		return nil, nil
	}
	known := pass.ResultOf[contexts.Analyzer].(*contexts.Result)
	for _, fn := range pass.ResultOf[buildssa.Analyzer].(*buildssa.SSA).SrcFuncs {
		for _, b := range fn.Blocks {
			for i, in := range b.Instrs {
				c, ok := in.(*ssa.Call)
				if !ok {
					continue
				}
				f := ssax.Callee(c.Common())
				if f == nil || frees[api.Name(f)] == "" || len(c.Call.Args) == 0 {
					continue
				}
				taken := source(c.Call.Args[len(c.Call.Args)-1])
				if taken == nil {
					if l := found(c); l != nil {
						reportFound(pass, c, f, l)
					}
					continue
				}
				if !waits(known, taken, b, i) {
					report(pass, c, f, taken)
				}
			}
		}
	}
	return nil, nil
}

// reads reports whether a package has read-side sections.
func reads(pass *analysis.Pass) bool {
	for id, obj := range pass.TypesInfo.Uses {
		if f, ok := obj.(*types.Func); ok && id != nil {
			switch api.Name(f) {
			case "quiesce/rcu.ReadLock", "quiesce/rcu.Read", "quiesce/rcu.ReadLockBH", "quiesce/rcu.Reader.ReadLock":
				return true
			}
		}
	}
	return false
}

// source returns the operation that a value was taken out of a link by: a Swap,
// or the CompareAndSwap of the value, which another object replaced.
func source(v ssa.Value) *ssa.Call {
	v = bare(v)
	if c, ok := v.(*ssa.Call); ok {
		if f := ssax.Callee(c.Common()); f != nil && api.Name(f) == "quiesce/slab.Pointer.Swap" && !isNil(c.Call.Args[1]) {
			return c
		}
	}
	if v.Referrers() == nil {
		return nil
	}
	for _, r := range *v.Referrers() {
		c, ok := r.(*ssa.Call)
		if !ok {
			continue
		}
		if f := ssax.Callee(c.Common()); f != nil && api.Name(f) == "quiesce/slab.Pointer.CompareAndSwap" && c.Call.Args[1] == v && !isNil(c.Call.Args[2]) {
			return c
		}
	}
	return nil
}

func isNil(v ssa.Value) bool {
	c, ok := v.(*ssa.Const)
	return ok && c.IsNil()
}

// waits reports whether the free is not certain to follow the operation with
// nothing between that might wait for readers: another block counts only if the
// operation's success leads there at once.
func waits(known *contexts.Result, taken *ssa.Call, b *ssa.BasicBlock, at int) bool {
	quiet := func(list []ssa.Instruction) bool {
		for _, in := range list {
			c, ok := in.(ssa.CallInstruction)
			if !ok {
				continue
			}
			if _, builtin := c.Common().Value.(*ssa.Builtin); builtin {
				continue
			}
			fn := c.Common().StaticCallee()
			if fn == nil {
				return false
			}
			f, _ := fn.Object().(*types.Func)
			if f == nil || f.Pkg() == nil || !api.Library(f.Pkg().Path()) || known.Of(f).Waits != "" {
				return false
			}
		}
		return true
	}
	from := taken.Block()
	start := 0
	for i, in := range from.Instrs {
		if in == ssa.Instruction(taken) {
			start = i + 1
		}
	}
	if from == b {
		return start > at || !quiet(b.Instrs[start:at])
	}
	if len(b.Preds) != 1 || b.Preds[0] != from {
		return true
	}
	// After a CompareAndSwap only the branch in which it succeeded counts.
	if f := ssax.Callee(taken.Common()); f.Name() == "CompareAndSwap" {
		branch, ok := from.Instrs[len(from.Instrs)-1].(*ssa.If)
		if !ok {
			return true
		}
		cond, want := branch.Cond, from.Succs[0]
		if n, ok := cond.(*ssa.UnOp); ok && n.Op == token.NOT {
			cond, want = n.X, from.Succs[1]
		}
		if cond != ssa.Value(taken) || want != b {
			return true
		}
	}
	return !quiet(from.Instrs[start:]) || !quiet(b.Instrs[:at])
}

func report(pass *analysis.Pass, c *ssa.Call, f *types.Func, taken *ssa.Call) {
	better := frees[api.Name(f)]
	d := analysis.Diagnostic{
		Pos: c.Pos(),
		Message: api.Short(f) + " of an object that readers may still have: it was in a slab.Pointer until the " +
			ssax.Callee(taken.Common()).Name() + "; use " + better,
	}
	if pos := nameBefore(pass, c.Pos(), f.Name()); pos.IsValid() {
		d.SuggestedFixes = []analysis.SuggestedFix{{
			Message:   "Use " + better,
			TextEdits: []analysis.TextEdit{{Pos: pos, End: pos + token.Pos(len(f.Name())), NewText: []byte(better)}},
		}}
	}
	pass.Report(d)
}
