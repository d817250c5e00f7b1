//go:build unix

package main

import (
	"runtime"
	"syscall"
)

// cpuTime is the process's user and system time, in ns.
func cpuTime() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

// threadTime is the same of the calling thread; 0 where the system does not
// tell.
func threadTime() float64 {
	var u syscall.Rusage
	if runtime.GOOS != "linux" || syscall.Getrusage(rusageThread, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

const rusageThread = 1 // Linux's RUSAGE_THREAD
