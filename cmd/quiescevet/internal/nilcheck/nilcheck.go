// Package nilcheck finds allocations that may fail at any time, and whose result
// is used without a look: with flags that don't wait, an allocator returns nil
// when nothing is cached.
package nilcheck

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
	Name:     "nilalloc",
	Doc:      "report allocations that don't wait and whose nil is not looked for\n\nAlloc and Kmalloc with gfp.NoWait, gfp.Atomic or gfp.NoLocks return nil when there is no memory at once. The check reports a result that is dereferenced in the same function while the function compares it with nothing, and an AllocBulk whose count is dropped. After a Reserve, Prepare or Refill in the same function it is silent.",
	Requires: []*analysis.Analyzer{buildssa.Analyzer},
	Run:      run,
}

func run(pass *analysis.Pass) (any, error) {
	for _, fn := range pass.ResultOf[buildssa.Analyzer].(*buildssa.SSA).SrcFuncs {
		var found []*ssa.Call
		prepared := false
		for _, b := range fn.Blocks {
			for _, in := range b.Instrs {
				c, ok := in.(*ssa.Call)
				if !ok {
					continue
				}
				f := ssax.Callee(c.Common())
				if f == nil {
					continue
				}
				switch api.Name(f) {
				case "quiesce/slab.Cache.Alloc", "quiesce/slab.Kmalloc", "quiesce/slab.Heap.Kmalloc",
					"quiesce/page.Allocator.Alloc", "quiesce/slab.Cache.AllocBulk":
					if flags, ok := ssax.Flags(c.Common()); ok && !api.MaySleep(flags) {
						found = append(found, c)
					}
				case "quiesce/slab.Cache.Reserve", "quiesce/slab.Heap.Prepare", "quiesce/slab.Sheaf.Refill":
					prepared = true
				}
			}
		}
		if prepared {
			continue
		}
		for _, c := range found {
			look(pass, c)
		}
	}
	return nil, nil
}

func look(pass *analysis.Pass, c *ssa.Call) {
	f := ssax.Callee(c.Common())
	if f.Name() == "AllocBulk" {
		if len(*c.Referrers()) == 0 {
			pass.Reportf(c.Pos(), "the count of %s is dropped: with these flags it may allocate fewer objects", api.Short(f))
		}
		return
	}
	if pos := dereferenced(c); pos.IsValid() {
		pass.Reportf(pos, "result of %s is used without a look for nil: with these flags the allocation may fail at any time (line %d)",
			api.Short(f), pass.Fset.Position(c.Pos()).Line)
	}
}

// dereferenced returns where a pointer is followed, or token.NoPos if it is also
// compared, merged with another or passed to somebody who may compare it.
func dereferenced(v ssa.Value) token.Pos {
	var first token.Pos
	note := func(p token.Pos) {
		if !first.IsValid() {
			first = p
		}
	}
	for _, r := range *v.Referrers() {
		switch r := r.(type) {
		case *ssa.FieldAddr:
			for _, u := range *r.Referrers() {
				switch u.(type) {
				case *ssa.UnOp, *ssa.Store, *ssa.FieldAddr, *ssa.IndexAddr, *ssa.Call:
					note(r.Pos())
				}
			}
		case *ssa.UnOp:
			if r.Op == token.MUL {
				note(r.Pos())
			}
		case *ssa.Store:
			if r.Addr != v {
				return token.NoPos // kept somewhere: looked at there, perhaps
			}
			note(r.Pos())
		case *ssa.Convert, *ssa.ChangeType:
			p := dereferenced(r.(ssa.Value))
			if !p.IsValid() {
				return token.NoPos
			}
			note(p)
		case *ssa.Call:
			f := ssax.Callee(r.Common())
			if f == nil || f.Pkg() == nil || !api.Library(f.Pkg().Path()) {
				return token.NoPos
			}
		case *ssa.DebugRef, *ssa.Return:
		default:
			return token.NoPos
		}
	}
	return first
}
