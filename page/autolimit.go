package page

import (
	"math"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"quiesce/internal/memlimit"
	"quiesce/internal/sys"
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
// It is read again when memory is short, because a control group's limit may change
// while the program runs: when a gfp.Kernel allocation is refused memory, which may
// sleep, and when the background goroutine makes a round. Neither is pinned or holds
// a lock. Between two readings are rereadEvery at least. A limit that rose serves
// the allocation at once. If it fell below what is in use, the background goroutine
// returns free memory to the system, and nothing more is charged until enough was
// freed: chargeLocked compares the sum with the limit of that moment. A reading that
// finds nothing changes nothing.
//
// limit and watermark are written under the zone lock, and are read without it by
// limitNow alone.

// rereadEvery is in ns: a reading opens a dozen files. Untuned.
const rereadEvery = 1_000_000_000

// autoLimited is the part of an allocator that has an automatic limit.
type autoLimited struct {
	once  sync.Once
	read  func() int64 // immutable
	after atomic.Int64 // when it may be read again
}

// findLimit finds the automatic limit, unless it is found or there is none.
// Context: task; not pinned.
func (a *Allocator) findLimit() {
	if a.auto != nil {
		a.auto.once.Do(func() { a.readLimit() })
	}
}

// findLimitAgain reads the automatic limit again, unless that was done a moment ago.
// It reports whether the limit rose. Context: task; not pinned, no locks held.
func (a *Allocator) findLimitAgain() (rose bool) {
	if a.auto == nil {
		return false
	}
	after, now := a.auto.after.Load(), sys.Nanotime()                        // ord:hint
	if now < after || !a.auto.after.CompareAndSwap(after, now+rereadEvery) { // ord:hint
		return false
	}
	before := a.limitNow()
	a.readLimit()
	return before > 0 && a.limitNow() > before
}

// followLimit reads the automatic limit again, and returns free memory to the system
// that it does not cover any more. Context: task; not pinned, no locks held.
func (a *Allocator) followLimit() {
	if a.auto == nil {
		return
	}
	a.findLimitAgain()
	if limit := a.limitNow(); limit > 0 {
		a.returnSome(a.zone.resident.Load() - limit) // ord:zone
	}
}

func (a *Allocator) readLimit() {
	limit := a.auto.read()
	if limit == 0 {
		return
	}
	limit = max(limit, leastReserve) // what little is populated at first already fits
	if limit != a.limitNow() {
		a.zone.lock.LockIRQ()
		if !a.followed {
			a.setLimitLocked(limit)
		}
		a.zone.lock.UnlockIRQ()
	}
}

func (a *Allocator) setLimit(limit int64) {
	a.zone.lock.LockIRQ()
	a.setLimitLocked(limit)
	a.zone.lock.UnlockIRQ()
}

func (a *Allocator) setLimitLocked(limit int64) {
	atomic.StoreInt64(&a.limit, limit) // ord:hint
	a.watermark = watermark(limit)
}

// limitNow returns the limit, or 0 if there is none or it is not found yet. Context:
// any.
func (a *Allocator) limitNow() int64 { return atomic.LoadInt64(&a.limit) } // ord:hint
