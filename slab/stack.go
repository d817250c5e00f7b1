package slab

import (
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
)

// Stacks in reports: those of poison builds and those about guarded objects.

// renderStack returns a stack as text. Of this package's frames it shows the last,
// which the user called.
func renderStack(pcs []uintptr) string {
	frames := framesOf(pcs)
	var b strings.Builder
	for i, f := range frames {
		if i+1 < len(frames) && internal(f) && internal(frames[i+1]) {
			continue
		}
		fmt.Fprintf(&b, "  %s\n      %s:%d\n", f.Function, f.File, f.Line)
	}
	return b.String()
}

func framesOf(pcs []uintptr) (all []runtime.Frame) {
	frames := runtime.CallersFrames(pcs)
	for {
		f, more := frames.Next()
		if f.Function != "" && f.Function != "runtime.goexit" {
			all = append(all, f)
		}
		if !more {
			return all
		}
	}
}

// userOf is the function that called this package.
func userOf(pcs []uintptr) string {
	for _, f := range framesOf(pcs) {
		if !internal(f) {
			return f.Function
		}
	}
	return "package slab" // a worker
}

var thisPackage = reflect.TypeFor[cache]().PkgPath() + "."

// internal reports whether a frame is of this package, tests aside.
func internal(f runtime.Frame) bool {
	return strings.HasPrefix(f.Function, thisPackage) && !strings.HasSuffix(filepath.Base(f.File), "_test.go")
}
