//go:build !asan && linux && (amd64 || arm64)

package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A handler for SIGSEGV that checks the address before Go's own handler does. Go turns the signal into "unexpected fault address" and a trace of the
// goroutine, on whatever stack and in whatever context the access was, and
// gives no other code a chance to say whose memory it was.
//
// The kernel calls onSegv (assembly) on the thread's signal stack; it calls
// segv and then jumps to Go's handler as if it had been called by the
// kernel. Nothing below onSegv may access the goroutine, grow a stack,
// allocate or take a lock: functions are nosplit, and only read memory, and
// write by raw system calls.

// sigaction is the kernel's struct, the same on both architectures.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

var goSegv uintptr // Go's handler; read by onSegv

// Used in assembly.
var (
	_ = &goSegv
	_ = segv
)

var faults struct {
	base, size uintptr // the addresses that report is called for
	report     func(addr, pc uintptr, access int)
}

// Kinds of accesses.
const (
	AccessUnknown = iota
	AccessRead
	AccessWrite
)

// OnFault makes report be called when an access to [p, p+size) faults, before Go
// turns the fault into a fatal error or a panic. report runs on a signal
// stack: it must be nosplit and only read memory and call WriteRaw. It is
// called once, before any such access.
func OnFault(p unsafe.Pointer, size uintptr, report func(addr, pc uintptr, access int)) error {
	faults.base, faults.size, faults.report = uintptr(p), size, report
	var act sigaction
	if _, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGSEGV), 0, uintptr(unsafe.Pointer(&act)), 8, 0, 0); e != 0 {
		return e
	}
	goSegv, act.handler = act.handler, onSegvPC()
	if _, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGSEGV), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0); e != 0 {
		return e
	}
	return nil
}

// segv is called by onSegv with the address that faulted and what the kernel
// says of the access.
//
//go:nosplit
//go:norace
func segv(addr, pc, access uintptr) {
	if addr-faults.base < faults.size {
		faults.report(addr, pc, int(access))
	}
}

// onSegvPC is the address of onSegv.
func onSegvPC() uintptr

// WriteRaw writes to standard error from any context, a signal handler
// included.
//
//go:nosplit
//go:norace
func WriteRaw(s string) {
	if len(s) > 0 {
		syscall.RawSyscall(unix.SYS_WRITE, 2, uintptr(unsafe.Pointer(unsafe.StringData(s))), uintptr(len(s)))
	}
}
