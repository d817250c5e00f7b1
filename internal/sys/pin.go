// The linknames and G are proved on Go 1.26 and 1.27; see goversion.go.

package sys

import _ "unsafe" // for go:linkname

// ProcPin pins the goroutine to its P and returns the P's number.
//
//go:linkname ProcPin runtime.procPin
//go:noescape
func ProcPin() int

// ProcUnpin ends the innermost pinned section.
//
//go:linkname ProcUnpin runtime.procUnpin
//go:noescape
func ProcUnpin()

//go:linkname procyield runtime.procyield
//go:noescape
func procyield(cycles uint32)

// Nanotime is the monotonic clock in nanoseconds. Unlike time.Now it is the
// real clock inside a testing/synctest bubble too.
//
//go:linkname Nanotime runtime.nanotime
//go:noescape
func Nanotime() int64

// Pause spins for about n PAUSE instructions. It may be called pinned.
func Pause(n uint32) { procyield(n) }

// G identifies the running goroutine: the address of its descriptor, unique
// among the goroutines that are alive. It may be called pinned.
func G() uintptr
