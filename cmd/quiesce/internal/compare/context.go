package compare

import (
	"quiesce/gfp"
	"quiesce/lock"
	"quiesce/preempt"
	"quiesce/slab"
)

// Caller says where FreeRCU is called.
type Caller int

const (
	Plain Caller = iota
	Raw
	Mixed // both in turn
	callers
)

func (c Caller) String() string { return [...]string{"plain", "raw", "mixed"}[c] }

// contexts are the raw atomic contexts that raw callers go through in turn.
const contexts = 4

// caller is a goroutine that allocates and frees. It goes through the contexts, one
// for each burst of calls.
type caller struct {
	in    *Instance
	kind  Caller
	turn  int
	outer lock.Raw            // what a raw caller holds
	own   *slab.Sheaf[Object] // of strategy owner; nil: not open
}

func (in *Instance) newCaller(kind Caller) *caller {
	c := &caller{in: in, kind: kind}
	c.outer.Init("compare.caller")
	return c
}

// ready opens the caller's Sheaf, if the strategy has any.
//
// Context: task; not pinned.
func (c *caller) ready() {
	if o, ok := c.in.e.(*owner); ok && c.own == nil {
		o.open(c)
	}
}

// alloc returns an object, or nil when there is no memory.
//
// Context: task; not pinned.
func (c *caller) alloc() *Object {
	c.ready()
	if c.own != nil {
		return c.own.Alloc(noWarn)
	}
	return c.in.cache.Alloc(noWarn)
}

// free frees an object by the entry point that is for the context, in do.
func (c *caller) free(o *Object, raw bool) {
	switch {
	case c.own != nil:
		c.own.FreeRCU(o)
	case raw:
		c.in.e.freeRaw(o)
	default:
		c.in.e.free(o)
	}
}

// idle is what a goroutine does that has nothing to free: with a Sheaf each call of
// its owner's, whichever, hands over what waits in it.
//
// Context: task; not pinned.
func (c *caller) idle() {
	if c.own != nil {
		c.own.Refill(0, gfp.NoWait|gfp.NoWarn)
	}
}

// do runs fn in the next context; raw says whether that is a raw one, where fn
// must keep the rules of pinned sections.
func (c *caller) do(fn func(raw bool)) {
	c.ready()
	c.turn++
	if c.kind == Plain || c.kind == Mixed && c.turn&1 == 0 {
		fn(false)
		return
	}
	switch c.turn / 2 % contexts {
	case 0:
		c.outer.Lock()
		fn(true)
		c.outer.Unlock()
	case 1:
		p := preempt.Disable()
		fn(true)
		p.Enable()
	case 2:
		s := preempt.DisableIRQ()
		fn(true)
		s.Restore()
	case 3:
		preempt.Hardirq(func() { fn(true) })
	}
}
