//go:build !holds

// The linknames are proved on Go 1.26 and 1.27; see goversion.go.

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

// Pause spins for about n PAUSE instructions. It may be called pinned.
func Pause(n uint32) { procyield(n) }
