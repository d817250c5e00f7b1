package page

import (
	"runtime"

	"quiesce/internal/pages"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// Rounds of reclaim. One goroutine at a time makes them, the waiter that leads
// (wait.go), on behalf of all. A round goes from what costs nobody anything to
// what does, and ends when there is memory:
//
//	in the first round after a waiter was served: Reclaimers, for a part of what is
//	    short, since background reclaim makes no round while there are waiters
//	the Ps' page lists
//	what waits for a grace period is hurried along; empty slabs
//	from the second round on:
//	  depots
//	  unless something waits for a grace period, as what Reclaimers freed a
//	  moment ago:
//	    the program's Reclaimers
//	    the Ps' sheaves, every 10 ms
//	a pause
//
// While something waits for a grace period a waiter has the Ps' sheaves taken
// after 10 ms at the earliest.
//
// The caches are asked in turn, the waiter's own first, and each only for what
// is still missing.

// sheavesEvery is how often the Ps' sheaves are taken while requests wait, in
// ns. Each time costs their owners a slow path. Untuned.
const sheavesEvery = 10_000_000

// patience is how many rounds a waiter has for grace periods before it asks the
// Reclaimers, and again before it asks them the next time. Untuned.
const patience = 5

// dueNeeds is how many times what it needs a waiter asks for ahead. Untuned.
const dueNeeds = 8

// Pauses between two rounds, in ns: doubled from one to the next. A nudge ends
// one within a slice. Untuned.
const (
	firstPause = 20_000
	lastPause  = 1_000_000
	pauseSlice = 200_000
)

// wait waits for memory, until try reports that the request has it. It returns
// false if there was no progress for too long. Context: task; not pinned, no
// locks held.
func (a *Allocator) wait(cache pages.Source, order int, need int64, try func() bool) (served bool) {
	least := int64(sectionMeta)<<a.group + Size<<a.granule
	if limit := a.limitNow(); limit > 0 && int64(Size)<<order > limit-watermark(limit)-least {
		return false // waiting can't help
	}
	w := &waiter{cache: cache, order: order, need: need, most: 8 * need}
	a.enter(w)
	a.count.waits.Add(1)                  // ord:stat
	defer func() { a.leave(w, served) }() // Reclaimers may panic
	if pages.InSection() {
		return try() || a.lead(w) && a.tryOnce(w, try)
	}
	for {
		if try() {
			return true
		}
		lead, ok := a.park(w)
		if !ok {
			return false
		}
		if lead {
			a.round(w)
		}
	}
}

// tryOnce serves a request that no grace period can, for which it would wait
// itself: with what there is in lists, depots and Reclaimers, and at once. w leads.
func (a *Allocator) tryOnce(w *waiter, try func() bool) bool {
	for level := range 2 {
		a.gather(w, level)
		if try() {
			return true
		}
	}
	return false
}

// round is one round of reclaim, by the waiter that leads.
func (a *Allocator) round(w *waiter) {
	a.count.reclaims.Add(1)                    // ord:stat
	level := int(a.queue.fruitless.Add(1)) - 1 // ord:hint
	if level == 0 {
		a.payDue(w)
	}
	pending, done := a.gather(w, level)
	left := a.expire()
	if w.tried = done && !w.tried; w.tried || level == 0 && !pending {
		return
	}
	pause := min(int64(firstPause)<<min(level, 10), lastPause, left)
	for pause > 0 && !w.hasNudge() {
		sys.Sleep(min(pause, pauseSlice))
		pause -= pauseSlice
	}
}

// gather collects memory for w, and reports whether something waits for a grace
// period, and whether it stopped early because there is as much as w needs. It
// does not stop twice in a row: that much may be in pieces.
func (a *Allocator) gather(w *waiter, level int) (pending, done bool) {
	need := int64(Size) << w.order
	enough := func(got int64) bool { return got >= need && !w.tried }
	if enough(a.takeLists()) {
		return false, true
	}
	pending = a.hurry(w.cache)
	if enough(a.release(pages.Empties, w.cache, need)) {
		return pending, true
	}
	if level == 0 {
		return pending, false
	}
	if enough(a.release(pages.Depots, w.cache, need)) {
		return pending, true
	}
	// What a grace period brings is tried first. One that does not end, or a
	// steady flow of others' frees, must not keep the rest from being asked.
	waits := pending || w.pending
	w.pending = pending
	if w.patient++; waits && w.patient <= patience {
		return pending, false
	}
	w.patient = 0
	a.ask(w)
	now := sys.Nanotime()
	if waits && now-w.since < sheavesEvery {
		return pending, false
	}
	if last := a.sheavesTaken.Load(); now-last >= sheavesEvery && a.sheavesTaken.CompareAndSwap(last, now) { // ord:hint
		a.release(pages.Sheaves, w.cache, need)
	}
	return pending, false
}

// takeLists takes the pages on all Ps' lists, and returns how many bytes there
// were.
func (a *Allocator) takeLists() int64 {
	n, _, _ := a.listed()
	if n > 0 {
		a.flushLists()
	}
	return n * Size
}

// sources calls fn for every cache, own first and then in turn, while it returns
// true.
func (a *Allocator) sources(own pages.Source, fn func(pages.Source) bool) {
	done := a.beginReclaim()
	defer done()
	if own != nil && !fn(own) {
		return
	}
	rs := a.reclaimers.now()
	turn := int(a.turn.Add(1) & (1<<30 - 1)) // ord:hint
	for i := range rs {
		e := rs[(i+turn)%len(rs)]
		if s, ok := e.Reclaimer.(pages.Source); ok && s != own && !e.gone.Load() && !fn(s) { // ord:publish
			return
		}
	}
}

// hurry has every cache's pending frees come back soon, and reports whether there
// are any.
func (a *Allocator) hurry(own pages.Source) (pending bool) {
	a.sources(own, func(s pages.Source) bool {
		pending = s.Hurry() || pending
		return true
	})
	return pending
}

// release has the caches give up need bytes as the stage says, and returns how
// many they did.
func (a *Allocator) release(stage pages.Stage, own pages.Source, need int64) (got int64) {
	a.sources(own, func(s pages.Source) bool {
		got += s.Release(stage, need-got)
		return got < need
	})
	if got > 0 {
		a.takeLists() // some of it is there
	}
	return got
}

// ask asks the program's Reclaimers for what w needs, twice as much each time,
// unless another goroutine is about it.
func (a *Allocator) ask(w *waiter) {
	if !a.queue.asking.CompareAndSwap(false, true) { // ord:hint
		return
	}
	a.setAway(w, true)
	defer a.setAway(w, false)
	defer a.queue.asking.Store(false) // ord:hint
	if a.askReclaimers(w.need) {
		w.need = min(2*w.need, w.most)
		a.takeLists()
	}
}

// payDue asks Reclaimers for a part of what background reclaim would have asked for:
// that makes no round while there are waiters. If all that is freed went to them, there
// would always be some, each waiting for a grace period.
func (a *Allocator) payDue(w *waiter) {
	a.setDue(a.shortage())
	if a.background.due.Load() <= 0 { // ord:hint
		return
	}
	a.setAway(w, true)
	defer a.setAway(w, false)
	a.askAhead(dueNeeds * w.need)
}

// askReclaimers asks the program's Reclaimers for need bytes in all, and reports
// whether there are any.
func (a *Allocator) askReclaimers(need int64) bool {
	var rs []Reclaimer
	for r := range a.registered() {
		if _, ok := r.(pages.Source); !ok {
			rs = append(rs, r)
		}
	}
	if len(rs) == 0 {
		return false
	}
	done := a.beginReclaim()
	defer done()
	for _, r := range rs {
		r.Reclaim((need + int64(len(rs)) - 1) / int64(len(rs)))
	}
	return true
}

// reclaimOnce takes all that is cached anywhere, and asks the Reclaimers for need
// bytes.
func (a *Allocator) reclaimOnce(need int64) {
	a.count.reclaims.Add(1) // ord:stat
	a.hurry(nil)
	a.askReclaimers(need)
	for _, stage := range []pages.Stage{pages.Depots, pages.Sheaves, pages.Empties} {
		a.release(stage, nil, maxReserve)
	}
	a.flushLists()
}

// takeGone takes the pages on the lists of Ps that are gone, for a request that
// can't wait, and reports whether there were any. In a raw atomic context, which
// must not make a system call, it takes none. Context: not pinned, or raw atomic.
func (a *Allocator) takeGone() bool {
	used := a.slots.Used()
	if used <= runtime.GOMAXPROCS(0) || preempt.Atomic() || !a.takers.TryLock() {
		return false
	}
	defer a.takers.Unlock()
	found := false
	for id := runtime.GOMAXPROCS(0); id < used; id++ {
		found = found || a.slotHas(id)
	}
	if !found || a.closed.Load() { // ord:gate
		return false
	}
	a.revokeLocked()
	a.collectLocked()
	a.reopenLocked()
	return true
}

// slotHas reports whether there are pages on a P's lists. It may be out of date.
//
//go:norace
func (a *Allocator) slotHas(id int) bool {
	s := a.slots.At(id)
	for _, n := range s.n {
		if n > 0 {
			return true
		}
	}
	return false
}
