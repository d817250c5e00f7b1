//go:build poison && !asan

package sys

import "unsafe"

// AsanPoison makes ASan report accesses to [p, p+size). Any context.
func AsanPoison(p unsafe.Pointer, size uintptr) {}

// AsanUnpoison takes AsanPoison back.
func AsanUnpoison(p unsafe.Pointer, size uintptr) {}
