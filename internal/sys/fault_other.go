//go:build asan || !linux || !(amd64 || arm64)

package sys

import (
	"errors"
	"unsafe"
)

// Kinds of accesses.
const (
	AccessUnknown = iota
	AccessRead
	AccessWrite
)

// OnFault is for Linux on amd64 and arm64. Elsewhere, and with ASan, a fault has
// Go's message only.
func OnFault(unsafe.Pointer, uintptr, func(addr, pc uintptr, access int)) error {
	return errors.ErrUnsupported
}

// WriteRaw writes to standard error from any context.
func WriteRaw(s string) { print(s) }
