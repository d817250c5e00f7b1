//go:build unix

package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Protect removes all access rights to [p, p+size); Open restores them. The
// content stays.
//
// Context: task; not pinned.
func Protect(p unsafe.Pointer, size uintptr) error {
	return os.NewSyscallError("mprotect", unix.Mprotect(unsafe.Slice((*byte)(p), size), unix.PROT_NONE))
}

// CanProtect says that an access to protected memory ends the process.
const CanProtect = true
