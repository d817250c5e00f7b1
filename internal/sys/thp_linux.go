package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SmallPages keeps transparent huge pages out of [p, p+size): populating one
// page of the range commits one page and not 2 MiB.
func SmallPages(p unsafe.Pointer, size uintptr) error {
	err := unix.Madvise(unsafe.Slice((*byte)(p), size), unix.MADV_NOHUGEPAGE)
	if err == unix.EINVAL { // a kernel without huge pages
		err = nil
	}
	return os.NewSyscallError("madvise", err)
}
