// Package api knows the names of what the checks look at: Quiesce's functions
// and types, those of Go's library that block, and the sources of borrowed
// memory that a configuration names.
package api

import (
	"go/ast"
	"go/types"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// Paths of the library's packages. A copy of the library under a path of its
// own has them rewritten.
const (
	Rcu     = "quiesce/rcu"
	Srcu    = "quiesce/srcu"
	Preempt = "quiesce/preempt"
	Lock    = "quiesce/lock"
	Slab    = "quiesce/slab"
	Page    = "quiesce/page"
	Gfp     = "quiesce/gfp"
	Rcuhash = "quiesce/rcuhash"
	Cache   = "quiesce/cache"
)

// Module is the library's path.
var Module = strings.TrimSuffix(Rcu, "/rcu")

// Library reports whether a package is of the library, as opposed to a program
// that uses it.
func Library(path string) bool {
	rest, ok := strings.CutPrefix(path, Module+"/")
	if !ok {
		return false
	}
	switch first, _, _ := strings.Cut(rest, "/"); first {
	case "cmd", "bench", "contrib", "examples", "tests":
		return false
	}
	return true
}

// Local reports whether a package is of the library's repository.
func Local(path string) bool { return path == Module || strings.HasPrefix(path, Module+"/") }

// Name returns a function's name as tables and configurations have it:
// path.Func or path.Type.Method, without type arguments or a star.
func Name(f *types.Func) string {
	if f == nil || f.Pkg() == nil {
		return ""
	}
	f = f.Origin()
	path := f.Pkg().Path()
	if i := strings.LastIndex(path, "/vendor/"); i >= 0 {
		path = path[i+len("/vendor/"):]
	}
	if recv := f.Signature().Recv(); recv != nil {
		return path + "." + TypeName(recv.Type()) + "." + f.Name()
	}
	return path + "." + f.Name()
}

// Short returns the name that messages have: rcu.ReadLock, Map.Get.
func Short(f *types.Func) string {
	if recv := f.Signature().Recv(); recv != nil {
		return TypeName(recv.Type()) + "." + f.Name()
	}
	return f.Pkg().Name() + "." + f.Name()
}

// TypeName returns the name of a named type, or of what a pointer points to.
func TypeName(t types.Type) string {
	t = types.Unalias(t)
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	if n, ok := t.(*types.Named); ok {
		return n.Obj().Name()
	}
	return ""
}

// IsNamed reports whether t, or what it points to, is the type of that package
// and name.
func IsNamed(t types.Type, path, name string) bool {
	t = types.Unalias(t)
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	n, ok := t.(*types.Named)
	return ok && n.Obj().Name() == name && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == path
}

// Callee returns the function or method that a call names, or nil.
func Callee(info *types.Info, call *ast.CallExpr) *types.Func {
	f, _ := typeutil.Callee(info, call).(*types.Func)
	if f == nil {
		return nil
	}
	return f.Origin()
}

// Bits of gfp.Flags, as far as the checks ask.
const (
	mayWait = 1 << 0
	noLocks = 1 << 2
)

// MaySleep reports whether an allocation with such flags may wait for memory.
func MaySleep(flags int64) bool { return flags&(mayWait|noLocks) == mayWait }

// MayLock reports whether it may take a lock that parks.
func MayLock(flags int64) bool { return flags&noLocks == 0 }
