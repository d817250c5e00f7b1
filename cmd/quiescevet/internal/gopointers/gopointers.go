// Package gopointers finds Go pointers in memory that the garbage collector does
// not scan: in the type of a cache's or map's objects, in a type that memory of
// slab.Kmalloc is converted to, and Go objects that a slab.Pointer or slab.Link
// is set to.
package gopointers

import (
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/buildssa"
	"golang.org/x/tools/go/ssa"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/ssax"
)

// Analyzer is the check.
var Analyzer = &analysis.Analyzer{
	Name:     "gopointers",
	Doc:      "report Go pointers in off-heap memory\n\nObjects outside the Go heap hold no strings, slices, maps, interfaces, funcs, channels or *T: the collector does not see them there and frees what they point to. Use an array such as [32]byte, slab.Pointer or slab.Link. Those must not be set to Go objects, for the same reason.",
	Requires: []*analysis.Analyzer{buildssa.Analyzer},
	Run:      run,
}

// constructors are the functions whose type parameters describe off-heap
// objects. A key may be a string.
var constructors = map[string]struct{ keys, values []int }{
	"quiesce/slab.NewCache":    {nil, []int{0}},
	"quiesce/rcuhash.New":      {[]int{0}, []int{1}},
	"quiesce/rcuhash.NewBytes": {[]int{0}, nil},
	"quiesce/cache.New":        {[]int{0}, []int{1}},
	"quiesce/cache.NewBytes":   {[]int{0}, nil},
}

func run(pass *analysis.Pass) (any, error) {
	for _, file := range pass.Files {
		refused := refusals(file)
		ast.Inspect(file, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok && !refused[c] {
				constructor(pass, c)
			}
			return true
		})
	}
	for _, fn := range pass.ResultOf[buildssa.Analyzer].(*buildssa.SSA).SrcFuncs {
		for _, b := range fn.Blocks {
			for _, in := range b.Instrs {
				switch in := in.(type) {
				case *ssa.Convert:
					conversion(pass, in)
				case *ssa.Call:
					link(pass, in)
				}
			}
		}
	}
	return nil, nil
}

// refusals finds calls whose first result is dropped: what is wanted is the
// error.
func refusals(file *ast.File) map[*ast.CallExpr]bool {
	out := map[*ast.CallExpr]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if outer, ok := n.(*ast.CallExpr); ok && len(outer.Args) == 1 {
			if c, ok := outer.Args[0].(*ast.CallExpr); ok {
				out[c] = true // a helper gets both results, and looks at the error
			}
		}
		a, ok := n.(*ast.AssignStmt)
		if !ok || len(a.Rhs) != 1 || len(a.Lhs) != 2 {
			return true
		}
		id, ok := a.Lhs[0].(*ast.Ident)
		if c, isCall := a.Rhs[0].(*ast.CallExpr); ok && isCall && id.Name == "_" {
			out[c] = true
		}
		return true
	})
	return out
}

func constructor(pass *analysis.Pass, c *ast.CallExpr) {
	f := api.Callee(pass.TypesInfo, c)
	if f == nil {
		return
	}
	which, ok := constructors[api.Name(f)]
	if !ok {
		return
	}
	args := pass.TypesInfo.Instances[called(c)].TypeArgs
	if args == nil {
		return
	}
	check := func(what string, t types.Type) {
		if path, typ := goPointer(t, map[types.Type]bool{}); typ != nil {
			q := types.RelativeTo(pass.Pkg)
			if path == "" {
				pass.ReportRangef(c, "%s: %s %s holds a Go pointer, which the collector does not see off the heap", api.Short(f), what, types.TypeString(t, q))
				return
			}
			pass.ReportRangef(c, "%s: %s %s holds a Go pointer in %s (%s), which the collector does not see off the heap", api.Short(f), what, types.TypeString(t, q), path, types.TypeString(typ, q))
		}
	}
	for _, i := range which.keys {
		if b, ok := args.At(i).Underlying().(*types.Basic); ok && b.Kind() == types.String {
			continue
		}
		check("key type", args.At(i))
	}
	for _, i := range which.values {
		check("type", args.At(i))
	}
}

// called returns the identifier that a call names its function by.
func called(c *ast.CallExpr) *ast.Ident {
	e := ast.Unparen(c.Fun)
	switch x := e.(type) {
	case *ast.IndexExpr:
		e = x.X
	case *ast.IndexListExpr:
		e = x.X
	}
	switch x := e.(type) {
	case *ast.Ident:
		return x
	case *ast.SelectorExpr:
		return x.Sel
	}
	return nil
}

// goPointer returns the path and the type of the first Go pointer in t, as the
// library's own check at run time does. A type parameter has none, so far as is
// known.
func goPointer(t types.Type, seen map[types.Type]bool) (path string, typ types.Type) {
	if _, ok := types.Unalias(t).(*types.TypeParam); ok || seen[t] {
		return "", nil
	}
	seen[t] = true
	switch u := t.Underlying().(type) {
	case *types.Array:
		if u.Len() == 0 {
			return "", nil
		}
		if path, typ := goPointer(u.Elem(), seen); typ != nil {
			return "[]" + path, typ
		}
	case *types.Struct:
		for f := range u.Fields() {
			if path, typ := goPointer(f.Type(), seen); typ != nil {
				return "." + f.Name() + path, typ
			}
		}
	case *types.Pointer, *types.Slice, *types.Map, *types.Interface, *types.Signature, *types.Chan:
		return "", t
	case *types.Basic:
		if u.Kind() == types.String || u.Kind() == types.UnsafePointer {
			return "", t
		}
	}
	return "", nil
}

// callOf returns the function that a value is the result of.
func callOf(v ssa.Value) *types.Func {
	if c, ok := v.(*ssa.Call); ok {
		return ssax.Callee(c.Common())
	}
	return nil
}

// conversion looks at (*T)(slab.Kmalloc(…)).
func conversion(pass *analysis.Pass, in *ssa.Convert) {
	p, ok := in.Type().Underlying().(*types.Pointer)
	if !ok {
		return
	}
	f := callOf(in.X)
	if f == nil {
		return
	}
	switch api.Name(f) {
	case "quiesce/slab.Kmalloc", "quiesce/slab.Heap.Kmalloc", "quiesce/page.Allocator.Alloc":
	default:
		return
	}
	if path, typ := goPointer(p.Elem(), map[types.Type]bool{}); typ != nil {
		pass.Reportf(in.Pos(), "memory of %s as %s, which holds a Go pointer (%s %s): the collector does not see it off the heap",
			api.Short(f), types.TypeString(in.Type(), types.RelativeTo(pass.Pkg)), path, types.TypeString(typ, types.RelativeTo(pass.Pkg)))
	}
}

// link looks at a slab.Pointer or slab.Link that is set to a Go object.
func link(pass *analysis.Pass, in *ssa.Call) {
	f := callOf(in)
	if f == nil {
		return
	}
	var target ssa.Value
	switch name, args := api.Name(f), in.Call.Args; name {
	case "quiesce/slab.Pointer.Store", "quiesce/slab.Pointer.Swap":
		target = args[1]
	case "quiesce/slab.Pointer.CompareAndSwap":
		target = args[2]
	case "quiesce/slab.MakeLink":
		target = args[0]
	default:
		return
	}
	for {
		switch t := target.(type) {
		case *ssa.FieldAddr:
			target = t.X
			continue
		case *ssa.Alloc, *ssa.Global:
			pass.Reportf(in.Pos(), "%s is set to a Go object, which the collector frees: it does not follow links off the heap", api.TypeName(linkType(f)))
		}
		return
	}
}

func linkType(f *types.Func) types.Type {
	if r := f.Signature().Recv(); r != nil {
		return r.Type()
	}
	return f.Signature().Results().At(0).Type()
}
