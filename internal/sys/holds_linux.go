//go:build holds

package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"quiesce/internal/holds"
)

func init() { holds.SetClock("thread CPU time", threadTime) }

// threadTime returns the CPU time of the thread in ns. It is a raw system call,
// which is legal while pinned.
func threadTime() int64 {
	var ts unix.Timespec
	syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}
