package rcu

import (
	"runtime"
	"sync/atomic"

	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
	"quiesce/internal/race"
)

// Reader is a registered reader: its sections cost two plain stores each, inlined
// into the caller, where [ReadLock] has to find and pin its P first. Every grace
// period waits for them as for all others. In return it belongs to one goroutine
// at a time, and every grace period looks at it, for some nanoseconds, until it is
// closed: it is for the goroutines that read all the time, by the thousand, not
// for each request.
//
// The sections of a Reader that overlap count as one: all that was loaded in
// them is protected until the outermost ends. A Reader that is in some section
// at every moment, for it always enters the next before it leaves the last,
// holds up grace periods, as a P does whose pinned sections overlap.
//
// A Reader may be handed to another goroutine by whatever orders the two (a
// channel, a mutex), in a section too. With -race two goroutines that use one
// without are reported. It must not be copied.
//
// Linux: none; liburcu's rcu_register_thread is for threads.
type Reader struct {
	_ noCopy

	slot    *readerSlot // the words; &closedSlot after Close
	guard   uint64      // Guard.idx of its sections; immutable
	id      uint32      // of slot; immutable
	used    uint64      // written by every call in race builds, for the detector to see
	open    sections    // the sections by age; empty but with -tags lockdep
	cleanup runtime.Cleanup
}

// noCopy makes go vet report copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// readerSlot has the words of a Reader. They outlive it: a driver may look at a
// slot at any time, so slots are never freed, only used again. A slot has lines
// of its own.
type readerSlot struct {
	// The lower half is nest, the depth of sections; the upper half is qs, which
	// counts ends of outermost sections. Both change by one plain store of the
	// goroutine that owns the Reader. qs is never set back, so a new owner of the
	// slot can't be taken for an old one's section. Negative lower halves are
	// those of closedSlot, and of 2³¹ sections.
	word uint64

	epoch   uint64         // of the outermost section, in race builds only
	made    atomic.Uintptr // the pc of the call of NewReader
	gen     atomic.Uint32  // owners that the slot had; a guard has its own's
	dropped atomic.Bool    // the Reader was dropped in a section
	next    uint32         // in a list of the registry, protected by its mu

	_ [readerLine - 3*8 - 3*4]byte
}

// Parts of readerSlot.word.
const (
	slotQS     = 1 << 32           // one in the upper half
	slotClosed = 1<<31 | 1<<30     // stays negative when 1 is added or subtracted
	nestMask   = uint64(1<<32 - 1) // the lower half
)

// closedSlot is the slot of every Reader that is closed. It is only read.
var closedSlot = readerSlot{word: slotClosed}

// NewReader registers a reader for the calling goroutine, or for one that it hands
// it to. Close it when the goroutine ends. One that is dropped without is closed
// by the garbage collector, with a line to slog's default logger: a warning, if it is in
// a section.
//
// Context: task; not pinned.
func NewReader() *Reader {
	var pc [1]uintptr
	runtime.Callers(2, pc[:])
	id, s := registry.take(pc[0])
	gen := s.gen.Load() // ord:reader-live
	r := &Reader{slot: s, id: id, guard: readerGuard(id, gen)}
	r.cleanup = runtime.AddCleanup(r, drop, dropped{id, gen})
	return r
}

// ReadLock begins a read-side section, as the function [ReadLock] does. It returns
// a guard for functions that take one as proof. Either [Reader.Unlock] ends the
// section or the guard's Unlock does, a few nanoseconds slower: one of the
// two, once.
//
// Context: any.
//
//go:norace
func (r *Reader) ReadLock() Guard {
	if race.Enabled {
		touch(&r.used)
	}
	s := r.slot
	// The atomic load is a plain one on amd64. The compiler moves no load of the
	// section before it.
	w := atomic.LoadUint64(&s.word) // ord:reader-enter
	if int32(w) < 0 {
		panic(badLock)
	}
	s.word = w + 1 // ord:reader-enter
	if fault.Delays {
		fault.Delay("reader-enter")
	}
	if race.Enabled {
		if w&nestMask == 0 {
			s.epoch = race.Enter()
		}
	}
	// Until here: the slot of one that was dropped out of a section may have
	// another owner.
	runtime.KeepAlive(r)
	if depcheck.Tagged {
		return Guard{r.open.begin(w&nestMask == 0), r.guard}
	}
	return Guard{idx: r.guard}
}

// Unlock ends the section that was begun last. It panics if there is none.
//
// Context: any. In a raw atomic context its panic ends the process.
//
//go:norace
func (r *Reader) Unlock() {
	if race.Enabled {
		touch(&r.used)
	}
	s := r.slot
	if depcheck.Tagged {
		if !r.open.end() {
			return // reported
		}
	}
	w := atomic.LoadUint64(&s.word) // ord:reader-leave
	if uint32(w) == 1 {
		if race.Enabled {
			race.Exit(s.epoch)
		}
		w += slotQS - 1
	} else {
		if int32(w) <= 0 {
			panic(badUnlock)
		}
		w--
	}
	if fault.Delays {
		fault.Delay("reader-leave")
	}
	s.word = w // ord:reader-leave
}

// Close ends the registration. It panics in a section of the Reader; outside it
// may be called again. Every other use after it panics.
//
// Context: any. In a raw atomic context its panic ends the process.
//
//go:norace
func (r *Reader) Close() {
	if race.Enabled {
		touch(&r.used)
	}
	switch w := atomic.LoadUint64(&r.slot.word); { // ord:reader-leave
	case int32(w) < 0:
		return
	case r.slot.gen.Load() != uint32(r.guard>>guardGen): // ord:reader-live
		panic("quiesce/rcu: Close of a copy of a Reader that was closed")
	case w&nestMask != 0:
		panic("quiesce/rcu: Close of a Reader in its section: Unlock first")
	}
	r.cleanup.Stop()
	r.slot = &closedSlot // r is alive until here, so it was not dropped before Stop
	registry.release(r.id)
}

// touch is a write that the race detector sees: two goroutines that use one
// Reader at the same time race for it.
//
//go:noinline
func touch(used *uint64) { *used++ }

// A call of a function that panics would keep both from being inlined.
const (
	badLock   = "quiesce/rcu: ReadLock of a Reader that was closed (or has 2³¹ sections open)"
	badUnlock = "quiesce/rcu: Unlock of a Reader that is in no section, or was closed"
)

// Guards of a Reader have its slot and which owner it is, not the Reader: the slot
// stays registered until the section has ended, whether the Reader lives or not.
const (
	guardSlot = 8  // the bits from here on are the slot's number
	guardGen  = 32 // and from here on the lower bits of its gen
)

// readerGuard is the Guard.idx of a Reader.
func readerGuard(id, gen uint32) uint64 {
	return guardReader | uint64(id)<<guardSlot | uint64(gen)<<guardGen
}

// unlockReader is Unlock of a Reader's guard.
//
//go:norace
//go:noinline
func (g *Guard) unlockReader() {
	s := registry.slot(uint32(g.idx) >> guardSlot)
	w := atomic.LoadUint64(&s.word) - 1                                         // ord:reader-leave
	if live := s.gen.Load() == uint32(g.idx>>guardGen); !live || int32(w) < 0 { // ord:reader-live
		panic("quiesce/rcu: Unlock of a Guard whose Reader has left the section, by its own Unlock or another guard's")
	}
	if depcheck.Tagged && !g.dep.Exit("rcu.Guard") {
		return // a copy was unlocked before
	}
	g.idx = guardDone
	if w&nestMask == 0 {
		if race.Enabled {
			race.Exit(s.epoch)
		}
		w += slotQS
	}
	fault.Delay("reader-leave")
	s.word = w // ord:reader-leave
}
