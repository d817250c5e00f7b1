package page

import (
	"math"
	"os"
	"runtime/debug"
	"sync/atomic"

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

// An automatic limit, that of Default, is found before memory is first populated:
// an import reads no files, and what serves a raw atomic context has memory already.
// It bounds memory and changes nothing else: sizes of lists, sheaves and depots,
// and huge pages, are as without a limit.
//
// limit and watermark are written under the zone lock, and are read without it by
// limitNow alone.

// findLimit finds the automatic limit, unless it is found or there is none.
// Context: task; not pinned.
func (a *Allocator) findLimit() {
	if a.auto != nil {
		a.auto.Do(a.readLimit)
	}
}

func (a *Allocator) readLimit() {
	limit := AutoLimit()
	if limit == 0 {
		return
	}
	a.setLimit(max(limit, leastReserve)) // what little is populated already fits
}

func (a *Allocator) setLimit(limit int64) {
	a.zone.lock.LockIRQ()
	atomic.StoreInt64(&a.limit, limit) // ord:hint
	a.watermark = watermark(limit)
	a.zone.lock.UnlockIRQ()
}

// limitNow returns the limit, or 0 if there is none or it is not found yet. Context:
// any.
func (a *Allocator) limitNow() int64 { return atomic.LoadInt64(&a.limit) } // ord:hint
