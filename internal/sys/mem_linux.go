package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Populate commits [p, p+size) so that no later access faults.
func Populate(p unsafe.Pointer, size uintptr) error {
	err := unix.Madvise(unsafe.Slice((*byte)(p), size), unix.MADV_POPULATE_WRITE)
	if err == unix.EINVAL { // before Linux 5.14
		touch(p, size)
		err = nil
	}
	return os.NewSyscallError("madvise", err)
}

// Discard returns the memory of [p, p+size); it reads as zero afterwards.
func Discard(p unsafe.Pointer, size uintptr) error {
	return os.NewSyscallError("madvise", unix.Madvise(unsafe.Slice((*byte)(p), size), unix.MADV_DONTNEED))
}
