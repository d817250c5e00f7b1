package slab

import (
	"slices"
	"sync/atomic"

	"quiesce/internal/fault"
	"quiesce/internal/sys"
)

// Revoking: how a taker gets the sheaves in the Ps' slots, and those who do it:
// the drain, which takes RCU sheaves that do not fill, and shrink. doc.go has
// the protocol.

// revokeAllLocked is the taker's half of revoking: two rounds, so that sheaves
// that a slow path had in hand during the first are found by the second. The
// sheaves are in c.taken afterwards. takeMu is held.
func (c *cache) revokeAllLocked(grab func(*slot)) {
	c.taken = c.taken[:0]
	for range 2 {
		used := c.slots.Used()
		for id := range used {
			grab(c.slots.At(id))
		}
		fault.Delay("slot-busy")
		sys.Membarrier() // ord:slot-busy
		for id := range used {
			waitIdle(c.slots.At(id))
		}
	}
	if !sys.ExitIsRelease {
		sys.Membarrier() // ord:slot-exit
	}
}

// grab swaps a sheaf out of a slot.
func (c *cache) grab(field *uint32) {
	if n := atomic.SwapUint32(field, 0); n != 0 { // ord:slot-busy,slot
		c.taken = append(c.taken, n)
	}
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

// drainNs is how often partly filled RCU sheaves are taken. An object waits
// twice that at most, plus pace and grace period.
const drainNs = 5_000_000

func (c *cache) startDrain() {
	if claim(&c.draining) { // ord:wake-drain
		c.spawn(c.drainWorker)
	}
}

func (c *cache) drainWorker() {
	for {
		sys.Sleep(drainNs)
		if c.drainRCU() > 0 {
			continue
		}
		c.draining.Store(false) // ord:wake-drain
		fault.Delay("wake-drain")
		if !c.anyRCU() || !c.draining.CompareAndSwap(false, true) { // ord:wake-drain
			return
		}
	}
}

// anyRCU reports whether a slot has an RCU sheaf. It pairs with freeRCUSlow,
// which installs the sheaf before it checks draining; here draining is cleared
// before the slots are checked.
func (c *cache) anyRCU() bool {
	for id := range c.slots.Used() {
		if atomic.LoadUint32(&c.slots.At(id).rcu) != 0 { // ord:wake-drain
			return true
		}
	}
	return false
}

// drainRCU takes every P's RCU sheaf and makes it pending. It returns the
// number of sheaves taken.
//
// Context: task; not pinned.
//
//go:norace
func (c *cache) drainRCU() int {
	c.takeMu.Lock()
	defer c.takeMu.Unlock()
	c.revokeAllLocked(func(s *slot) { c.grab(&s.rcu) })
	n := len(c.taken)
	filled := false
	for _, t := range c.taken {
		if c.sheaf(t).n == 0 {
			c.empty.push(c, t)
			continue
		}
		c.closeSheaf(t)
		filled = true
	}
	if filled {
		c.startReclaim()
	}
	return n
}

// shrink flushes every sheaf that no grace period holds, and frees the slabs
// that become empty.
func (c *cache) shrink() {
	c.poison.memoryShort()
	c.takeMu.Lock()
	c.revokeAllLocked(func(s *slot) {
		c.grab(&s.main)
		c.grab(&s.spare)
		c.grab(&s.reserve)
	})
	taken := slices.Clone(c.taken)
	c.takeMu.Unlock()
	for _, n := range taken { // may panic over a double free, so without locks
		c.flush(n, &c.stats.flushed)
	}
	c.trimDepot(0)
	c.dropEmptySheaves(0)
	c.dropEmptySlabs()
}
