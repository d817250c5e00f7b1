package process

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// deny installs a seccomp filter on all threads that answers a system call with
// an error.
func deny(call uint32, answer unix.Errno) {
	const errno, allow = 0x00050000, 0x7fff0000 // SECCOMP_RET_…
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: call},
		{Code: unix.BPF_RET | unix.BPF_K, K: errno | uint32(answer)},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	const setModeFilter, tsync = 1, 1
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, tsync, uintptr(unsafe.Pointer(&f))); e != 0 {
		fatal(e)
	}
	runtime.KeepAlive(program)
}
