package sys

import (
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Linux counts no memory for what is reserved, except where
// vm.overcommit_memory is 2: there it counts what is open.
const noReserve = unix.MAP_NORESERVE

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
	b := unsafe.Slice((*byte)(p), size)
	err := unix.Madvise(b, unix.MADV_DONTNEED)
	if err == unix.EINVAL { // mlockall
		err = unix.Madvise(b, unix.MADV_DONTNEED_LOCKED) // since Linux 5.18
	}
	return os.NewSyscallError("madvise", err)
}

// inUse returns how much of a limited resource the process has.
func inUse(which int) (bytes uint64) {
	b, err := os.ReadFile("/proc/self/statm")
	f := strings.Fields(string(b))
	if err != nil || len(f) < 6 {
		return 0
	}
	n := f[0] // all, in pages
	if which == unix.RLIMIT_DATA {
		n = f[5] // data and stack
	}
	pages, _ := strconv.ParseUint(n, 10, 64)
	return pages * uint64(os.Getpagesize())
}
