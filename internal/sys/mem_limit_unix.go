//go:build unix

package sys

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// AddressLimit returns the most address space that the process may have in
// bytes, or 0 if that is not limited.
func AddressLimit() uint64 { return limit(rlimitAS) }

// AddressLeft returns how much more address space the process may have, if that
// is limited.
func AddressLeft() (bytes uint64, limited bool) { return left(rlimitAS) }

// DataLeft returns how much more writable memory the process may have, if that
// is limited.
func DataLeft() (bytes uint64, limited bool) { return left(unix.RLIMIT_DATA) }

// Limits names the limits of the process's address space, for logs and errors.
func Limits() string {
	var s []string
	for _, l := range []struct {
		which int
		name  string
	}{{rlimitAS, "RLIMIT_AS"}, {unix.RLIMIT_DATA, "RLIMIT_DATA"}} {
		if bytes := limit(l.which); bytes > 0 {
			s = append(s, fmt.Sprintf("%s is %d KiB", l.name, bytes>>10))
		}
	}
	if len(s) == 0 {
		return "none"
	}
	return strings.Join(s, ", ")
}

func limit(which int) uint64 {
	var l unix.Rlimit
	if unix.Getrlimit(which, &l) != nil || uint64(l.Cur) >= 1<<46 { // infinity, or as good as that
		return 0
	}
	return max(uint64(l.Cur), 1)
}

func left(which int) (bytes uint64, limited bool) {
	l := limit(which)
	return l - min(l, inUse(which)), l > 0
}

// roomError is that of a system call that was refused memory or address space. There
// is one for each call: an allocation that waits gets it again and again, and where
// memory is short the Go heap may have none for errors, either.
type roomError struct{ call string }

var mmapRoom, mprotectRoom = &roomError{"mmap"}, &roomError{"mprotect"}

// Error names the limits, as they are by now.
func (e *roomError) Error() string {
	s := e.call + ": " + unix.ENOMEM.Error()
	if l := Limits(); l != "none" {
		s += " (" + l + ")"
	}
	return s
}

func (e *roomError) Unwrap() error { return unix.ENOMEM }

// noRoom returns the error of a system call, room if it was refused memory.
func noRoom(room *roomError, err error) error {
	if err == unix.ENOMEM {
		return room
	}
	return os.NewSyscallError(room.call, err)
}
