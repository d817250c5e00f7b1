package page

import (
	"math"
	"os"
	"runtime/debug"

	"quiesce/internal/memlimit"
)

// AutoLimit returns a limit for an allocator that may have most of what the
// process gets: three quarters of the smallest memory limit among its control
// groups, or of the machine's memory, less GOMEMLIMIT if that is set, but at
// least an eighth. It is at most the largest range, and 0 where nothing is
// known. It reads the system's files at each call.
//
// Context: task; not pinned.
func AutoLimit() int64 {
	return autoLimit(memlimit.Read(os.DirFS("/")), debug.SetMemoryLimit(-1))
}

func autoLimit(memory, goLimit int64) int64 {
	rest := memory
	if goLimit < math.MaxInt64 {
		rest -= goLimit
	}
	return min(max(rest/4*3, memory/8), maxReserve)
}
