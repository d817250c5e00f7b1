package page

import (
	"sync"
	"sync/atomic"

	"quiesce/internal/fault"
	"quiesce/internal/pages"
	"quiesce/internal/pin"
	"quiesce/internal/sys"
)

// Waiting for memory: gfp.Kernel requests, of this package's users and of the
// caches', stand in one queue. The steps:
//
//	enter      join the queue, then try once more
//	lead       the first that finds nobody leading makes rounds of reclaim
//	           (rounds.go), sleeps between them, and refuses those whose time
//	           is up; it tries after every step
//	park       all others block until memory is freed or they shall lead
//	leave      with memory, or refused; the next in line is woken, and leads if
//	           nobody does
//
// # No wake-up is lost
//
// A goroutine that frees memory first makes it available, by an atomic operation or
// under a lock, and then loads Core.Waiters; a waiter first counts itself there
// and then tries. All of these are sequentially consistent, so either the
// waiter finds the memory or the other sees the waiter, and nudges the first in
// line whom the memory may serve. A nudge marks the waiter under the queue's
// lock, whether it is parked yet or not, and it does not park while it is
// marked. A waiter that leaves passes its nudge on.
//
// Pages may serve every waiter; objects only those of their cache.
//
// # What counts as progress
//
// A request is refused when ReclaimTimeout has passed since it came, or since
// the last waiter was served, whichever was later. So hundreds that wait for
// the same memory are served one after the other, and none is refused for the
// length of the queue. Blocks above order 3 may never come together, however
// much is freed: their time is their own.
//
// # The lock
//
// It is held pinned, for a walk over the queue at most, and is taken in any
// context and under any lock: every free takes it. A semaphore is
// released outside of it.

// waiter is a request that waits for memory.
type waiter struct {
	cache pages.Source // whose object it wants; nil: pages. Immutable
	order int          // of the pages that serve it. Immutable
	need  int64        // bytes to ask Reclaimers for, up to most; its own goroutine's
	since int64        // sys.Nanotime. Immutable

	next, prev *waiter // protected by queue.lock, as the rest
	queued     bool    // false once it was refused or left
	parked     bool    // blocked on sem, or about to
	nudged     bool    // there may be memory for it
	leads      bool
	tried      bool // the last round stopped early; its own goroutine's, as the next
	pending    bool // in the last round something waited for a grace period
	patient    int  // rounds since it asked Reclaimers
	most       int64
	away       bool // in a Reclaimer, for who knows how long

	// sem blocks its goroutine: locked, but for the moment between a wake-up
	// and its return. A channel would belong to a synctest bubble, and a
	// semaphore of the runtime does not.
	sem sync.Mutex
}

// queue has the waiters of an allocator. Core.Waiters is their number.
type queue struct {
	held        atomic.Uint32
	first, last *waiter      // protected by held, as is led
	led         bool         // somebody leads
	progress    atomic.Int64 // when a waiter was served last
	asking      atomic.Bool  // Reclaimers run; see rounds.go
	fruitless   atomic.Int32 // rounds since a waiter was served
}

//go:norace
func (q *queue) lock() pin.Section {
	p := pin.Disable()
	for i := 0; !q.held.CompareAndSwap(0, 1); i++ { // ord:wait
		sys.Relax(i)
	}
	return p
}

//go:norace
func (q *queue) unlock(p pin.Section) {
	q.held.Store(0) // ord:wait
	p.Enable()
}

// enter joins the queue. It comes before the request's next try.
//
//go:norace
func (a *Allocator) enter(w *waiter) {
	w.sem.Lock()
	w.since = sys.Nanotime()
	q := &a.queue
	p := q.lock()
	w.queued = true
	if w.prev = q.last; w.prev != nil {
		w.prev.next = w
	} else {
		q.first = w
	}
	q.last = w
	a.core.Waiters.Add(1) // ord:wait
	q.unlock(p)
	fault.Delay("wait")
}

// removeWaiterLocked takes a waiter out of the queue.
//
//go:norace
func (a *Allocator) removeWaiterLocked(w *waiter) {
	q := &a.queue
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.last = w.prev
	}
	w.next, w.prev, w.queued = nil, nil, false
	a.core.Waiters.Add(-1) // ord:wait
}

// leave ends a wait, unless the waiter was refused, and has the next in line try.
//
//go:norace
func (a *Allocator) leave(w *waiter, served bool) {
	q := &a.queue
	if served {
		q.progress.Store(sys.Nanotime()) // ord:hint
		q.fruitless.Store(0)             // ord:hint
	}
	p := q.lock()
	if w.queued {
		a.removeWaiterLocked(w)
	}
	if w.leads {
		w.leads, q.led = false, false
	}
	next := q.nudgeLocked(w.cache)
	lead := q.leaderLocked()
	q.unlock(p)
	next.wake()
	lead.wake()
}

// park blocks until there may be memory for the waiter. It returns at once if
// there may be already, or if the waiter is to lead, which it reports; ok is
// false if the waiter was refused.
//
//go:norace
func (a *Allocator) park(w *waiter) (lead, ok bool) {
	q := &a.queue
	p := q.lock()
	switch {
	case !w.queued:
		q.unlock(p)
		return false, false
	case w.nudged:
		lead = w.leads
		w.nudged = false
		q.unlock(p)
		if lead { // or steady nudges would stop the clock
			a.expire()
		}
		return false, true
	case w.leads:
		q.unlock(p)
		return true, true
	case !q.led:
		w.leads, q.led = true, true
		q.unlock(p)
		return true, true
	}
	w.parked = true
	q.unlock(p)
	w.sem.Lock() // until wake
	p = q.lock()
	ok = w.queued
	w.nudged = false
	q.unlock(p)
	return false, ok
}

// lead makes a waiter lead, unless somebody does, and reports whether it did.
//
//go:norace
func (a *Allocator) lead(w *waiter) bool {
	q := &a.queue
	p := q.lock()
	ok := !q.led
	if ok {
		w.leads, q.led = true, true
	}
	q.unlock(p)
	return ok
}

// nudgeLocked marks the first waiter whom memory of the kind may serve, and
// returns it for wake if it is parked.
//
//go:norace
func (q *queue) nudgeLocked(cache pages.Source) *waiter {
	w := q.first
	for w != nil && cache != nil && w.cache != cache {
		w = w.next
	}
	if w == nil {
		return nil
	}
	w.nudged = true
	return w.unparkLocked()
}

// leaderLocked finds someone to lead if nobody does and all are parked.
//
//go:norace
func (q *queue) leaderLocked() *waiter {
	if q.led {
		return nil
	}
	for w := q.first; w != nil; w = w.next {
		if !w.parked && !w.away {
			return nil // it parks, and finds that it leads
		}
	}
	for w := q.first; w != nil; w = w.next {
		if w.parked {
			return w.unparkLocked()
		}
	}
	return nil
}

//go:norace
func (w *waiter) unparkLocked() *waiter {
	if !w.parked {
		return nil
	}
	w.parked = false
	return w
}

// wake ends the blocking of a waiter that was taken out of it; w may be nil.
//
//go:norace
func (w *waiter) wake() {
	if w != nil {
		w.sem.Unlock()
	}
}

// memoryCame has a waiter try again: pages, or objects of the cache, were freed.
// The caller has seen that there are waiters. Context: any.
//
//go:norace
func (a *Allocator) memoryCame(cache pages.Source) {
	q := &a.queue
	p := q.lock()
	w := q.nudgeLocked(cache)
	q.unlock(p)
	w.wake()
}

// leadForNobody has background reclaim lead, unless somebody waits or leads.
//
//go:norace
func (q *queue) leadForNobody() bool {
	p := q.lock()
	ok := q.first == nil && !q.led
	if ok {
		q.led = true
	}
	q.unlock(p)
	return ok
}

// endLead follows leadForNobody. A waiter that came in between leads.
//
//go:norace
func (a *Allocator) endLead() {
	q := &a.queue
	p := q.lock()
	q.led = false
	lead := q.leaderLocked()
	q.unlock(p)
	lead.wake()
}

// setAway says that w runs code that may block, or has returned from it. Others
// lead for that long.
//
//go:norace
func (a *Allocator) setAway(w *waiter, away bool) {
	q := &a.queue
	p := q.lock()
	if w.away = away; w.leads {
		w.leads, q.led = false, false
	}
	lead := q.leaderLocked()
	q.unlock(p)
	lead.wake()
}

// hasNudge reports whether there may be memory for w.
//
//go:norace
func (w *waiter) hasNudge() bool { return w.nudged || !w.queued }

// expire refuses the waiters whose time is up, and returns how long the next has,
// in ns.
//
//go:norace
func (a *Allocator) expire() (left int64) {
	q := &a.queue
	now, timeout := sys.Nanotime(), int64(a.core.Timeout)
	closed := a.closed.Load() // ord:gate
	left = timeout
	for {
		var out *waiter
		p := q.lock()
		for w := q.first; w != nil && out == nil; {
			next, since := w.next, w.since
			if w.order < listOrders {
				since = max(since, q.progress.Load()) // ord:hint
			}
			if d := since + timeout - now; d > 0 && !closed {
				left = min(left, d)
			} else {
				a.removeWaiterLocked(w)
				out = w.unparkLocked()
			}
			w = next
		}
		q.unlock(p)
		if out == nil {
			return left
		}
		out.wake()
	}
}
