//go:build darwin || freebsd || netbsd || openbsd

package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const noReserve = 0 // nothing is counted for what is reserved

// Populate commits [p, p+size) so that no later access faults.
func Populate(p unsafe.Pointer, size uintptr) error {
	touch(p, size)
	return nil
}

// Discard returns the memory of [p, p+size); it reads as zero afterwards.
func Discard(p unsafe.Pointer, size uintptr) error {
	b := unsafe.Slice((*byte)(p), size)
	clear(b) // MADV_FREE keeps the old bytes until the memory is really taken
	return os.NewSyscallError("madvise", unix.Madvise(b, unix.MADV_FREE))
}

// Sleep blocks the thread for ns nanoseconds without a Go timer. It must not
// be called pinned.
func Sleep(ns int64) {
	tv := unix.NsecToTimeval(ns)
	_, _ = unix.Select(0, nil, nil, nil, &tv)
}
