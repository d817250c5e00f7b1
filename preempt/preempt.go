package preempt

import (
	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
	"quiesce/internal/percpu"
	"quiesce/internal/pin"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// Pinned is the token of a section with preemption disabled.
type Pinned struct {
	dep depcheck.Section // empty but with -tags lockdep
	cpu *percpu.CPU      // so that leaving needs no second look-up
}

// Disable pins the goroutine to its P until [Pinned.Enable]: a raw atomic
// context and an RCU read-side section. Sections nest, and need not end in the
// reverse order of their beginnings.
//
// Context: any.
//
// Linux: preempt_disable.
//
//go:norace
func Disable() Pinned {
	c := percpu.Pin()
	c.Nest++ // ord:nest
	if fault.Delays {
		fault.Delay("nest")
	}
	if race.Enabled {
		if c.Nest == 1 { // ord:nest
			c.Epoch = race.Enter()
		}
	}
	if depcheck.Tagged {
		return Pinned{depcheck.Enter(depcheck.PreemptDisabled), c}
	}
	return Pinned{cpu: c}
}

// Enable ends the section. It must be called exactly once, on the goroutine
// that called [Disable].
//
// Linux: preempt_enable.
//
//go:norace
func (p Pinned) Enable() {
	if depcheck.Tagged && !p.dep.Exit("preempt.Pinned") {
		return
	}
	pin.Leave(p.cpu)
	if depcheck.Tagged {
		depcheck.Left()
	}
}

// Atomic reports whether the calling goroutine is pinned by this package or by
// package lock. It knows no other raw atomic contexts.
//
// Context: any.
//
// Linux: in_atomic.
//
//go:norace
func Atomic() bool {
	in := percpu.Pin().Nest != 0 // ord:nest
	sys.ProcUnpin()
	return in
}
