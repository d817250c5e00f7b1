package sys

import "unsafe"

// FuncPC returns the entry of a func's code. The race detector does not see it
// read the func's closure, which reflect's Pointer shows to it.
//
//go:norace
//go:nosplit
func FuncPC(fn func()) uintptr { return **(**uintptr)(unsafe.Pointer(&fn)) }
