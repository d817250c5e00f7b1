// Package offheap says which Go types may live outside the Go heap.
//
// The garbage collector does not scan off-heap memory. A Go pointer stored
// there keeps nothing alive, so its target may be freed and reused while the
// off-heap value still points to it.
package offheap

import (
	"fmt"
	"reflect"
)

// Check returns nil if values of type t may live outside the Go heap.
// Otherwise the error names t, the path of the first field that holds a Go
// pointer, and what to use instead.
func Check(t reflect.Type) error {
	path, typ := goPointer(t)
	switch {
	case typ == nil:
		return nil
	case path == "":
		return fmt.Errorf("%s holds a Go pointer; %s", t, advice)
	}
	return fmt.Errorf("%s holds a Go pointer: %s (%s); %s", t, path, typ, advice)
}

const advice = "use an array such as [N]byte, or an off-heap object (see package slab)"

// goPointer returns the path and the type of the first part of t that the
// garbage collector would have to scan. The type is nil if there is none; the
// path is empty if it is t itself.
func goPointer(t reflect.Type) (path string, typ reflect.Type) {
	switch t.Kind() {
	case reflect.Array:
		if t.Len() == 0 {
			return "", nil
		}
		if path, typ := goPointer(t.Elem()); typ != nil {
			return "[]" + path, typ
		}
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if path, typ := goPointer(f.Type); typ != nil {
				return "." + f.Name + path, typ
			}
		}
	case reflect.Pointer, reflect.UnsafePointer, reflect.String, reflect.Slice,
		reflect.Map, reflect.Interface, reflect.Func, reflect.Chan:
		return "", t
	}
	return "", nil
}
