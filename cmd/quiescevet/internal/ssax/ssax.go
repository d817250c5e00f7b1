// Package ssax has what several checks ask of SSA form.
package ssax

import (
	"go/constant"
	"go/types"
	"slices"

	"golang.org/x/tools/go/ssa"

	"quiesce/cmd/quiescevet/internal/api"
)

// Callee returns the function or method that a call names, without type
// arguments, or nil.
func Callee(c *ssa.CallCommon) *types.Func {
	if c.IsInvoke() {
		return c.Method.Origin()
	}
	fn := c.StaticCallee()
	if fn == nil {
		return nil
	}
	f, _ := fn.Object().(*types.Func)
	if f == nil && fn.Origin() != nil {
		f, _ = fn.Origin().Object().(*types.Func)
	}
	if f == nil {
		return nil
	}
	return f.Origin()
}

// Flags returns the gfp.Flags among a call's arguments, if they are constant.
func Flags(c *ssa.CallCommon) (flags int64, ok bool) {
	for _, a := range c.Args {
		if k, isConst := a.(*ssa.Const); isConst && api.IsNamed(a.Type(), api.Gfp, "Flags") && k.Value != nil {
			return constant.Int64Val(k.Value)
		}
	}
	return 0, false
}

// Reaches reports whether a path of at least one edge leads from one block to
// another.
func Reaches(from, to *ssa.BasicBlock) bool {
	seen := map[*ssa.BasicBlock]bool{}
	todo := append([]*ssa.BasicBlock{}, from.Succs...)
	for len(todo) > 0 {
		b := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if b == to {
			return true
		}
		if !seen[b] {
			seen[b] = true
			todo = append(todo, b.Succs...)
		}
	}
	return false
}

// Walk follows all paths that begin after an instruction, each until visit returns
// false.
func Walk(from ssa.Instruction, visit func(ssa.Instruction) bool) {
	b := from.Block()
	var todo []*ssa.BasicBlock
	list := b.Instrs[slices.Index(b.Instrs, from)+1:]
	seen := map[*ssa.BasicBlock]bool{}
	for {
		on := true
		for _, in := range list {
			if on = visit(in); !on {
				break
			}
		}
		if on {
			todo = append(todo, b.Succs...)
		}
		for len(todo) > 0 && seen[todo[len(todo)-1]] {
			todo = todo[:len(todo)-1]
		}
		if len(todo) == 0 {
			return
		}
		b, todo = todo[len(todo)-1], todo[:len(todo)-1]
		seen[b] = true
		list = b.Instrs
	}
}
