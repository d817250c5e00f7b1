package slab

import (
	"quiesce/internal/fault"
	"quiesce/internal/sys"
	"quiesce/rcu"
)

// A turn of the service: drain the caches that are due, reclaim what is pending
// in all of them, and let go of those that have no more work.

// turn does what there is to do now, for all caches.
func turn() {
	countProcs()
	takeWork()
	if since := sys.Nanotime() - service.turned; since < paceNs && !anyShort() {
		sys.Sleep(paceNs - since)
		takeWork()
	}
	next := drainDue(sys.Nanotime())
	service.work = service.reclaims.takeAll(service.work)
	if reclaimWork() {
		startService()
	}
	now := sys.Nanotime()
	for _, c := range service.work {
		if at := c.nextDrain(now); next == 0 || at < next {
			next = at
		}
	}
	if next != 0 {
		wakeBy(next)
	}
	service.turned = now
	service.turns.Add(1) // ord:stat
}

// takeWork takes the caches that came.
func takeWork() {
	service.armed = service.drains.takeAll(service.armed)
	service.work = service.reclaims.takeAll(service.work)
}

func anyShort() bool {
	for _, c := range service.work {
		if c.short() || c.closed.Load() { // ord:closed
			return true
		}
	}
	for _, c := range service.armed {
		if c.closed.Load() { // ord:closed
			return true
		}
	}
	return false
}

// drainDue drains the caches whose time has come, lets go of those that had
// nothing, and returns when the next one is due, or 0 if none is armed.
func drainDue(now int64) (next int64) {
	due, armed := service.due[:0], service.armed[:0]
	for _, c := range service.armed {
		switch {
		case c.closed.Load(): // its Close drains; ord:closed
			c.draining.Store(false) // ord:wake-drain
			c.release()
		case c.drainAt <= now || c.short():
			due = append(due, c)
		default:
			armed = append(armed, c)
		}
	}
	drain(due)
	now = sys.Nanotime()
	for _, c := range due {
		sheaves, objects := c.lastDrain()
		asked, pending := c.nudgeSheaves()
		sheaves, objects = sheaves+asked, objects+pending
		c.depot.settle(c.sheaves(fullOf), now)
		if c.hasWork() {
			c.offerReclaim()
		}
		if sheaves > 0 {
			c.adapt(sheaves, objects)
		} else if c.letGoOfDrain() {
			continue
		}
		c.drainAt = c.nextDrain(now)
		armed = append(armed, c)
	}
	clear(service.armed[len(armed):])
	clear(due)
	service.armed, service.due = armed, due[:0]
	for _, c := range armed {
		if next == 0 || c.drainAt < next {
			next = c.drainAt
		}
	}
	return next
}

// letGoOfDrain ends the drain of a cache that had nothing, which is idle if it
// has nothing to reclaim either. It returns false if an RCU sheaf was installed
// in the last moment.
func (c *cache) letGoOfDrain() bool {
	c.draining.Store(false) // ord:wake-drain
	fault.Delay("wake-drain")
	if c.anyRCU() && c.draining.CompareAndSwap(false, true) { // ord:wake-drain
		return false
	}
	if !c.reclaiming.Load() { // idle; ord:wake-reclaim
		c.depot.forget()
		c.emptyDepot() // which leaves its sheaves empty
		c.dropEmptySheaves(c.keptEmpty())
		c.checkDepot()
	}
	c.release()
	return true
}

// adapt chooses the time to the next drain by what the last one found: it
// doubles for sheaves that come out nearly empty.
func (c *cache) adapt(sheaves, objects int) {
	every, room := max(c.drainEvery.Load(), drainFirst), sheaves*int(c.sheafCap) // ord:hint
	switch {
	case c.short():
		every = drainFirst
	case objects < room/4:
		every = min(2*every, drainMost)
	case objects > room/2:
		every = max(every/2, drainFirst)
	}
	c.drainEvery.Store(every) // ord:hint
}

// reclaimWork waits for the grace periods of all that is pending, disposes of it,
// and lets go of the caches that have nothing more. It returns whether another
// turn should be made at once.
func reclaimWork() (again bool) {
	var youngest rcu.Cookie
	hurry := false
	for _, c := range service.work {
		if c.closed.Load() || !c.reclaimMu.TryLock() { // Barrier or Close reclaim; ord:closed
			continue
		}
		youngest = max(youngest, c.collectLocked())
		hurry = hurry || c.short() || c.muchPending()
		c.reclaimMu.Unlock()
	}
	waitFor(youngest, hurry)
	work := service.work[:0]
	for _, c := range service.work {
		more := false                                  // of its chain
		if !c.closed.Load() && c.reclaimMu.TryLock() { // ord:closed
			if c.collected.youngest <= youngest {
				c.ripenAllLocked()
				if !helps {
					c.disposeRipe()
				}
				more = c.finishLocked()
			}
			c.reclaimMu.Unlock()
			c.disposeShared()
		}
		if more || !c.letGoOfReclaim() {
			again = again || more || c.short()
			work = append(work, c)
		}
	}
	clear(service.work[len(work):])
	service.work = work
	return again || service.pending.Load() >= gatherBytes && len(work) > 0 // ord:hint
}

// letGoOfReclaim ends the reclaim of a cache that has no work, and returns false
// if it has.
func (c *cache) letGoOfReclaim() bool {
	if !c.closed.Load() { // ord:closed
		if c.hasWork() {
			return false
		}
		if !c.draining.Load() { // ord:wake-drain
			c.emptyDepot()
		}
		c.endTopUp()
	}
	c.reclaiming.Store(false) // ord:wake-reclaim
	fault.Delay("wake-reclaim")
	if c.hasWork() && !c.closed.Load() && c.reclaiming.CompareAndSwap(false, true) { // ord:wake-reclaim,closed
		return false
	}
	c.release()
	return true
}
