// Package gfp has the allocation flags (the kernel's gfp_t: "get free page")
// and, in one table, what each of them lets an allocation do.
//
//	flags      may sleep  may use the reserve  may take lock.Spin
//	Kernel     yes        no                   yes
//	Atomic     no         yes                  yes
//	NoWait     no         no                   yes
//	|NoLocks   no         unchanged            no
//
// "May sleep" means that the allocation waits for reclaim at the memory
// limit, the grace periods in flight included. "The reserve" is the memory
// below the low watermark that is kept for callers that can't wait.
//
// With preempt_rt=1 (the default) lock.Spin is a sleeping lock, so Atomic and
// NoWait, although they never wait for memory, may park on a contended lock.
// In a raw atomic context (preempt.Disable, lock.Raw held, interrupts off,
// preempt.Hardirq) that ends the process. NoLocks is the flag that P. McKenney
// asked for in "Raw spinlocks and memory allocation" (LKML, July 2020): the
// request is served from what this P has cached, or by a lock that happens to be
// free, or returns nil at once; a goroutine then sees to it that the next is served.
package gfp

import "strings"

// Flags says what an allocation may do to get its memory. The zero value
// is NoWait.
type Flags uint32

const (
	mayWait Flags = 1 << iota
	mayReserve

	// NoLocks: wait for no lock that can sleep; return nil rather than that.
	// It wins over Kernel: such a request never sleeps. The kernel's proposed
	// __GFP_NO_LOCKS.
	NoLocks
	// NoWarn: a failure is expected and not logged. The kernel's __GFP_NOWARN.
	NoWarn
	// Zero: the memory is returned zeroed. The kernel's __GFP_ZERO.
	Zero
)

const (
	// NoWait: never wait for memory. The kernel's GFP_NOWAIT.
	NoWait Flags = 0
	// Kernel: wait for reclaim when memory is short. Unpinned code only. The
	// kernel's GFP_KERNEL.
	Kernel = mayWait
	// Atomic: never wait, and the reserve may be used. The kernel's GFP_ATOMIC.
	Atomic = mayReserve
)

// CanSleep reports whether the allocation may wait for reclaim.
func (f Flags) CanSleep() bool { return f&(mayWait|NoLocks) == mayWait }

// CanReserve reports whether the allocation may go below the low watermark.
func (f Flags) CanReserve() bool { return f&mayReserve != 0 }

// CanLock reports whether the allocation may take a lock.Spin.
func (f Flags) CanLock() bool { return f&NoLocks == 0 }

// Warns reports whether a failure is logged.
func (f Flags) Warns() bool { return f&NoWarn == 0 }

// String names the flags as they are written in Go: "Kernel|Zero".
func (f Flags) String() string {
	base := "NoWait"
	switch f & (mayWait | mayReserve) {
	case Kernel:
		base = "Kernel"
	case Atomic:
		base = "Atomic"
	case Kernel | Atomic:
		base = "Kernel|Atomic"
	}
	names := []string{base}
	for _, m := range []struct {
		f Flags
		s string
	}{{NoLocks, "NoLocks"}, {NoWarn, "NoWarn"}, {Zero, "Zero"}} {
		if f&m.f != 0 {
			names = append(names, m.s)
		}
	}
	if f>>5 != 0 {
		names = append(names, "invalid")
	}
	return strings.Join(names, "|")
}
