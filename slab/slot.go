package slab

import (
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/internal/heapprof"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// slot is one P's part of a cache. The owner reads sheaf numbers by plain
// loads; they change by atomic swap only.
type slot struct {
	busy    uint32 // the owner is in an operation
	main    num    // serves Alloc and Free
	rcu     num    // collects FreeRCU
	spare   num    // follows main: any fill
	reserve num    // empty, replaces the RCU sheaf
	ready   uint32 // the slot is below the high-water mark
	gap     int64  // bytes to the next sample: see profile.go. The owner's
	_       [percpu.Line - 6*4 - 8]byte
}

// enter pins the caller and begins an owner's operation.
//
//go:norace
func (c *cache) enter() *slot {
	s := c.slots.At(sys.ProcPin())
	s.busy = 1 // ord:slot-busy
	fault.Delay("slot-busy")
	return s
}

// exit ends an owner's operation and unpins the caller.
//
//go:norace
func (s *slot) exit() {
	s.busy = 0 // ord:slot-exit
	sys.ProcUnpin()
}

// admit registers a slot on its first slow path and refuses a closed cache. A
// slot that was never used holds the sentinel, so its first operation comes
// here. The caller runs hidden from the race detector.
//
//go:norace
func (c *cache) admit(s *slot) {
	if s.ready == 0 {
		id := sys.ProcPin()
		sys.ProcUnpin()
		c.slots.Register(id)
		s.ready, s.gap = 1, heapprof.NextGap()
		if id >= groupPs && !c.closed.Load() { // ord:closed
			race.Enable()
			c.wantsGroup(id)
			race.Disable()
		}
	}
	if c.closed.Load() { // ord:closed
		s.exit()
		race.Enable()
		panic("quiesce/slab: use of closed cache " + c.name)
	}
}

// putEmpty keeps an empty sheaf: as this P's spare, or in the depot.
//
//go:norace
func (c *cache) putEmpty(s *slot, n num) {
	switch {
	case n == 0:
	case atomic.LoadUint32(&s.spare) == 0 && (!isSmall(n) || c.isThrifty()): // ord:slot
		atomic.StoreUint32(&s.spare, n) // ord:slot
	default:
		c.pushEmpty(n)
	}
}

// getEmpty finds an empty sheaf without a lock: in the depot, or a page from
// this P's list. It returns 0 if there is none. The caller runs hidden.
//
//go:norace
func (c *cache) getEmpty() num {
	n := c.popEmpty()
	if c.fewEmpties() {
		race.Enable()
		c.requestTopUp()
		race.Disable()
	}
	if n != 0 {
		return n
	}
	return c.makeSheaf(gfp.NoWait | gfp.NoLocks | gfp.NoWarn)
}
