package compare

import (
	"quiesce/lock"
	"quiesce/preempt"
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

// caller goes through the contexts, one for each burst of calls.
type caller struct {
	kind  Caller
	turn  int
	outer lock.Raw // what a raw caller holds
}

func newCaller(kind Caller) *caller {
	c := &caller{kind: kind}
	c.outer.Init("compare.caller")
	return c
}

// do runs fn in the next context; raw says whether that is a raw one, where fn
// must keep the rules of pinned sections.
func (c *caller) do(fn func(raw bool)) {
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

// freeOne frees by the entry point that is for the context.
func (in *Instance) freeOne(o *Object, raw bool) {
	if raw {
		in.e.freeRaw(o)
	} else {
		in.e.free(o)
	}
}
