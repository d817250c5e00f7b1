package page

import (
	"errors"
	"log/slog"
	"os"

	"quiesce/internal/sys"
)

// How much address space an allocator takes whose Config leaves it open. Where
// the process may have little (ulimit -v, ulimit -d), the rest must do for the
// Go heap, which ends the program when it gets none.

// leastReserve is the smallest range that is tried when no larger one can be
// had.
const leastReserve = 1 << 20

// roomFor returns the largest range that leaves enough to others.
func roomFor() int64 {
	size := uint64(maxReserve)
	if left, limited := sys.AddressLeft(); limited {
		size = min(size, left/2)
	}
	if left, limited := sys.DataLeft(); limited {
		size = min(size, left/4*3)
	}
	return max(int64(size), leastReserve)
}

// newInRoom is newAllocator for a Config that leaves the size of the range open:
// the largest that the system allows.
func newInRoom(c Config, granule int) (*Allocator, error) {
	for c.Reserve = roomFor(); ; c.Reserve /= 2 {
		a, err := newAllocator(c, granule)
		if err != nil && c.Reserve/2 >= leastReserve && refused(err) {
			continue
		}
		if err == nil && c.Reserve < maxReserve {
			slog.Warn("page: little address space", "allocator", a.name, "range", a.core.Size,
				"limit", c.Limit, "limits", sys.Limits())
		}
		return a, err
	}
}

// refused reports whether it was the system that had no memory or address
// space, and not the Config that was wrong.
func refused(err error) bool {
	var e *os.SyscallError
	return errors.As(err, &e)
}

// unmade is the default allocator of a process that has no address space for
// one: each of its allocations fails, and what needs it says why. An import
// must not end the program, which may never use the package.
func unmade(c Config, why error) *Allocator {
	a := &Allocator{name: c.Name, limit: c.Limit}
	a.initLocks()
	a.core.Allocator = (*bridge)(a)
	a.core.Unmade = why
	a.closed.Store(true)  // ord:gate
	a.gate.Or(gateClosed) // ord:gate
	slog.Warn("page: there is no default allocator", "error", why, "limits", sys.Limits())
	return a
}
