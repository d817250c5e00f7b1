//go:build unix && (poison || asan)

package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Protect takes all access rights to [p, p+size) away; Open gives them back.
// The content stays. Unpinned.
func Protect(p unsafe.Pointer, size uintptr) error {
	return os.NewSyscallError("mprotect", unix.Mprotect(unsafe.Slice((*byte)(p), size), unix.PROT_NONE))
}

// CanProtect: an access to protected memory ends the process.
const CanProtect = true
