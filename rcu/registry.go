package rcu

import (
	"context"
	"log/slog"
	"math/bits"
	"strconv"
	"sync/atomic"

	"quiesce/internal/fault"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/lock"
)

const (
	readerLine  = percpu.Line
	chunkSlots  = 63      // at most the bits of readerChunk.live; a chunk is 8 KiB
	readersMost = 1 << 24 // slots; a guard has room for the number of one
)

// readerChunk is some slots, and which of them have an owner.
type readerChunk struct {
	live  atomic.Uint64 // a bit for each slot that has an owner
	_     [readerLine - 8]byte
	slots [chunkSlots]readerSlot
}

// registry has the slots of all Readers. Chunks are on the Go heap and stay
// there: drivers and guards come to a slot without asking.
var registry readerRegistry

type readerRegistry struct {
	chunks atomic.Pointer[[]*readerChunk] // grows by a copy, under mu

	mu   lock.Raw
	free uint32 // 1 + the number of the first slot without an owner; protected by mu
	lost uint32 // the same of those that were dropped in a section; protected by mu

	losses atomic.Int32 // slots in lost
}

func init() { registry.mu.Init("rcu.readers.mu") }

// slot returns slot id, which exists.
//
//go:norace
func (g *readerRegistry) slot(id uint32) *readerSlot {
	race.Disable()
	chunks := *g.chunks.Load() // ord:reader-live
	race.Enable()
	return &chunks[id/chunkSlots].slots[id%chunkSlots]
}

// take returns a slot for a new owner.
//
//go:norace
func (g *readerRegistry) take(made uintptr) (id uint32, s *readerSlot) {
	race.Disable()           // the registry orders no users
	if g.losses.Load() > 0 { // ord:stat
		g.reapLost()
	}
	for {
		if id = g.pop(); id != 0 {
			break
		}
		if !g.grow() {
			race.Enable()
			panic("quiesce/rcu: more than " + strconv.Itoa(readersMost) + " Readers")
		}
	}
	id--
	chunks := *g.chunks.Load() // ord:reader-live
	c := chunks[id/chunkSlots]
	s = &c.slots[id%chunkSlots]
	s.made.Store(made) // ord:stat
	// A read-modify-write, before the first section's entry.
	c.live.Or(1 << (id % chunkSlots)) // ord:reader-live
	fault.Delay("reader-live")
	race.Enable()
	return id, s
}

// pop removes a slot from the free ones, and returns 1 + its number, or 0.
//
//go:norace
func (g *readerRegistry) pop() (id uint32) {
	g.mu.LockIRQ()
	if id = g.free; id != 0 {
		g.free = (*g.chunks.Load())[(id-1)/chunkSlots].slots[(id-1)%chunkSlots].next // ord:reader-live
	}
	g.mu.UnlockIRQ()
	return id
}

// grow adds a chunk unless someone else has. It returns false if there are too
// many.
//
//go:norace
func (g *readerRegistry) grow() bool {
	var old []*readerChunk
	before := g.chunks.Load() // ord:reader-live
	if before != nil {
		old = *before
	}
	n := len(old)
	if n >= readersMost/chunkSlots {
		return false
	}
	fresh := new(readerChunk)
	for i := range fresh.slots { // the first is on top
		fresh.slots[i].next = uint32(n*chunkSlots+i) + 2
	}
	chunks := make([]*readerChunk, n+1)
	copy(chunks, old)
	chunks[n] = fresh
	g.mu.LockIRQ()
	if g.chunks.Load() == before { // ord:reader-live
		fresh.slots[chunkSlots-1].next = g.free
		g.free = uint32(n*chunkSlots) + 1
		g.chunks.Store(&chunks) // ord:reader-live
	}
	g.mu.UnlockIRQ()
	return true
}

// release takes a slot from its owner, whose sections have ended.
//
//go:norace
func (g *readerRegistry) release(id uint32) {
	race.Disable()
	g.mu.LockIRQ()
	g.releaseLocked(id)
	g.mu.UnlockIRQ()
	race.Enable()
}

//go:norace
func (g *readerRegistry) releaseLocked(id uint32) {
	c := (*g.chunks.Load())[id/chunkSlots] // ord:reader-live
	s := &c.slots[id%chunkSlots]
	s.gen.Add(1)           // ord:reader-live
	s.dropped.Store(false) // ord:stat
	// A read-modify-write, after the last section's end.
	c.live.And(^uint64(1 << (id % chunkSlots))) // ord:reader-live
	s.next, g.free = g.free, id+1
}

// dropped names a Reader that is no more.
type dropped struct{ id, gen uint32 }

// drop is called after a Reader that was not closed was found unreachable: there
// will be no new sections. The end of the world's stop by the garbage collector is
// between every entry and this call. If a section is open, its guard may be
// alive and end it; until then the slot stays registered and holds up grace
// periods.
//
//go:norace
func drop(d dropped) {
	race.Disable()
	g := &registry
	s := g.slot(d.id)
	var made uintptr
	level := slog.LevelDebug
	g.mu.LockIRQ()
	switch made = s.made.Load(); { // ord:stat
	case s.gen.Load() != d.gen: // ord:reader-live
		made = 0
	case atomic.LoadUint64(&s.word)&nestMask == 0: // ord:reader-leave
		g.releaseLocked(d.id)
	default:
		s.dropped.Store(true) // ord:stat
		s.next, g.lost = g.lost, d.id+1
		g.losses.Add(1) // ord:stat
		level = slog.LevelWarn
	}
	g.mu.UnlockIRQ()
	race.Enable()
	if made != 0 {
		sys.Go(func() { logDropped(level, made) }) // cleanups share a few goroutines, and the log is the user's
	}
}

// logDropped logs that a Reader was dropped: at level WARN if it was in a section.
func logDropped(level slog.Level, made uintptr) {
	ctx := context.Background()
	if !slog.Default().Enabled(ctx, level) {
		return
	}
	text := "rcu: a Reader was not closed, and is not referenced any more"
	if level == slog.LevelWarn {
		text = "rcu: a Reader in its section was not closed, and is not referenced any more: grace periods wait until its guard is unlocked"
	}
	slog.LogAttrs(ctx, level, text, slog.String("made", place(made)))
}

// reapLost releases the slots that were dropped in a section which has ended.
//
//go:norace
func (g *readerRegistry) reapLost() {
	g.mu.LockIRQ()
	chunks := *g.chunks.Load() // ord:reader-live
	list := g.lost
	g.lost = 0
	for list != 0 {
		id := list - 1
		s := &chunks[id/chunkSlots].slots[id%chunkSlots]
		list = s.next
		if atomic.LoadUint64(&s.word)&nestMask == 0 { // ord:reader-leave
			g.losses.Add(-1) // ord:stat
			g.releaseLocked(id)
		} else {
			s.next, g.lost = g.lost, id+1
		}
	}
	g.mu.UnlockIRQ()
}

// waitedReader is a Reader that was in a section when the grace period started.
type waitedReader struct {
	slot *readerSlot
	qs   uint32 // the upper half of its word then
}

// reads reports whether it still is in that section.
//
//go:norace
func (r waitedReader) reads() bool {
	return uint32(atomic.LoadUint64(&r.slot.word)>>32) == r.qs // ord:reader-leave
}

// seeRegisteredLocked is step 5 for Readers: it notes those that are in a section.
// gp.mu is locked.
//
//go:norace
func seeRegisteredLocked() {
	gp.registered = gp.registered[:0]
	chunks := registry.chunks.Load() // ord:reader-live
	if chunks == nil {
		return
	}
	for _, c := range *chunks {
		for live := c.live.Load(); live != 0; live &= live - 1 { // ord:reader-live
			s := &c.slots[bits.TrailingZeros64(live)]
			if w := atomic.LoadUint64(&s.word); w&nestMask != 0 { // ord:reader-enter
				gp.registered = append(gp.registered, waitedReader{s, uint32(w >> 32)})
			}
		}
	}
}

// waitForRegisteredLocked is step 8 for Readers. gp.mu is locked.
//
//go:norace
func waitForRegisteredLocked(wait *backoff) {
	for len(gp.registered) > 0 {
		left := gp.registered[:0]
		for _, r := range gp.registered {
			if r.reads() {
				left = append(left, r)
			}
		}
		gp.registered = left
		if len(left) > 0 && wait.pause(registeredReader) {
			reportRegistered(left, wait)
		}
	}
}
