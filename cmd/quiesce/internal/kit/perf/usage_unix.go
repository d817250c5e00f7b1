//go:build unix

package perf

import "golang.org/x/sys/unix"

// Usage is what this process has used so far: processor time in nanoseconds,
// and how often one of its threads went to sleep.
func Usage() (cpu int64, sleeps uint64) {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0, 0
	}
	return unix.TimevalToNsec(u.Utime) + unix.TimevalToNsec(u.Stime), uint64(u.Nvcsw)
}
