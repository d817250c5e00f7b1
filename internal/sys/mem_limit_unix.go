//go:build unix

package sys

import "golang.org/x/sys/unix"

// AddressLimit returns the most address space that the process may have in
// bytes, or 0 if that is not limited.
func AddressLimit() uint64 { return limit(unix.RLIMIT_AS) }

func limit(which int) uint64 {
	var l unix.Rlimit
	if unix.Getrlimit(which, &l) != nil || uint64(l.Cur) >= 1<<46 { // infinity, or as good as that
		return 0
	}
	return uint64(l.Cur)
}
