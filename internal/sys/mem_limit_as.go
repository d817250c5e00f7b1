//go:build unix && !openbsd

package sys

import "golang.org/x/sys/unix"

const rlimitAS = unix.RLIMIT_AS
