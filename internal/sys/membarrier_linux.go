package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"quiesce/internal/holds"
)

const (
	membarrierCmdQuery                    = 0
	membarrierCmdPrivateExpedited         = 1 << 3
	membarrierCmdRegisterPrivateExpedited = 1 << 4
)

// membarrierRegister reports whether the expedited command can be used from
// now on. Registering belongs to the process, not to the thread.
func membarrierRegister() bool {
	cmds, _, errno := syscall.RawSyscall(unix.SYS_MEMBARRIER, membarrierCmdQuery, 0, 0)
	if errno != 0 || cmds&membarrierCmdPrivateExpedited == 0 {
		return false
	}
	_, _, errno = syscall.Syscall(unix.SYS_MEMBARRIER, membarrierCmdRegisterPrivateExpedited, 0, 0)
	return errno == 0
}

// membarrierExpedited reports whether the kernel made the barrier. It is a raw
// system call: it takes 0.15 µs with no other running thread and some 15 µs
// with one, too short to be worth handing off the P.
func membarrierExpedited() bool {
	_, _, errno := syscall.RawSyscall(unix.SYS_MEMBARRIER, membarrierCmdPrivateExpedited, 0, 0)
	return errno == 0
}

// Yield yields the processor to another thread. It may be called pinned: it is a
// raw system call that always returns at once.
func Yield() {
	var begin int64
	if holds.Enabled {
		begin = holds.WaitBegin()
	}
	syscall.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	if holds.Enabled {
		holds.WaitEnd(begin, G())
	}
}

// Sleep blocks the thread for ns nanoseconds without a Go timer: timers would
// belong to the synctest bubble in which the goroutine was started. It must not
// be called pinned. A signal may cut it short; every caller re-checks its
// condition.
func Sleep(ns int64) {
	ts := unix.NsecToTimespec(ns)
	if careful {
		_ = unix.Nanosleep(&ts, nil) // an ordinary system call; a signal may cut it short
		return
	}
	nanosleep(&ts)
}

// nanosleep hands the P to others before it blocks. An ordinary system call
// would keep it until the scheduler's monitor takes it away, which can be 10 ms
// later; a worker that sleeps for 0.2 ms must not stop a P for that long. What
// runs between the two runtime calls must not grow the stack. Proved on Go 1.26 and
// 1.27; see goversion.go.
//
//go:nosplit
//go:norace
//go:noinline
func nanosleep(ts *unix.Timespec) {
	entersyscallblock()
	syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(ts)), 0, 0)
	exitsyscall()
}

//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()
