// The linknames and G are proved on Go 1.26 and 1.27; see goversion.go.

package sys

import _ "unsafe" // for go:linkname

//go:linkname procyield runtime.procyield
//go:noescape
func procyield(cycles uint32)

// Nanotime is the monotonic clock in nanoseconds. Unlike time.Now it is the
// real clock inside a testing/synctest bubble too.
//
//go:linkname Nanotime runtime.nanotime
//go:noescape
func Nanotime() int64

// G identifies the running goroutine: the address of its descriptor, unique
// among the goroutines that are alive. It may be called pinned.
func G() uintptr
