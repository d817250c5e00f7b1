//go:build holds

package sys

import (
	_ "unsafe" // for go:linkname

	"quiesce/internal/holds"
)

// ProcPin pins the goroutine to its P and returns the P's number. All pinned
// sections begin here, and are measured.
//
//go:norace
//go:noinline
func ProcPin() int {
	id := procPin()
	holds.Pin(id, G())
	return id
}

// ProcUnpin ends the innermost pinned section.
//
//go:norace
//go:noinline
func ProcUnpin() {
	id := procPin()
	holds.Unpin(id, G())
	procUnpin()
	procUnpin()
}

// Pause spins for about n PAUSE instructions. It may be called pinned. Nobody
// pauses but to wait for another.
//
//go:norace
func Pause(n uint32) {
	begin := holds.WaitBegin()
	procyield(n)
	holds.WaitEnd(begin, G())
}

//go:linkname procPin runtime.procPin
//go:noescape
func procPin() int

//go:linkname procUnpin runtime.procUnpin
//go:noescape
func procUnpin()
