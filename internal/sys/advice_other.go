//go:build !linux

package sys

import "unsafe"

// SmallPages keeps transparent huge pages out of [p, p+size). Only Linux
// has them.
func SmallPages(p unsafe.Pointer, size uintptr) error { return nil }

// HugePages asks for transparent huge pages in [p, p+size). Only Linux has them.
func HugePages(p unsafe.Pointer, size uintptr) {}

// Name gives [p, p+size) a name in the system's list of mappings. Only Linux
// has names.
func Name(p unsafe.Pointer, size uintptr, name string) {}

func reserved(unsafe.Pointer, uintptr) {}
