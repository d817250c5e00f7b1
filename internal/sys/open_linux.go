package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CanOpenPinned says that OpenPinned works.
const CanOpenPinned = true

// OpenPinned is Open for a caller that may be pinned. It reports whether the
// range is accessible.
//
// Context: any.
//
//go:norace
func OpenPinned(p unsafe.Pointer, size uintptr) bool {
	_, _, errno := syscall.RawSyscall(unix.SYS_MPROTECT, uintptr(p), size, unix.PROT_READ|unix.PROT_WRITE)
	return errno == 0
}
