//go:build !linux

package sys

import "unsafe"

// SmallPages keeps transparent huge pages out of [p, p+size). Only Linux
// has them.
func SmallPages(p unsafe.Pointer, size uintptr) error { return nil }
