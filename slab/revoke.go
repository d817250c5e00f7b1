package slab

import (
	"sync/atomic"

	"quiesce/internal/fault"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/rcu"
)

// Revoking: how a taker gets the sheaves in the Ps' slots, and those who do it:
// the drain, which takes RCU sheaves that do not fill, and pressure.go. doc.go
// has the protocol.
//
// The membarriers are what it costs, so many caches share them. A goroutine that
// wants caches drained asks for it and then takes takers.mu: its holder drains
// what was asked for by then. It begins with the number of its round, by a
// read-modify-write; so a round with a higher number than a caller read before
// it asked began after that, and has done the caller's work.

var takers struct {
	mu    lock.Mutex    // one taker at a time; no lock is taken under it
	begun atomic.Uint64 // rounds
	asks  queue         // caches to be drained: asked is set
	batch []*cache      // the holder's, protected by mu, as is the next one
	taken []takenFrom   // what revokeLocked took
}

func init() { takers.mu.Init("slab.takers.mu") }

// takenFrom is a sheaf that was in a slot of the cache, that of the P id.
type takenFrom struct {
	c  *cache
	n  num
	id int32
}

// revokeLocked is the taker's half of revoking: two rounds, so that sheaves
// that a slow path had in hand during the first are found by the second. The
// sheaves are in takers.taken afterwards. takers.mu is held.
//
//go:norace
func revokeLocked(cs []*cache, grab func(c *cache, id int, s *slot)) {
	takers.taken = takers.taken[:0]
	for range 2 {
		for _, c := range cs {
			used := c.slots.Used()
			for id := range used {
				grab(c, id, c.slots.At(id))
			}
		}
		fault.Delay("slot-busy")
		sys.Membarrier() // ord:slot-busy
		for _, c := range cs {
			for id := range c.slots.Used() {
				waitIdle(c.slots.At(id))
			}
		}
		if !sys.ExitIsRelease {
			sys.Membarrier() // ord:slot-exit
		}
	}
}

// grab swaps a sheaf out of a slot. The load spares the owner of an empty field
// the loss of its cache line; a sheaf that comes after it was in hand, and is
// the second round's.
//
//go:norace
func (c *cache) grab(id int, field *uint32) {
	if atomic.LoadUint32(field) == 0 { // ord:slot-busy,slot
		return
	}
	if n := atomic.SwapUint32(field, 0); n != 0 { // ord:slot-busy,slot
		takers.taken = append(takers.taken, takenFrom{c, n, int32(id)})
	}
}

//go:norace
func grabRCU(c *cache, id int, s *slot) { c.grab(id, &s.rcu) }

// grabFree takes the sheaves that no grace period holds.
//
//go:norace
func grabFree(c *cache, id int, s *slot) {
	c.grab(id, &s.main)
	c.grab(id, &s.spare)
	c.grab(id, &s.reserve)
}

// waitIdle returns once the slot's owner was seen outside of an operation. An
// operation is some tens of instructions, a slow path some hundreds. It only
// lasts when the system takes the thread's processor away.
//
//go:norace
func waitIdle(s *slot) {
	for i := 0; atomic.LoadUint32(&s.busy) != 0; i++ { // ord:slot-busy,slot-exit
		sys.RelaxUnpinned(i)
	}
}

// anyRCU reports whether a slot, or an armed Sheaf, has an RCU sheaf. It pairs with
// freeRCUSlow, which installs the sheaf before it checks draining; here draining is
// cleared before the slots are checked.
func (c *cache) anyRCU() bool {
	for id := range c.slots.Used() {
		if atomic.LoadUint32(&c.slots.At(id).rcu) != 0 { // ord:wake-drain
			return true
		}
	}
	return c.armed.Load() != nil // ord:own-armed
}

// drain takes every P's RCU sheaf of the caches and makes it pending. The
// callers see to the reclaim.
//
// Context: task; not pinned.
//
//go:norace
func drain(cs []*cache) {
	if len(cs) == 0 {
		return
	}
	race.Disable()                // neither the mutex nor its other holders order user code
	before := takers.begun.Add(0) // ord:drain-ask
	for _, c := range cs {
		if !c.asked.Load() && c.asked.CompareAndSwap(false, true) { // ord:drain-ask
			takers.asks.push(c)
		}
	}
	takers.mu.Lock()
	round := takers.begun.Add(1) // ord:drain-ask
	batch := takers.asks.takeAll(takers.batch[:0])
	for _, c := range batch {
		c.asked.Store(false) // ord:drain-ask
		c.drainedIn = round
	}
	for _, c := range cs { // those of which the caller that set asked was too slow
		if c.drainedIn <= before {
			c.drainedIn = round
			batch = append(batch, c)
		}
	}
	if len(batch) > 0 {
		fault.Delay("drain-ask")
		for _, c := range batch {
			c.tookSheaves, c.tookObjects = 0, 0
		}
		revokeLocked(batch, grabRCU)
		closeTakenLocked()
	}
	clear(batch)
	takers.batch = batch
	takers.mu.Unlock()
	race.Enable()
}

// closeTakenLocked makes the sheaves pending that were taken. They share a
// cookie, which is younger than all that they hold. takers.mu is held.
//
//go:norace
func closeTakenLocked() {
	fault.Delay("cookie")
	cookie := rcu.GetState() // after the last object of them all; ord:cookie
	for i, t := range takers.taken {
		takers.taken[i].c = nil
		t.c.tookSheaves++
		g := t.c.groupOf(int(t.id))
		n := t.c.sheaf(t.n).n
		if n == 0 {
			g.pushEmpty(t.c, t.n)
			continue
		}
		t.c.tookObjects += int(n)
		t.c.closeSheaf(g, t.n, cookie)
	}
}

// lastDrain returns what the last drain of the cache found.
//
//go:norace
func (c *cache) lastDrain() (sheaves, objects int) {
	race.Disable()
	takers.mu.Lock()
	sheaves, objects = c.tookSheaves, c.tookObjects
	takers.mu.Unlock()
	race.Enable()
	return sheaves, objects
}

// drainRCU drains the cache, has what it found reclaimed at once, and returns
// the number of sheaves.
//
// Context: task; not pinned.
func (c *cache) drainRCU() int {
	drain([]*cache{c})
	if c.hasWork() { // whichever caller drained it
		c.startReclaim()
	}
	n, _ := c.lastDrain()
	return n
}

// takeFree takes the sheaves in the cache's slots that no grace period holds.
//
//go:norace
func (c *cache) takeFree() []num {
	race.Disable()
	takers.mu.Lock()
	free := c.takeFreeLocked(grabFree)
	takers.mu.Unlock()
	race.Enable()
	return free
}

// takeFreeLocked takes the sheaves that grab takes out of the cache's slots.
// takers.mu is held.
//
//go:norace
func (c *cache) takeFreeLocked(grab func(c *cache, id int, s *slot)) []num {
	revokeLocked([]*cache{c}, grab)
	free := make([]num, 0, len(takers.taken))
	for i, t := range takers.taken {
		free = append(free, t.n)
		takers.taken[i].c = nil
	}
	return free
}
