//go:build poison && !asan

package sys

import "unsafe"

// Shadow values; see asan_on.go.
const (
	AsanFreed = 0xfd
	AsanZone  = 0xfa
)

// AsanPoison makes ASan report accesses to [p, p+size).
//
// Context: any.
func AsanPoison(p unsafe.Pointer, size uintptr, why byte) {}

// AsanUnpoison undoes AsanPoison.
func AsanUnpoison(p unsafe.Pointer, size uintptr) {}
