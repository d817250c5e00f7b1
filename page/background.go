package page

import (
	"sync/atomic"

	"quiesce/internal/fault"
	"quiesce/internal/pages"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// Reclaim ahead of need: memory is freed before allocations have to wait for it.
//
//	room          what may be put to use before gfp.Kernel waits: see roomLocked
//	low, high     two levels of it
//	running low   an allocation got past the lists, or past most of a cache's free
//	              objects, while there is less room than low
//
// An allocation that runs low starts a goroutine, which makes one round of what
// concerns only the library, and ends:
//
//	the Ps' page lists; what waits for a grace period is hurried along; empty slabs
//	depots, every 10 ms
//
// and then sets due to what is missing beyond that. The allocations that run low
// with gfp.Kernel pay it off: each asks the program's Reclaimers for twice what it
// takes, on its own goroutine, and does not wait for the memory. Linux: kswapd;
// and memory.high, over which those that allocate reclaim in proportion.
//
// What is missing is room up to high, where free objects in slabs count as room, and
// those that wait for a grace period; and in caches that run low a sheaf of
// objects. So a program whose objects lie scattered, and whose slabs therefore
// never become empty, is not asked for room that evicting can't make.
//
// # One at a time
//
// The goroutine takes the place of the waiter that leads (queue.led), so no waiter
// makes a round at the same time, and it makes none while there are waiters: those
// know best what they need, and set due themselves (payDue). One that comes during its
// round parks, and is woken to lead at the end of it. Reclaimers are called by one
// goroutine at a time
// (queue.asking).
//
// # No wake-up is missed
//
// An allocation lowers the room, sets wanted and then looks at running. The
// goroutine clears running and then looks at wanted. So either the allocation
// sees that it must start a goroutine, or the one that is about to end sees
// wanted: ord:wake-background. wanted is cleared before the room is looked at.
//
// # It does not spin
//
// A round that found nothing, while no Reclaimer was asked either, starts a time in
// which none begins: 1 ms, doubled each time, up to 1 s. There is no timer for it:
// the first allocation that runs low after it starts the next round.
type background struct {
	running atomic.Bool
	wanted  atomic.Bool
	restsTo atomic.Int64 // sys.Nanotime: no round begins before
	due     atomic.Int64 // bytes that Reclaimers are to be asked for
	asked   atomic.Int64 // bytes that they were asked for so far

	// The rest belongs to the goroutine that owns running.
	seen   int64 // asked, at the last round
	rest   int64 // ns; 0: the last round found something
	depots int64 // when the caches were last asked for their depots
}

// Watermarks, in parts of the limit and at most. Below backgroundLeast low would be
// less than a slab, and there are none. Untuned.
const (
	lowPart         = 64
	lowMost         = 2 << 20
	highPart        = 32
	highMost        = 4 << 20
	backgroundLeast = 4 << 20

	// backgroundPace is the time from one round to the next, in ns. Untuned.
	backgroundPace = 100_000

	restFirst = 1_000_000
	restMost  = 1_000_000_000
)

// marks returns the watermarks, which are 0 for a small limit and for none.
func (a *Allocator) marks() (low, high int64) {
	limit := a.limitNow()
	if limit < backgroundLeast {
		return 0, 0
	}
	return min(limit/lowPart, lowMost), min(limit/highPart, highMost)
}

// room returns how many bytes may be put to use. It may be out of date.
func (a *Allocator) room() int64 {
	free := a.zone.freePop.Load() + a.deferredPages.Load() // ord:zone,stat
	limit := a.limitNow()
	return limit - watermark(limit) - a.zone.resident.Load() + max(free, 0)*Size // ord:zone
}

// ranLow has memory reclaimed if there is little room, after an allocation that
// took bytes; one that may sleep asks Reclaimers itself. Context: any; as
// gfp.Kernel if it may sleep.
//
//go:norace
func (a *Allocator) ranLow(bytes int64, maySleep bool) {
	if low, _ := a.marks(); low == 0 || a.room() >= low {
		return
	}
	if b := &a.background; maySleep && b.due.Load() > 0 { // ord:hint
		a.askAhead(2 * bytes)
	}
	a.wakeBackground()
}

// askAhead asks Reclaimers for what is due, up to most bytes, unless another
// goroutine is about it.
func (a *Allocator) askAhead(most int64) {
	b := &a.background
	if !a.queue.asking.CompareAndSwap(false, true) { // ord:hint
		return
	}
	defer a.queue.asking.Store(false)                              // ord:hint
	if n := min(most, b.due.Load()); n > 0 && a.askReclaimers(n) { // ord:hint
		b.due.Add(-n)      // ord:hint
		b.asked.Add(n)     // ord:hint
		b.restsTo.Store(0) // ord:hint
	} else {
		b.due.Store(0) // ord:hint
	}
}

// wakeBackground has a round made. Context: any.
//
//go:norace
func (a *Allocator) wakeBackground() {
	b := &a.background
	race.Disable() // who finds little room is not ordered after others that did
	start := false
	if sys.Nanotime() >= b.restsTo.Load() { // ord:hint
		b.wanted.Store(true) // ord:wake-background
		fault.Delay("wake-background")
		start = !b.running.Load() && b.running.CompareAndSwap(false, true) // ord:wake-background
	}
	race.Enable()
	if start {
		sys.Go(a.backgroundLoop)
	}
}

// backgroundLoop is the goroutine. At most one runs.
func (a *Allocator) backgroundLoop() {
	b := &a.background
	for {
		for b.wanted.Swap(false) { // ord:wake-background
			a.backgroundRound()
			sys.Sleep(backgroundPace)
		}
		if !b.resume() {
			return
		}
	}
}

// resume ends the goroutine, unless it returns true: a round was wanted in the last
// moment.
func (b *background) resume() bool {
	b.running.Store(false) // ord:wake-background
	fault.Delay("wake-background")
	return b.wanted.Load() && b.running.CompareAndSwap(false, true) // ord:wake-background
}

// busy is that of stocking.
func (b *background) busy() bool { return b.wanted.Load() || b.running.Load() } // ord:wake-background

// backgroundRound makes a round, unless there is enough, or somebody waits.
func (a *Allocator) backgroundRound() {
	a.followLimit()
	s := a.shortage()
	if s.room <= 0 && s.objects <= 0 || !a.queue.leadForNobody() {
		return
	}
	defer a.endLead()
	b := &a.background
	a.count.ahead.Add(1) // ord:stat
	got := a.takeLists()
	pending := false
	a.sources(nil, func(c pages.Source) bool {
		if have := c.Stock(); have.Lack > 0 || s.room > 0 {
			pending = c.Hurry() || pending
		}
		return true
	})
	_, high := a.marks()
	if need := high - a.room(); need > 0 {
		got += a.release(pages.Empties, nil, need)
		if now := sys.Nanotime(); got < need && s.room > 0 && now-b.depots >= sheavesEvery {
			b.depots = now
			got += a.release(pages.Depots, nil, need-got)
		}
	}
	a.setDue(a.shortage())
	asked := b.asked.Load() // ord:hint
	if got > 0 || pending || asked != b.seen {
		b.seen, b.rest = asked, 0
		return
	}
	b.rest = min(max(2*b.rest, restFirst), restMost)
	b.restsTo.Store(sys.Nanotime() + b.rest) // ord:hint
}

// setDue sets due to what is missing beyond what a grace period brings.
func (a *Allocator) setDue(s shortage) {
	_, high := a.marks()
	a.background.due.Store(min(max(s.room-s.pending, 2*s.beyond), high)) // ord:hint
}

// shortage is how many bytes are missing, not positive if none.
type shortage struct {
	room, objects int64
	pending       int64 // what comes with a grace period
	beyond        int64 // objects that are missing even then
}

// shortage asks the caches what they have.
func (a *Allocator) shortage() (s shortage) {
	_, high := a.marks()
	if s.room = high - a.room(); s.room <= 0 {
		return s
	}
	a.sources(nil, func(c pages.Source) bool {
		have := c.Stock()
		s.room -= have.Free
		s.objects += have.Lack
		s.pending += have.Pending
		s.beyond += max(have.Lack-have.Pending, 0)
		return true
	})
	return s
}
