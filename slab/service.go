package slab

import (
	"sync/atomic"

	"quiesce/internal/fault"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// The service: the one goroutine that drains and reclaims for all caches of the
// process. A cache with work puts itself on a list, at most once, and is the
// service's until that has found nothing more to do for it.
//
//	turn: caches that are due   swap the RCU sheaves out of all their slots; one
//	                            membarrier for all of them; wait for busy; again
//	      caches with work      collect the pending sheaves and chains of all,
//	                            wait for the youngest cookie of all, dispose
//
// so that membarriers, grace periods and wake-ups do not grow with the number
// of caches.
//
// # When a turn is made
//
// At once, if memory is short, if gatherBytes are pending, or if a slow path
// found no array. Turns that follow each other in a flood are paceNs apart.
// Everything else waits for the next drain, at a multiple of drainFirst: caches
// share that too. Between two turns there is no goroutine, but an alarm
// (sys.Alarm) that is set for the time when the next cache is due; and when no
// cache has work there is none.
//
// # No wake-up is missed
//
// Work is put on a list, or into a cache that is on one, and then hurry is set
// and running checked (start), or the alarm is set (wakeBy), which does so later.
// The goroutine that owns running clears it, and then checks hurry again. The
// lists are read after hurry was cleared. So one of the two sees the other:
// ord:wake-service.
//
// wakeAt is the time for which the alarm is set, or 0. The caller that lowers it sets
// the alarm afterwards, and once more if wakeAt has changed meanwhile: the last
// setting is that of the latest value. The alarm's goroutine clears wakeAt and
// then starts a turn, which reads the lists: a cache whose owner saw the alarm
// set was on a list before that.
//
// # The flags of a cache
//
// reclaiming and draining say that the service has the cache, on a list or in a
// slice of its own. The service clears them when it has found nothing to do, and
// then checks again. workers counts what holds a reference, and is lowered
// last: Close waits for it, and starts a turn to hurry it.
//
// # The race detector
//
// The lists are hidden from it: they must not order one cache's users after
// another's. A cache hands the service what it was made of by its clock.

const (
	// paceNs is how long the service lets sheaves gather between the turns of
	// a flood. It bounds the service's share of a processor; at 8 ns to an
	// object 25,000 of them gather. Untuned.
	paceNs = 200_000
	// gatherBytes of objects in closed sheaves start a turn: four sheaves of
	// small objects, which fit into a second-level cache with their like. Untuned.
	gatherBytes = 256 << 10
	// drainFirst and drainMost bound the time between two drains of a cache,
	// and so how long an object waits in a sheaf that does not fill.
	drainFirst = 10_000_000
	drainMost  = 40_000_000
)

// service is the state of the service.
var service struct {
	_       [percpu.Line]byte
	hurry   atomic.Bool  // a turn is wanted at once
	running atomic.Bool  // a goroutine makes turns, or was started to
	wakeAt  atomic.Int64 // when the alarm goes off; 0: it is not set
	alarm   sys.Alarm    // immutable
	pending atomic.Int64 // bytes of objects in closed sheaves, of all caches
	turns   atomic.Int64 // made
	procs   atomic.Int32 // GOMAXPROCS in the last turn

	vain atomic.Int64 // what was pending when a helper yielded in vain; 0: the last one did not
	_    [percpu.Line]byte

	drains, reclaims queue // caches that came since the last turn

	// The rest belongs to the goroutine that owns running.
	clock  race.Clock
	armed  []*cache // draining is set: each has an RCU sheaf in a slot, or had
	due    []*cache // of them: drained in this turn
	work   []*cache // reclaiming is set
	turned int64    // when the last turn ended
}

// queue is a stack of caches, any context. It is taken whole, so there is no
// ABA. A cache is on it once at most: the flag that claim sets guards it.
type queue struct {
	head atomic.Pointer[cache]
	link int // of cache.links
}

func init() {
	service.drains.link, service.reclaims.link, supplies.link, takers.asks.link = 0, 1, 2, 3
	service.alarm = sys.NewAlarm(alarmed)
}

// links are a cache's places on the queues; each belongs to its queue while the
// flag of that is set.
type links [4]*cache

//go:norace
func (q *queue) push(c *cache) {
	c.made.Merge()
	race.Disable()
	for {
		h := q.head.Load() // ord:queue
		c.links[q.link] = h
		fault.Delay("queue")
		if q.head.CompareAndSwap(h, c) { // ord:queue
			break
		}
	}
	race.Enable()
}

// takeAll empties the queue and appends what was on it to cs.
//
//go:norace
func (q *queue) takeAll(cs []*cache) []*cache {
	race.Disable()
	c := q.head.Swap(nil) // ord:queue
	race.Enable()
	for c != nil {
		c.made.Acquire()
		next := c.links[q.link]
		c.links[q.link] = nil
		cs = append(cs, c)
		c = next
	}
	return cs
}

//go:norace
func (q *queue) empty() bool {
	race.Disable()
	e := q.head.Load() == nil // ord:queue
	race.Enable()
	return e
}

// claim sets a flag and reports whether it was clear: the caller has to do what
// the flag announces.
//
//go:norace
func claim(flag *atomic.Bool) bool {
	race.Disable()
	ok := !flag.Load() && flag.CompareAndSwap(false, true) // ord:wake-reclaim,wake-drain,wake-supply,wake-service,wake-guards
	race.Enable()
	return ok
}

// hold keeps the cache until release: Close waits for it.
//
//go:norace
func (c *cache) hold() {
	race.Disable()
	c.workers.Add(1) // ord:closed
	race.Enable()
}

func (c *cache) release() { c.workers.Add(-1) } // ord:closed

// spawn starts a goroutine of the cache's, for which Close waits.
func (c *cache) spawn(fn func()) {
	c.hold()
	sys.Go(func() {
		fn()
		c.release()
	})
}

// startDrain has the service drain the cache in time, after a slow path
// installed an RCU sheaf.
//
// Context: any.
//
//go:norace
func (c *cache) startDrain() {
	if !claim(&c.draining) { // ord:wake-drain
		return
	}
	c.hold()
	race.Disable()
	at := c.nextDrain(sys.Nanotime())
	race.Enable()
	c.drainAt = at // the service's from the push on
	service.drains.push(c)
	wakeBy(at)
}

// offerReclaim puts the cache on the service's list.
func (c *cache) offerReclaim() {
	if claim(&c.reclaiming) { // ord:wake-reclaim
		c.hold()
		service.reclaims.push(c)
	}
}

// startReclaim has the service look for the cache's work at once.
//
// Context: any.
func (c *cache) startReclaim() {
	c.offerReclaim()
	startService()
}

// sheafClosed follows closeSheaf: the service reclaims the sheaf at once if much
// is pending or memory is short, and else when it drains the next time.
//
// Context: any.
//
//go:norace
func (c *cache) sheafClosed() {
	if helps && c.muchPending() {
		c.help() // before it is offered, with what a helper leaves
	}
	c.reclaimSoon()
}

// reclaimSoon has the service look for the cache's work, as sheafClosed says.
//
// Context: any.
//
//go:norace
func (c *cache) reclaimSoon() {
	c.offerReclaim()
	race.Disable()
	now := service.pending.Load() >= gatherBytes || c.short() // ord:hint
	at := int64(0)
	if !now {
		at = c.nextDrain(sys.Nanotime())
	}
	race.Enable()
	if now {
		startService()
	} else {
		wakeBy(at)
	}
}

// short reports whether memory is short: an allocation waits for some, or did a
// moment ago.
func (c *cache) short() bool { return c.core.Waiters.Load() > 0 || c.pressed() } // ord:wait

// nextDrain is when the cache should be drained next: at a multiple of its
// interval, so that caches of one interval, and their powers of two, share it.
func (c *cache) nextDrain(now int64) int64 {
	every := max(c.drainEvery.Load(), drainFirst) // ord:hint
	if c.short() {
		every = drainFirst
	}
	return (now/every + 1) * every
}

// startService has a turn made at once.
//
// Context: any.
//
//go:norace
func startService() {
	race.Disable()
	service.hurry.Store(true) // ord:wake-service
	fault.Delay("wake-service")
	race.Enable()
	if claim(&service.running) { // ord:wake-service
		sys.Go(serve)
	}
}

// wakeBy has a turn made at the given time, or before.
//
// Context: any.
//
//go:norace
func wakeBy(at int64) {
	race.Disable()
	for {
		w := service.wakeAt.Load() // ord:wake-alarm
		if w != 0 && w <= at {
			break
		}
		if service.wakeAt.CompareAndSwap(w, at) { // ord:wake-alarm
			for set := int64(0); set != at && at != 0; at = service.wakeAt.Load() { // ord:wake-alarm
				set = at
				service.alarm.Set(at - sys.Nanotime())
			}
			break
		}
	}
	race.Enable()
}

// alarmed is the alarm's goroutine.
//
//go:norace
func alarmed() {
	race.Disable()
	service.wakeAt.Store(0) // ord:wake-alarm
	fault.Delay("wake-alarm")
	service.hurry.Store(true) // ord:wake-service
	race.Enable()
	if claim(&service.running) { // ord:wake-service
		serve()
	}
}

// serve is the service's goroutine: it makes turns while they are wanted at
// once.
func serve() {
	for {
		service.clock.Acquire()
		for wanted() {
			turn()
		}
		service.clock.Release()
		if !resume() {
			return
		}
	}
}

//go:norace
func wanted() bool {
	race.Disable()
	w := service.hurry.Swap(false) // ord:wake-service
	race.Enable()
	return w
}

// resume ends the service's goroutine, unless it returns true: a turn was
// wanted in the last moment.
//
//go:norace
func resume() bool {
	race.Disable()
	service.running.Store(false) // ord:wake-service
	fault.Delay("wake-service")
	again := service.hurry.Load() && service.running.CompareAndSwap(false, true) // ord:wake-service
	race.Enable()
	return again
}
