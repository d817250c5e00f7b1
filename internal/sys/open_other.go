//go:build !linux

package sys

import "unsafe"

// CanOpenPinned says that OpenPinned works: there is a raw system call for it.
const CanOpenPinned = false

// OpenPinned is Open for a caller that may be pinned.
func OpenPinned(p unsafe.Pointer, size uintptr) bool { return false }
