package sys

import (
	"errors"
	"unsafe"
)

// Protect is for systems that can take access rights away and keep the
// content.
func Protect(unsafe.Pointer, uintptr) error { return errors.ErrUnsupported }

// CanProtect: an access to protected memory ends the process.
const CanProtect = false
