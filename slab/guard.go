package slab

import (
	"errors"
	"log/slog"
	"runtime"
	"runtime/debug"

	"quiesce/internal/option"
)

// Sampled guard pages in plain builds: GWP-ASan's idea. Now and then an allocation
// gets a page of its own, between two pages without access rights, which loses its
// rights when the object is freed. A use after free, or an access beyond the object,
// then faults on the spot, in production too. (Builds with -tags poison have the same
// for a far larger part of the objects: poison_guard.go.)
//
// # Why the fast paths pay nothing
//
// The pages are in a range of their own, which no allocator has. An object there
// fails the range check that every free begins with anyway, and so reaches badFree,
// which looks here before it panics. Allocations are sampled where allocSlow has
// found the P's main sheaf empty. There Kmalloc and Cache.Alloc pass; refills of
// Sheaves, of stocks and AllocBulk do not, because they deal in offsets, which these
// objects have none of. Caches whose users keep offsets are left out (never).
//
// # The life of a page
//
//	at rest ──── sampleAlloc ─────────────► allocated      charged, opened, filled
//	allocated ── Free ────────────────────► freed
//	allocated ── FreeRCU ─────────────────► retired        readers may still use it
//	retired ──── its grace period is over ► freed
//	freed ────── protect ─────────────────► at rest        no rights, no memory, uncharged
//
// # Who owns what
//
// The ring has the pages that are at rest, the oldest first. The goroutine that takes
// one out of the ring owns it until the state is allocated. Then its state decides:
// whoever leaves the state allocated, under the state's lock, owns the page; a second
// free finds another state and is reported. The owner checks the bytes around the
// object, and protects the page, or passes it on: in a raw atomic context by the stack
// of freed pages, to a goroutine that protects them; with FreeRCU by the cache's
// stack of retired pages, to the holder of reclaimMu. Whoever protected it puts it
// at the ring's end.
//
// A page changes its rights by a system call, so that is done in tasks alone.
// Allocations that may not sleep, or are in a raw atomic context, are not sampled.
//
// # Grace periods
//
// The holder of reclaimMu takes the whole stack of retired pages and then a cookie,
// by an atomic read-modify-write. All of them were unlinked before they were pushed,
// so the grace period of the cookie began after that (ord:cookie). They are freed
// when rcu.Poll says that this cookie is over, whoever waited for what, and
// hasWork is true until then.
//
// # The limit
//
// A page is charged to the limit of its cache's allocator before it is opened, and
// uncharged after its memory was returned to the system. If there is no room the
// allocation is served as any other. Nothing waits for a page, and none is unmapped:
// a stale pointer into memory that the Go heap took over would crash the collector.
//
// # Faults
//
// What the handler of faults reads of a page (faultInfo) is written before the page
// loses its rights, so it is there when an access faults.

// GuardConfig says how many allocations get guard pages: see [SampleGuards].
type GuardConfig struct {
	// Every is the rate: one allocation, on average, of so many that leave their
	// fast path. Most do so once in several hundred allocations, those of large
	// objects and of caches with few objects more often. 1 means all that leave it,
	// 0 none.
	Every int
	// Slots bounds the objects that are guarded or were freed a while ago. Each
	// takes one page of memory while it is allocated, and two of address space for
	// ever. At most 8192; 0 means 1024. A quarter of them always keeps freed objects.
	// The first call decides: later ones pass the same, or 0.
	Slots int
}

const (
	guardSlotsDefault = 1024
	guardSlotsMost    = 8192 // two mappings each; Linux allows a process 65530
)

// SampleGuards has a sample of the objects of [Cache.Alloc] and [Heap.Kmalloc], of
// all caches, lie in pages of their own, which lose their access rights when the
// object is freed. A use after free, or an access beyond the object, faults at
// the access: the process ends, and [ReportFaults] has it say whose object it was.
// [CatchFaults] and [ExplainFault] are for programs that survive a fault. A second
// free, and bytes next to an object that were changed, are reported as in builds with
// -tags poison: see [SetReporter].
//
// It costs a few microseconds for each object of the sample, nothing for others, and
// a page for each, which counts against the limit of its allocator. Where there is
// none, or no page, allocations are served as usual. Objects larger than a page, those
// of [Cache.AllocBulk], [Sheaf] and of allocations that may not sleep, and the
// entries of maps and caches are never in the sample. A sampled object is freed,
// linked and counted as any other.
//
// It may be called again to change the rate: objects that are guarded stay so.
// QUIESCE=guards=N calls it at start. The error wraps [errors.ErrUnsupported] in
// builds with -race, -asan or -tags poison, and on Windows.
//
// Context: task; not pinned.
func SampleGuards(cfg GuardConfig) error {
	switch {
	case cfg.Every < 0 || cfg.Slots < 0:
		return errors.New("slab: SampleGuards: a negative number")
	case cfg.Slots > guardSlotsMost:
		return errors.New("slab: SampleGuards: too many slots")
	}
	return sampleGuards(cfg)
}

// GuardStats are the figures of [SampleGuards].
type GuardStats struct {
	Every    int    // the rate
	Slots    int    // of the pool; 0: there is none
	Live     int    // slots whose object is allocated, or waits to be protected
	Bytes    int64  // of memory that these have
	Sampled  uint64 // allocations that got a slot
	NoSlot   uint64 // that got none: all are in use
	NoMemory uint64 // that got none: the limit, or the process's number of mappings
}

// ReadGuardStats returns the figures of the sample.
//
// Context: task; not pinned.
func ReadGuardStats() GuardStats { return readGuardStats() }

// ReportFaults has an access to a freed object of the sample, or next to one, reported
// before Go ends the process: which object it was, and the stacks of its allocation
// and of its free. Go's own trace of the access follows. It is written to
// standard error, whatever goroutine the access was on, and not to [SetReporter]'s.
// It takes over SIGSEGV, and passes every fault on to Go.
//
// Objects allocated before the call are reported without stacks. QUIESCE=report_faults=1
// calls it at start, if there is a sample. The error wraps [errors.ErrUnsupported] if
// the system is not Linux on amd64 or arm64.
//
// Context: task; not pinned.
func ReportFaults() error { return reportFaults() }

// FaultError is an access to a freed object of the sample, or next to one.
type FaultError struct {
	Addr  uintptr       // of the access
	Text  string        // the report: the access, the object, and who allocated and freed it
	Cause runtime.Error // what the runtime panicked with
}

// Error returns the report.
func (e *FaultError) Error() string { return e.Text }

// Unwrap returns what the runtime panicked with.
func (e *FaultError) Unwrap() error { return e.Cause }

// ExplainFault explains a panic that was recovered, if it was a fault at an object of
// the sample; otherwise it returns nil. Call it in the deferred function that called
// recover: the report then has the stack of the access. A fault is a panic on
// goroutines that called [debug.SetPanicOnFault].
//
// Context: task; not pinned.
func ExplainFault(recovered any) *FaultError {
	cause, ok := recovered.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		return nil
	}
	text := faultText(cause.Addr(), accessStack())
	if text == "" {
		return nil
	}
	return &FaultError{Addr: cause.Addr(), Text: text, Cause: cause}
}

// CatchFaults runs fn and returns a [*FaultError] if it was ended by a fault at an
// object of the sample, on the calling goroutine. It passes other panics on. A fault in
// a pinned section, or with a lock of this module held, still ends the process.
//
// Context: task; not pinned.
func CatchFaults(fn func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		e := ExplainFault(r)
		if e == nil {
			panic(r)
		}
		err = e
	}()
	fn()
	return nil
}

// accessStack returns the stack of the access that faulted, of a deferred function
// that recovers; empty if the caller is none.
func accessStack() []uintptr {
	var pcs [64]uintptr
	all := pcs[:runtime.Callers(2, pcs[:])]
	for i, pc := range all {
		if f := runtime.FuncForPC(pc - 1); f != nil && f.Name() == "runtime.sigpanic" {
			return all[i+1:]
		}
	}
	return nil
}

func init() {
	every := option.Count("guards")
	if every == 0 {
		return
	}
	err := SampleGuards(GuardConfig{Every: int(min(every, 1<<31-1))})
	if err == nil && option.Bool("report_faults") {
		err = ReportFaults()
	}
	if err != nil {
		slog.Warn("slab: QUIESCE=guards has no effect, or not all of it", "error", err)
	}
}
