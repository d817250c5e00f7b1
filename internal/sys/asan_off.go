//go:build poison && !asan

package sys

import "unsafe"

// Shadow values; see asan_on.go.
const (
	AsanFreed = 0xfd
	AsanZone  = 0xfa
)

// AsanPoison makes ASan report accesses to [p, p+size). Any context.
func AsanPoison(p unsafe.Pointer, size uintptr, why byte) {}

// AsanUnpoison takes AsanPoison back.
func AsanUnpoison(p unsafe.Pointer, size uintptr) {}
