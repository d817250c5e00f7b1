//go:build unix

package harness

import (
	"runtime"
	"syscall"
)

// CPUTime is the process's user and system time, in ns.
func CPUTime() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

// ThreadTime is the same of the calling thread; 0 where the system does not
// tell.
func ThreadTime() float64 {
	var u syscall.Rusage
	if runtime.GOOS != "linux" || syscall.Getrusage(rusageThread, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

const rusageThread = 1 // Linux's RUSAGE_THREAD
